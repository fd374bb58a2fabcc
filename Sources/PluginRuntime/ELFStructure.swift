/// What the loader takes on trust and follows: addresses, counts and indices. glibc checks few of them, and a wrong one is a signal in the
/// host. Found by damaging libraries (FuzzTests); what a library's code does is not in here.
struct ELFStructure {
  let file: ELFBytes
  let segments: [ELFImage.Segment]
  let dynamic: ELFDynamic
  let symbolCount: UInt64

  private func broken(_ what: String) -> LibraryFault { .unsupported("\(what) is damaged") }

  func check() throws(LibraryFault) {
    try checkSegments()
    try checkTables()
    try checkHash()
    try checkSymbols()
    var written: Set<UInt64> = []
    for (table, size) in [(7, 8), (23, 2)] as [(UInt64, UInt64)] {
      written.formUnion(try relocations(table, size: size))
    }
    written.formUnion(try packedRelocations())
    // What is called holds an address only once a relocation has put it there.
    for place in calledPlaces where !written.contains(place) { throw broken("its table of relocations") }
  }

  // MARK: where things lie

  private var loaded: [ELFImage.Segment] { segments.filter { $0.type == 1 } }

  /// The offset in the file of `size` bytes at an address; nil where they are not all loaded from it.
  private func offset(_ address: UInt64, _ size: UInt64) -> UInt64? {
    for segment in loaded where address >= segment.address && address - segment.address <= segment.fileSize {
      if size <= segment.fileSize - (address - segment.address) { return segment.offset + (address - segment.address) }
    }
    return nil
  }

  /// Whether memory at an address is part of a segment with these rights (1 executable, 2 writable), or of the rest of its last page.
  private func isMemory(_ address: UInt64, _ size: UInt64, rights: UInt32 = 0, toPage: Bool = false) -> Bool {
    loaded.contains { segment in
      let end = segment.address + segment.memorySize
      let last = toPage ? (end + 4095) / 4096 * 4096 : end
      return segment.flags & rights == rights && address >= segment.address && address <= last && size <= last - address
    }
  }

  /// Segments to load come in order and apart; all others lie inside of them, at the place that their offset says.
  private func checkSegments() throws(LibraryFault) {
    let page: UInt64 = 4096
    var (end, fileEnd): (UInt64, UInt64) = (0, 0)
    for segment in loaded {
      let isInOrder = segment.address / page * page >= end && segment.offset >= fileEnd
      // Only what can be written may be longer in memory than in the file.
      let isWhole = segment.flags & 2 != 0 || segment.memorySize == segment.fileSize
      let isReadable = segment.flags & 4 != 0
      guard segment.address % page == segment.offset % page, isInOrder || end == 0, isWhole, isReadable else {
        throw broken("its layout of segments")
      }
      (end, fileEnd) = (segment.address + max(segment.memorySize, 1), segment.offset + segment.fileSize)
    }
    let kinds: Set<UInt32> = [2, 4, 6, 7, 0x6474_E550, 0x6474_E552, 0x6474_E553]  // those that the loader reads
    for segment in segments where kinds.contains(segment.type) {
      let place = offset(segment.address, segment.fileSize)
      guard segment.fileSize <= segment.memorySize, segment.memorySize < 1 << 32, place == segment.offset else {
        throw broken("its layout of segments")
      }
      let needsMemory = segment.type == 2 || segment.type == 0x6474_E552
      guard !needsMemory || isMemory(segment.address, segment.memorySize, rights: 2, toPage: true) else {
        throw broken("its layout of segments")
      }
    }
  }

  // MARK: the dynamic section

  /// Sizes of entries are those of the ABI; tables are loaded; what is called at load lies in code.
  private func checkTables() throws(LibraryFault) {
    for (tag, value) in [(9, 24), (11, 24), (20, 7), (19, 24), (37, 8)] as [(UInt64, UInt64)] {
      if let found = dynamic.tags[tag], found != value { throw broken("its dynamic section") }
    }
    // What the loader looks up for one entry it takes for granted of the other: a table and its size, versions and their lists.
    let (versions, wanted, own): (UInt64, UInt64, UInt64) = (0x6FFF_FFF0, 0x6FFF_FFFE, 0x6FFF_FFFC)
    for (a, b) in [
      (7, 8), (8, 9), (2, 23), (2, 20), (25, 27), (26, 28), (32, 33), (35, 36), (5, 10), (6, 11),
      (wanted, 0x6FFF_FFFF), (own, 0x6FFF_FFFD),
    ] as [(UInt64, UInt64)] where (dynamic.tags[a] == nil) != (dynamic.tags[b] == nil) {
      throw broken("its dynamic section")
    }
    guard (dynamic.tags[versions] == nil) == (dynamic.tags[wanted] == nil && dynamic.tags[own] == nil) else {
      throw broken("its list of versions")
    }
    for tag in [12, 13] as [UInt64] {  // DT_INIT, DT_FINI
      if let address = dynamic.tags[tag], !isMemory(address, 1, rights: 1) { throw broken("its dynamic section") }
    }
    for (table, size) in [(25, 27), (26, 28), (32, 33)] as [(UInt64, UInt64)] {  // arrays of functions
      guard let address = dynamic.tags[table] else { continue }
      let bytes = dynamic.tags[size] ?? 0
      guard bytes % 8 == 0, address % 8 == 0, isMemory(address, bytes, rights: 2) else {
        throw broken("its dynamic section")
      }
    }
    if let got = dynamic.tags[3], !isMemory(got, 24, rights: 2) { throw broken("its dynamic section") }
    for library in dynamic.versioned where !dynamic.needed.contains(library) { throw broken("its list of versions") }
  }

