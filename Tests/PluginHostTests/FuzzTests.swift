import Foundation
import PluginRuntime
import TestSupport
import Testing

/// Seeded damage to libraries and manifests: what is refused is refused in words, and what is accepted can be loaded.
/// `make fuzz` runs a million of each.
@Suite(.serialized) struct FuzzTests {
  private static let runs = ProcessInfo.processInfo.environment["ABLATE_FUZZ_RUNS"].flatMap { Int($0) } ?? 2000

  // MARK: libraries

  /// Where the loader reads: everything but code, the data that code reads, and where code begins (the values of DT_INIT and DT_FINI, the
  /// addends for arrays of functions), which no reader of tables can tell from another place in the code.
  private static func structure(_ bytes: [UInt8]) -> [Int] {
    func word<T: FixedWidthInteger>(_ at: Int, _: T.Type) -> Int {
      Int(bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: T.self) })
    }
    let table = word(32, UInt64.self)
    var trusted: Set<Int> = []
    var ranges = [0..<table + 56 * word(56, UInt16.self)]
    for header in (0..<word(56, UInt16.self)).map({ table + 56 * $0 }) {
      let (type, flags) = (word(header, UInt32.self), word(header + 4, UInt32.self))
      let (offset, size) = (word(header + 8, UInt64.self), word(header + 32, UInt64.self))
      // The first segment holds the symbols, strings, hashes, versions and relocations; it is read-only and no code.
      if type == 2 || (type == 1 && flags == 4 && offset == 0) { ranges.append(offset..<offset + size) }
      guard type == 2 else { continue }
      let entries = (0..<size / 16).map { (word(offset + 16 * $0, Int.self), offset + 16 * $0 + 8) }
      let tags = Dictionary(entries.map { ($0, word($1, Int.self)) }) { first, _ in first }
      for (tag, at) in entries where tag == 12 || tag == 13 { trusted.formUnion(at..<at + 8) }
      let (rela, array) = (tags[7] ?? 0, tags[25] ?? 0)  // init_array, and fini_array behind it
      for entry in stride(from: rela, to: rela + (tags[8] ?? 0), by: 24)
      where (array..<array + 16).contains(word(entry, Int.self)) {
        trusted.formUnion(entry + 16..<entry + 24)
      }
    }
    return ranges.joined().filter { !trusted.contains($0) }
  }

  private static func damage(_ whole: [UInt8], _ structure: [Int], _ random: inout SeededNumbers) -> [UInt8] {
    var bytes = whole
    for _ in 0...Int.random(in: 0..<3, using: &random) {
      let at = structure.randomElement(using: &random) ?? 0
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: bytes[at] = UInt8.random(in: 0...255, using: &random)
      default:
        let words: [UInt64] = [
          0, 1, .max, 1 << 31, 1 << 40, UInt64(whole.count), UInt64(whole.count) - 1, random.next() % 100_000,
        ]
        let word = words.randomElement(using: &random) ?? 0
        let place = at & ~7
        guard place + 8 <= bytes.count, structure.contains(place) else { continue }
        withUnsafeBytes(of: word) { bytes.replaceSubrange(place..<place + 8, with: $0) }
      }
    }
    return bytes
  }

  @Test func `a library cut at any byte is refused by name`() throws {
    let shop = try PluginWorkshop()
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: shop.compile(PluginSource.c(), to: "whole.so"))))
    for size in bytes.indices {
      let error = pluginError { _ = try ELFImage(Array(bytes.prefix(size)), path: "cut.so") }
      guard case .library? = error else {
        throw Missing(what: "cut at \(size) of \(bytes.count): \(String(describing: error))")
      }
    }
  }

  @Test func `a library whose structure is damaged is refused, or loaded without a signal`() throws {
    let shop = try PluginWorkshop()
    let whole = Array(try Data(contentsOf: URL(fileURLWithPath: shop.compile(PluginSource.c(), to: "whole.so"))))
    let structure = Self.structure(whole)
    var random = SeededNumbers(1)
    var (refused, loaded, ends): (Int, Int, [String]) = (0, 0, [])
    for run in 0..<Self.runs {
      let bytes = Self.damage(whole, structure, &random)
      let path = "\(shop.folder)/damaged.so"
      do { _ = try ELFImage(bytes, path: path) } catch {
        refused += 1
        continue
      }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      loaded += 1
      guard let end = endOfLoading(path) else { continue }
      let changed = bytes.indices.filter { bytes[$0] != whole[$0] }.map { "\($0): \(whole[$0]) -> \(bytes[$0])" }
      ends.append("run \(run): \(end), bytes \(changed.joined(separator: ", "))")
    }
    print(
      "fuzz: \(Self.runs) damaged libraries, \(refused) refused, \(loaded) handed to the loader, \(ends.count) ended badly"
    )
    for end in ends.prefix(40) { print("  \(end)") }
    #expect(ends.isEmpty)
  }

  // MARK: manifests

  @Test func `a damaged manifest is accepted or refused with its place, and never traps`() throws {
    let good = try String(contentsOfFile: "\(PluginWorkshop.root)/Plugins/scale/plugin.json", encoding: .utf8)
    let pieces = [
      "{", "}", "[", "]", "\"", ":", ",", "null", "true", "1e400", "-0", "99999999999999999999", "\\u0000", "\\ud800",
      "\u{FEFF}", "id", "all", "../", String(repeating: "[", count: 600), "\u{0}", "\u{E000}", "1e-9999", "0x10",
    ].map { Array($0.utf8) }
    var random = SeededNumbers(2)
    var (refused, accepted) = (0, 0)
    for _ in 0..<Self.runs * 5 {
      var bytes = Array(good.utf8)
      for _ in 0...Int.random(in: 0..<3, using: &random) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        let end = min(bytes.count, at + Int.random(in: 0..<12, using: &random))
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.removeSubrange(at..<end)
        case 2: bytes.insert(contentsOf: bytes[at..<end], at: Int.random(in: 0...bytes.count, using: &random))
        default: bytes.replaceSubrange(at..<end, with: pieces.randomElement(using: &random) ?? [])
        }
        if bytes.isEmpty { bytes = [32] }
      }
      do {
        _ = try PluginManifest(json: Data(bytes), path: "fuzz/plugin.json")
        accepted += 1
      } catch {
        refused += 1
        guard error.diagnosis.place.hasPrefix("fuzz/plugin.json") else { throw Missing(what: "\(error)") }
      }
    }
    print("fuzz: \(refused + accepted) damaged manifests, \(refused) refused, \(accepted) accepted")
    #expect(refused > accepted)
  }
}
