import Diagnostics

/// What must be known of an ELF shared library before the loader maps it: a truncated one kills the process with SIGBUS
/// inside dlopen. Reads bytes, runs nothing. Layouts: the System V ABI, chapters 4 and 5, and elf(5).
package struct ELFImage: Equatable, Sendable {
  /// A defined dynamic symbol that other objects can see.
  package struct Symbol: Equatable, Sendable {
    package var name: String
    /// STT_: 1 object, 2 function, 10 indirect function.
    package var type: UInt8
    /// STV_: 0 default, 3 protected are exported; 1 internal, 2 hidden are not.
    package var visibility: UInt8
    package var binding: UInt8

    package var isExportedFunction: Bool {
      type == 2 && (visibility == 0 || visibility == 3) && (binding == 1 || binding == 2)
    }
  }

  package private(set) var symbols: [Symbol] = []
  /// The plugin.json that the library carries (Sources/PluginABI/bindings/ablate_note.S); nil: it carries none.
  package private(set) var manifestNote: [UInt8]?
  private var segments: [Segment] = []

  private struct Segment: Equatable {
    var type: UInt32
    var offset: UInt64
    var address: UInt64
    var fileSize: UInt64
    var memorySize: UInt64
    var alignment: UInt64
  }

  /// This machine's e_machine, and its name.
  #if arch(x86_64)
    package static let machine: (code: UInt16, name: String) = (62, "x86-64")
  #elseif arch(arm64)
    package static let machine: (code: UInt16, name: String) = (183, "aarch64")
  #endif

  /// Checks the header, the program headers and the dynamic symbol table of a whole file. `path` is only for messages.
  package init(_ bytes: [UInt8], path: String) throws(PluginError) {
    let result = bytes.withUnsafeBytes { raw in
      Result { () throws(LibraryFault) in try ELFImage(Bytes(raw: raw)) }
    }
    do { self = try result.get() } catch { throw .library(path: path, fault: error) }
  }

  private init(_ file: Bytes) throws(LibraryFault) {
    try Self.checkIdentity(file)
    segments = try Self.readSegments(file)
    symbols = try readSymbols(file)
    manifestNote = try readManifestNote(file)
  }

  package func symbol(_ name: String) -> Symbol? { symbols.first { $0.name == name } }

  private static func checkIdentity(_ file: Bytes) throws(LibraryFault) {
    guard file.count > 0 else { throw .notELF("the file is empty") }
    guard file.count >= 4, file.raw.starts(with: [0x7F, 0x45, 0x4C, 0x46]) else { throw .notELF("no ELF magic") }
    guard file.count >= 64 else { throw .truncated("\(file.count) bytes end within the ELF header") }
    guard file.raw[4] == 2 else { throw .wrongMachine(found: "a 32-bit machine", host: machine.name) }
    guard file.raw[5] == 1 else { throw .wrongMachine(found: "a big-endian machine", host: machine.name) }
    let code: UInt16 = try file.load(18)
    guard code == machine.code else {
      let names: [UInt16: String] = [3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 243: "RISC-V"]
      throw .wrongMachine(found: names[code] ?? "e_machine \(code)", host: machine.name)
    }
    let type: UInt16 = try file.load(16)
    let kinds: [UInt16: String] = [1: "an object file", 2: "an executable", 4: "a core dump"]
    guard type == 3 else { throw .unsupported("it is \(kinds[type] ?? "of ELF type \(type)"), not a shared library") }
  }

  private static func readSegments(_ file: Bytes) throws(LibraryFault) -> [Segment] {
    let table: UInt64 = try file.load(32)
    let (size, count): (UInt16, UInt16) = (try file.load(54), try file.load(56))
    guard size == 56, count > 0, count < 0xFFFF else {
      throw .notELF("\(count) program headers of \(size) bytes")
    }
    let all = file.contains(table, UInt64(count) * 56)
    guard all else { throw .truncated("the program headers lie beyond its end") }
    var segments: [Segment] = []
    for i in 0..<UInt64(count) {
      let at = table + i * 56
      let segment = Segment(
        type: try file.load(at), offset: try file.load(at + 8), address: try file.load(at + 16),
        fileSize: try file.load(at + 32), memorySize: try file.load(at + 40), alignment: try file.load(at + 48))
      try check(segment, in: file)
      segments.append(segment)
    }
    guard segments.contains(where: { $0.type == 2 }) else { throw .unsupported("it has no dynamic section") }
    let sections: UInt64 = try file.load(40)
    let (width, number): (UInt16, UInt16) = (try file.load(58), try file.load(60))
    guard sections == 0 || file.contains(sections, UInt64(width) * UInt64(number)) else {
      throw .truncated("the section headers lie beyond its end")
    }
    return segments
  }

  private static func check(_ segment: Segment, in file: Bytes) throws(LibraryFault) {
    switch segment.type {
    case 1, 2, 4:
      guard file.contains(segment.offset, segment.fileSize) else {
        throw .truncated("a segment ends at byte \(segment.offset &+ segment.fileSize) of \(file.count)")
      }
      guard segment.memorySize >= segment.fileSize, segment.memorySize < 1 << 32, segment.address < 1 << 47 else {
        throw .unsupported("a segment wants \(segment.memorySize) bytes of memory")
      }
    case 3: throw .unsupported("it is an executable, not a shared library")
    default: break
    }
  }

  /// The symbols that the loader can find, by way of the dynamic section: section headers may be stripped.
  private func readSymbols(_ file: Bytes) throws(LibraryFault) -> [Symbol] {
    var tags: [UInt64: UInt64] = [:]
    for segment in segments where segment.type == 2 {
      for entry in 0..<(segment.fileSize / 16) {
        let tag: UInt64 = try file.load(segment.offset + entry * 16)
        if tag == 0 { break }
        tags[tag] = try file.load(segment.offset + entry * 16 + 8)
      }
    }
    guard let table = tags[6].flatMap(fileOffset), let strings = tags[5].flatMap(fileOffset), let length = tags[10],
      file.contains(strings, length)
    else { throw .unsupported("its dynamic section names no symbol table") }
    let count = try symbolCount(file, sysv: tags[4].flatMap(fileOffset), gnu: tags[0x6FFF_FEF5].flatMap(fileOffset))
    guard file.contains(table, count * 24) else { throw .truncated("the symbol table lies beyond its end") }
    var found: [Symbol] = []
    for i in 0..<count {
      let at = table + i * 24
      let (name, info, other): (UInt32, UInt8, UInt8) = (
        try file.load(at), try file.load(at + 4), try file.load(at + 5)
      )
      let section: UInt16 = try file.load(at + 6)
      guard section != 0, info >> 4 != 0, UInt64(name) < length else { continue }
      let text = file.string(strings + UInt64(name), limit: length - UInt64(name))
      found.append(Symbol(name: text, type: info & 15, visibility: other & 3, binding: info >> 4))
    }
    return found
  }

  /// The symbol table's length stands only in the hash tables: DT_HASH's second word, or the last chain of DT_GNU_HASH.
  private func symbolCount(_ file: Bytes, sysv: UInt64?, gnu: UInt64?) throws(LibraryFault) -> UInt64 {
    if let sysv {
      let count: UInt32 = try file.load(sysv + 4)
      return UInt64(count)
    }
    guard let gnu else { throw .unsupported("it has no symbol hash table") }
    let (buckets, first): (UInt32, UInt32) = (try file.load(gnu), try file.load(gnu + 4))
    let bloom: UInt32 = try file.load(gnu + 8)
    let bucketsAt = gnu + 16 + UInt64(bloom) * 8
    guard file.contains(bucketsAt, UInt64(buckets) * 4) else { throw .truncated("the symbol hash lies beyond its end") }
    var last: UInt32 = 0
    for i in 0..<UInt64(buckets) { last = max(last, try file.load(bucketsAt + i * 4)) }
    guard last >= first, last > 0 else { return UInt64(first) }
    let chains = bucketsAt + UInt64(buckets) * 4
    while true {
      let hash: UInt32 = try file.load(chains + UInt64(last - first) * 4)
      if hash & 1 == 1 { return UInt64(last) + 1 }
      last += 1
    }
  }

  /// Notes lie one behind the other: three words (size of the owner's name, of the content, type), the name, the content.
  /// Contents and notes begin at multiples of the segment's alignment from the note's start. gABI, "Note Section".
  private func readManifestNote(_ file: Bytes) throws(LibraryFault) -> [UInt8]? {
    var found: [UInt8]?
    for segment in segments where segment.type == 4 {
      let mask: UInt64 = segment.alignment == 8 ? 7 : 3
      var at = segment.offset
      let end = segment.offset + segment.fileSize
      while at + 12 <= end {
        let (owner, size): (UInt32, UInt32) = (try file.load(at), try file.load(at + 4))
        let type: UInt32 = try file.load(at + 8)
        let content = at + (12 + UInt64(owner) + mask) & ~mask
        guard content + UInt64(size) <= end else { throw .badNote("a note ends beyond its segment") }
        if type == Self.noteType, owner == 7, file.string(at + 12, limit: 7) == "Ablate" {
          guard found == nil else { throw .badNote("it carries two plugin.json") }
          guard size <= PluginManifest.sizeCap else { throw .badNote("its plugin.json has \(size) bytes") }
          found = Array(file.raw[Int(content)..<Int(content) + Int(size)])
        }
        at += (content - at + UInt64(size) + mask) & ~mask
      }
    }
    return found
  }

  /// "Ablt"
  private static let noteType: UInt32 = 0x4162_6c74

  private func fileOffset(of address: UInt64) -> UInt64? {
    for segment in segments where segment.type == 1 {
      if address >= segment.address, address - segment.address < segment.fileSize {
        return segment.offset + (address - segment.address)
      }
    }
    return nil
  }

  /// The file, read only within its bounds. Little-endian, as every machine that this host runs on.
  private struct Bytes {
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
}