  // MARK: symbols

  private func checkHash() throws(LibraryFault) {
    if let at = dynamic.sysvHash { try checkSystemVHash(at) }
    guard let at = dynamic.gnuHash else { return }
    let (buckets, first): (UInt32, UInt32) = (try file.load(at), try file.load(at + 4))
    let (words, shift): (UInt32, UInt32) = (try file.load(at + 8), try file.load(at + 12))
    guard buckets > 0, words > 0, words.nonzeroBitCount == 1, shift < 64, UInt64(first) <= symbolCount else {
      throw broken("its symbol hash")
    }
    let table = at + 16 + UInt64(words) * 8
    var isEmpty = true
    for i in 0..<UInt64(buckets) {
      let head: UInt32 = try file.load(table + i * 4)
      isEmpty = isEmpty && head == 0
      guard head == 0 || (head >= first && UInt64(head) < symbolCount) else { throw broken("its symbol hash") }
    }
    // Each chain ends at a value whose lowest bit is set; the last symbol ends the last chain.
    if !isEmpty {
      let last: UInt32 = try file.load(table + UInt64(buckets) * 4 + (symbolCount - 1 - UInt64(first)) * 4)
      guard last & 1 == 1 else { throw broken("its symbol hash") }
    }
  }

  private func checkSystemVHash(_ at: UInt64) throws(LibraryFault) {
    let (buckets, chains): (UInt32, UInt32) = (try file.load(at), try file.load(at + 4))
    guard buckets > 0, file.contains(at, 8 + 4 * (UInt64(buckets) + UInt64(chains))) else {
      throw broken("its symbol hash")
    }
    for i in 0..<UInt64(buckets) {
      var (symbol, steps): (UInt32, UInt32) = (try file.load(at + 8 + i * 4), 0)
      while symbol != 0 {
        guard symbol < chains, steps <= chains else { throw broken("its symbol hash") }
        symbol = try file.load(at + 8 + (UInt64(buckets) + UInt64(symbol)) * 4)
        steps += 1
      }
    }
  }

  /// Names lie among the strings, values in memory, versions among those that are wanted.
  private func checkSymbols() throws(LibraryFault) {
    guard let table = dynamic.symbols, let length = dynamic.stringsLength, let strings = dynamic.strings else { return }
    let last: UInt8 = length > 0 ? try file.load(strings + length - 1) : 1
    guard last == 0 else { throw broken("its table of strings") }
    let versions = dynamic.tags[0x6FFF_FFF0].flatMap { offset($0, symbolCount * 2) }
    guard dynamic.tags[0x6FFF_FFF0] == nil || versions != nil else { throw broken("its list of versions") }
    for i in 0..<symbolCount {
      let at = table + i * 24
      let (name, section): (UInt32, UInt16) = (try file.load(at), try file.load(at + 6))
      let (kind, value): (UInt8, UInt64) = (try file.load(at + 4), try file.load(at + 8))
      guard UInt64(name) < length else { throw broken("its table of symbols") }
      let isPlace = section != 0 && section < 0xFF00 && kind & 15 != 6
      if isPlace, !isMemory(value, 0) { throw broken("its table of symbols") }
      guard kind & 15 <= 6 || kind & 15 == 10 else { throw broken("its table of symbols") }
      // A missing symbol that is said to be local or hidden is taken for the start of the library.
      let visibility: UInt8 = try file.load(at + 5)
      if section == 0, i > 0, visibility & 3 != 0 || !(1...2).contains(kind >> 4) {
        throw broken("its table of symbols")
      }
      if let versions {
        let version: UInt16 = try file.load(versions + i * 2)
        let number = version & 0x7FFF
        guard number <= 1 || dynamic.versionNumbers.contains(version) || dynamic.tags[0x6FFF_FFFC] != nil else {
          throw broken("its list of versions")
        }
      }
    }
  }

