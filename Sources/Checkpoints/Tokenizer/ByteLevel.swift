/// GPT-2's alphabet: each byte as one visible character, so that a vocabulary of characters covers any text.
enum ByteLevel {
  /// The character of each byte, as UTF-8.
  private static let characterOfByte: [[UInt8]] = scalars.map { Array(String($0).utf8) }
  private static let byteOfScalar: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: scalars.enumerated().map { ($0.element, UInt8($0.offset)) })

  /// Visible Latin-1 stands for itself; the other bytes take U+0100 and on, in order.
  private static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 256
    return (0..<256).map { (byte: Int) -> Unicode.Scalar in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(UInt8(byte))
      default:
        next += 1
        return Unicode.Scalar(next - 1) ?? " "
      }
    }
  }()

  static func characters(of bytes: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count * 2)
    for byte in bytes { result.append(contentsOf: characterOfByte[Int(byte)]) }
    return result
  }

  /// The bytes that a piece stands for; a piece with a character outside the alphabet stands for itself.
  static func bytes(of piece: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    for scalar in String(decoding: piece, as: UTF8.self).unicodeScalars {
      guard let byte = byteOfScalar[scalar] else { return piece }
      result.append(byte)
    }
    return result
  }
}
