import Foundation

/// A Unicode normalisation form (UAX #15), by the tables of Unicode 9.0 that `tokenizers` 0.23 still carries: newer
/// characters neither decompose nor move nor compose.
///
/// Foundation's own normalisation of whole strings is not used: it leaves some Hangul uncomposed, and marks that
/// decompose into marks (U+0F75) out of order. What is taken from it is the decomposition of one character at a time.
enum NormalizationForm: String, Sendable {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  func apply(to bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    if bytes.allSatisfy({ $0 < 0x80 }) { return bytes }
    var marks = MarkedScalars()
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars { decompose(scalar, into: &marks) }
    marks.reorder()
    if self == .nfc || self == .nfkc { marks.compose() }
    var result = String.UnicodeScalarView()
    result.append(contentsOf: marks.items.map(\.scalar))
    return ArraySlice(String(result).utf8)
  }

  private func decompose(_ scalar: Unicode.Scalar, into marks: inout MarkedScalars) {
    // CJK ideographs are their own decomposition; asking for each would take a microsecond.
    if scalar.value < 0x80 || 0x3400..<0xA000 ~= scalar.value || scalar.isNewerThanTables {
      marks.items.append((scalar, 0))
      return
    }
    let text = String(scalar)
    let isCanonical = self == .nfc || self == .nfd
    let parts = isCanonical ? text.decomposedStringWithCanonicalMapping : text.decomposedStringWithCompatibilityMapping
    for part in parts.unicodeScalars {
      marks.items.append((part, part.properties.canonicalCombiningClass.rawValue))
    }
  }
}

extension Unicode.Scalar {
  fileprivate var isNewerThanTables: Bool { (properties.age?.major ?? 0) > 9 }
}

/// Scalars with their canonical combining classes; 0 is a starter.
private struct MarkedScalars {
  var items: [(scalar: Unicode.Scalar, ccc: UInt8)] = []

  /// Sorts each run of marks by class, keeping the order within a class.
  mutating func reorder() {
    for i in items.indices where items[i].ccc != 0 {
      var j = i
      while j > 0, items[j - 1].ccc > items[j].ccc {
        items.swapAt(j - 1, j)
        j -= 1
      }
    }
  }

  /// Joins each starter with the characters after it that no character between blocks.
  mutating func compose() {
    var result: [(scalar: Unicode.Scalar, ccc: UInt8)] = []
    result.reserveCapacity(items.count)
    var starter: Int?
    for item in items {
      // Blocked when a character between has the same or a higher class, or is itself a starter.
      if let index = starter, result.count - 1 == index || (result[result.count - 1].ccc < item.ccc),
        let whole = Composition.of(result[index].scalar, item.scalar)
      {
        result[index].scalar = whole
        continue
      }
      if item.ccc == 0 { starter = result.count }
      result.append(item)
    }
    items = result
  }
}

private enum Composition {
  static func of(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    hangul(first.value, second.value) ?? pairs[key(first, second)]
  }

  /// Leading and vowel jamo to a syllable, syllable and trailing jamo to another.
  private static func hangul(_ first: UInt32, _ second: UInt32) -> Unicode.Scalar? {
    if 0x1100..<0x1113 ~= first, 0x1161..<0x1176 ~= second {
      return Unicode.Scalar(0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28)
    }
    if 0xAC00..<0xD7A4 ~= first, (first - 0xAC00) % 28 == 0, 0x11A8..<0x11C3 ~= second {
      return Unicode.Scalar(first + second - 0x11A7)
    }
    return nil
  }

  private static func key(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> UInt64 {
    UInt64(first.value) << 32 | UInt64(second.value)
  }

  /// The primary composites but Hangul. They all lie in these two ranges.
  private static let pairs: [UInt64: Unicode.Scalar] = {
    var wholes: [[Unicode.Scalar]: Unicode.Scalar] = [:]
    for value in Array(0xC0..<0x3100) + Array(0x11000..<0x11A00) {
      guard let scalar = Unicode.Scalar(UInt32(value)), !scalar.isNewerThanTables,
        !scalar.properties.isFullCompositionExclusion
      else { continue }
      let parts = Array(String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars)
      if parts.count > 1 { wholes[parts] = scalar }
    }
    var pairs: [UInt64: Unicode.Scalar] = [:]
    for (parts, whole) in wholes {
      let first = parts.count == 2 ? parts[0] : wholes[Array(parts.dropLast())]
      if let first, let last = parts.last { pairs[key(first, last)] = whole }
    }
    return pairs
  }()
}