  // MARK: relocations

  #if arch(x86_64)
    /// R_X86_64_64, GLOB_DAT, JUMP_SLOT, RELATIVE, IRELATIVE, and those of thread-local storage.
    private static let kinds: Set<UInt32> = [1, 6, 7, 8, 37, 16, 17, 18, 36]
    private static let needNoSymbol: Set<UInt32> = [8, 37, 16, 17, 18, 36]
    private static let (relative, indirect): (UInt32, UInt32) = (8, 37)
  #elseif arch(arm64)
    private static let kinds: Set<UInt32> = [257, 1025, 1026, 1027, 1032, 1028, 1029, 1030, 1031]
    private static let needNoSymbol: Set<UInt32> = [1027, 1032, 1028, 1029, 1030, 1031]
    private static let (relative, indirect): (UInt32, UInt32) = (1027, 1032)
  #endif

  /// Where they write: into writable memory, each by a symbol that there is; relative ones point into the library.
  private func relocations(_ tableTag: UInt64, size sizeTag: UInt64) throws(LibraryFault) -> [UInt64] {
    guard let address = dynamic.tags[tableTag] else { return [] }
    let bytes = dynamic.tags[sizeTag] ?? 0
    guard bytes % 24 == 0, let table = offset(address, bytes) else { throw broken("its table of relocations") }
    // The first so many are taken for relative ones (DT_RELACOUNT).
    let relative = tableTag == 7 ? dynamic.tags[0x6FFF_FFF9] ?? 0 : 0
    guard relative <= bytes / 24 else { throw broken("its table of relocations") }
    let called = Set(calledPlaces)
    var written: [UInt64] = []
    for i in 0..<bytes / 24 {
      let (place, info): (UInt64, UInt64) = (try file.load(table + i * 24), try file.load(table + i * 24 + 8))
      let addend: UInt64 = try file.load(table + i * 24 + 16)
      let kind = UInt32(truncatingIfNeeded: info)
      guard Self.kinds.contains(kind), info >> 32 < symbolCount, isMemory(place, 8, rights: 2) else {
        throw broken("its table of relocations")
      }
      let isNamed = !Self.needNoSymbol.contains(kind)
      guard i >= relative || kind == Self.relative, !isNamed || info >> 32 != 0 else {
        throw broken("its table of relocations")
      }
      written.append(place)
      if kind == Self.relative, !isMemory(addend, 0) { throw broken("its table of relocations") }
      if kind == Self.indirect || called.contains(place), !(try isCode(kind, symbol: info >> 32, addend)) {
        throw broken("its table of relocations")
      }
    }
    return written
  }

  /// Whether a relocation gives the address of code: of the library, or of a function by its name.
  private func isCode(_ kind: UInt32, symbol: UInt64, _ addend: UInt64) throws(LibraryFault) -> Bool {
    if kind == Self.relative || kind == Self.indirect { return isMemory(addend, 1, rights: 1) }
    guard let table = dynamic.symbols else { return false }
    let info: UInt8 = try file.load(table + symbol * 24 + 4)
    return info & 15 == 2 && addend == 0
  }

  /// Where DT_RELR writes: addresses, each followed by bit maps of the 63 words behind it.
  private func packedRelocations() throws(LibraryFault) -> [UInt64] {
    guard let address = dynamic.tags[36] else { return [] }
    let bytes = dynamic.tags[35] ?? 0
    guard bytes % 8 == 0, let table = offset(address, bytes) else { throw broken("its table of relocations") }
    var (place, written): (UInt64, [UInt64]) = (0, [])
    for i in 0..<bytes / 8 {
      let word: UInt64 = try file.load(table + i * 8)
      if word & 1 == 0 {
        written.append(word)
        place = word &+ 8
        continue
      }
      for bit in 1..<64 as Range<UInt64> where word >> bit & 1 == 1 { written.append(place &+ (bit - 1) * 8) }
      place = place &+ 63 * 8
    }
    for place in written where !isMemory(place, 8, rights: 2) { throw broken("its table of relocations") }
    return written
  }

  /// The slots of the arrays of functions that the loader calls, whose sizes were checked.
  private var calledPlaces: [UInt64] {
    ([(25, 27), (26, 28), (32, 33)] as [(UInt64, UInt64)]).flatMap { table, size -> [UInt64] in
      guard let start = dynamic.tags[table], let bytes = dynamic.tags[size] else { return [] }
      return Array(stride(from: start, to: start + bytes, by: 8))
    }
  }
}
