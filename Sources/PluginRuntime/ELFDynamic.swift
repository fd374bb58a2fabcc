import Glibc

/// What a library asks of the loader: its dynamic section, read from the file. gABI chapter 5; versions: LSB "Symbol Versioning".
package struct ELFDynamic: Equatable, Sendable {
  /// DT_NEEDED: names of libraries.
  package var needed: [String] = []
  /// Of DT_RPATH and DT_RUNPATH, divided at colons.
  package var searchPaths: [String] = []
  /// Versions of other libraries' symbols, `GLIBC_2.34`.
  package var versions: [String] = []
  /// Relocations would write to code.
  package var rewritesCode = false
  var symbols: UInt64?
  var strings: UInt64?
  var stringsLength: UInt64?
  var sysvHash: UInt64?
  var gnuHash: UInt64?
  /// All entries, the last of each tag.
  var tags: [UInt64: UInt64] = [:]
  /// Libraries of which versions are wanted, and the numbers that stand for those versions.
  var versioned: [String] = []
  var versionNumbers: Set<UInt16> = []
}

extension ELFDynamic {
  /// Reads the entries of the dynamic segment at `offset`; `place` turns an address into an offset of the file.
  init(
    _ file: ELFBytes, at offset: UInt64, size: UInt64, place: (UInt64) -> UInt64?
  ) throws(LibraryFault) {
    var (needs, paths): ([UInt64], [UInt64]) = ([], [])
    var (versionsAt, versionCount): (UInt64?, UInt64) = (nil, 0)
    for entry in 0..<(size / 16) {
      let (tag, value): (UInt64, UInt64) = (try file.load(offset + entry * 16), try file.load(offset + entry * 16 + 8))
      tags[tag] = value
      switch tag {
      case 0: break
      case 1: needs.append(value)
      case 4: sysvHash = place(value)
      case 5: strings = place(value)
      case 6: symbols = place(value)
      case 10: stringsLength = value
      case 15, 29: paths.append(value)
      case 22: rewritesCode = true
      case 30: if value & 4 != 0 { rewritesCode = true }
      case 0x6FFF_FEF5: gnuHash = place(value)
      case 0x6FFF_FFFE: versionsAt = place(value)
      case 0x6FFF_FFFF: versionCount = value
      default: continue
      }
      if tag == 0 { break }
    }
    guard let strings, let stringsLength, symbols != nil, file.contains(strings, stringsLength) else {
      throw .unsupported("its dynamic section names no symbol table")
    }
    func text(_ at: UInt64) throws(LibraryFault) -> String {
      guard at < stringsLength else { throw .truncated("a name lies beyond its strings") }
      return file.string(strings + at, limit: stringsLength - at)
    }
    for at in needs { needed.append(try text(at)) }
    for at in paths {
      searchPaths += try text(at).split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    }
    if let versionsAt { try readVersions(file, versionsAt, count: versionCount, text) }
  }

  /// Verneed records, each with a chain of Vernaux. The loader goes by the chains, which must end where the counts say.
  private mutating func readVersions(
    _ file: ELFBytes, _ start: UInt64, count: UInt64, _ text: (UInt64) throws(LibraryFault) -> String
  ) throws(LibraryFault) {
    var at = start
    for record in 1...max(1, min(count, 256)) {
      let (format, names): (UInt16, UInt16) = (try file.load(at), try file.load(at + 2))
      let (library, first): (UInt32, UInt32) = (try file.load(at + 4), try file.load(at + 8))
      let next: UInt32 = try file.load(at + 12)
      versioned.append(try text(UInt64(library)))
      var name = at + UInt64(first)
      for number in 1...max(1, names) {
        let (word, step): (UInt32, UInt32) = (try file.load(name + 8), try file.load(name + 12))
        versions.append(try text(UInt64(word)))
        versionNumbers.insert(try file.load(name + 6))
        guard (step == 0) == (number >= names) else { throw .unsupported("its list of versions is broken") }
        name += UInt64(step)
      }
      guard format == 1, (next == 0) == (record == max(1, count)) else {
        throw .unsupported("its list of versions is broken")
      }
      at += UInt64(next)
    }
  }

  // MARK: what a plugin may ask for

  /// Beside these a plugin brings along what it needs, linked into it: the bytes that were hashed are then all of it.
  private static let allowed = [
    "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libgcc_s.so.1", "libstdc++.so.6",
    "libc++.so.1", "libc++abi.so.1", "libatomic.so.1", "libgomp.so.1", "libgfortran.so.5", "libquadmath.so.0",
    "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libdispatch.so", "libBlocksRuntime.so",
  ]
  private static let allowedPrefixes = ["libswift", "libFoundation", "lib_Foundation"]

  /// Refuses by name what the loader would refuse less clearly, or what it should not be asked for.
  func check(glibc: String = ELFDynamic.runningGlibc) throws(LibraryFault) {
    for name in needed where !Self.allowed.contains(name) && !Self.allowedPrefixes.contains(where: name.hasPrefix) {
      throw .dependency(name)
    }
    for path in searchPaths where !path.hasPrefix("/") && !path.hasPrefix("$ORIGIN") {
      throw .unsupported("it would look for libraries in '\(path)', which is relative to the current folder")
    }
    guard !rewritesCode else { throw .unsupported("its code is written to when it is loaded (text relocations)") }
    let running = Self.number(glibc)
    for version in versions where version.hasPrefix("GLIBC_") {
      let needed = Self.number(String(version.dropFirst(6)))
      if running.lexicographicallyPrecedes(needed) { throw .newerGlibc(needed: version, here: glibc) }
    }
  }

  private static func number(_ version: String) -> [Int] { version.split(separator: ".").compactMap { Int($0) } }

  /// "2.36"
  static let runningGlibc: String = {
    var text = [CChar](repeating: 0, count: 64)
    confstr(Int32(_CS_GNU_LIBC_VERSION), &text, text.count)
    return String(cString: text).split(separator: " ").last.map(String.init) ?? ""
  }()
}

/// A file, read only within its bounds. Little-endian, as every machine that this host runs on.
struct ELFBytes {
  let raw: UnsafeRawBufferPointer
  var count: Int { raw.count }

  func contains(_ offset: UInt64, _ size: UInt64) -> Bool {
    let (end, overflow) = offset.addingReportingOverflow(size)
    return !overflow && end <= UInt64(raw.count)
  }

  func load<T: FixedWidthInteger>(_ offset: UInt64) throws(LibraryFault) -> T {
    guard contains(offset, UInt64(MemoryLayout<T>.size)) else {
      throw .truncated("byte \(offset) lies beyond its end")
    }
    return raw.loadUnaligned(fromByteOffset: Int(offset), as: T.self)
  }

  func string(_ offset: UInt64, limit: UInt64) -> String {
    let bytes = raw[Int(offset)..<Int(offset + limit)]
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}
