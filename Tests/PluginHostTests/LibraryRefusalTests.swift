import Foundation
import PluginRuntime
import TestSupport
import Testing

/// Cases 1 to 17 of the list in docs/bad-plugins.md that `PluginRuntimeTests` does not have: what is refused before any code of the library
/// runs. Offsets are those of the ELF header (e_phoff 32) and of its program headers of 56 bytes.
@Suite struct `a library is refused before it is loaded` {
  /// The bytes of a good library, with a look into its program headers.
  private struct Bytes {
    var all: [UInt8]

    init(_ path: String) throws { all = Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

    func word<T: FixedWidthInteger>(_ offset: Int, _ type: T.Type) -> T {
      all.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
    }

    mutating func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
      withUnsafeBytes(of: value) { all.replaceSubrange(offset..<offset + $0.count, with: $0) }
    }

    /// Where the first program header of a type lies.
    func header(_ type: UInt32) throws -> Int {
      let table = Int(word(32, UInt64.self))
      return try #require(
        (0..<Int(word(56, UInt16.self))).map { table + $0 * 56 }.first { word($0, UInt32.self) == type })
    }
  }

  private func fault(_ path: String) -> LibraryFault? {
    guard case .library(_, let fault)? = pluginError({ _ = try SharedObject(path: path) }) else { return nil }
    return fault
  }

  private func fault(_ change: (inout Bytes) throws -> Void) throws -> LibraryFault? {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "changed.so")
    var bytes = try Bytes(path)
    try change(&bytes)
    try Data(bytes.all).write(to: URL(fileURLWithPath: path))
    return fault(path)
  }

  private let load: UInt32 = 1
  private let dynamic: UInt32 = 2
  private let stack: UInt32 = 0x6474_E551

  @Test func `that is whole is not`() throws { #expect(try fault { _ in } == nil) }

  @Test func `with a segment beyond its end, case 8`() throws {
    let found = try fault { $0.put(UInt64(1) << 30, at: try $0.header(load) + 32) }
    guard case .truncated(let why)? = found else { throw Missing(what: "\(String(describing: found))") }
    #expect(why.contains("a segment ends at byte"))
  }

  @Test(arguments: [UInt64.max, UInt64.max - 55, 1 << 40]) func `with headers at an offset that overflows, case 9`(
    offset: UInt64
  ) throws {
    #expect(try fault { $0.put(offset, at: 32) } == .truncated("the program headers lie beyond its end"))
  }

  @Test func `that wants terabytes, case 10`() throws {
    let found = try fault { $0.put(UInt64(1) << 42, at: try $0.header(load) + 40) }
    #expect(found == .unsupported("a segment wants 4398046511104 bytes of memory"))
  }

  @Test func `without a dynamic section, case 11`() throws {
    #expect(try fault { $0.put(UInt32(0), at: try $0.header(dynamic)) } == .unsupported("it has no dynamic section"))
  }

  @Test func `that wants an executable stack or says nothing of it, case 12`() throws {
    let found = LibraryFault.unsupported("it wants an executable stack")
    #expect(try fault { $0.put(UInt32(7), at: try $0.header(stack) + 4) } == found)
    #expect(try fault { $0.put(UInt32(0), at: try $0.header(stack)) } == found)
  }

  @Test func `whose code is written to as it is loaded, case 12`() throws {
    let found = try fault { bytes in
      let offset = Int(bytes.word(try bytes.header(dynamic) + 8, UInt64.self))
      // DT_NULL ends the section; the linker leaves spare entries behind it.
      let end = try #require((0..<40).map { offset + 16 * $0 }.first { bytes.word($0, UInt64.self) == 0 })
      bytes.put(UInt64(22), at: end)
    }
    #expect(found == .unsupported("its code is written to when it is loaded (text relocations)"))
  }

  @Test func `that needs a library of its own, case 14`() throws {
    let shop = try PluginWorkshop()
    try shop.compile(
      "int helper(void) { return 1; }", to: "libhelper.so", ["-shared", "-fPIC", "-fvisibility=default"])
    let path = try shop.compile(
      PluginSource.c(body: "int helper(void);", entry: "return helper() ? &library : NULL;"), to: "needs.so",
      ["-shared", "-fPIC", "-Wl,--no-as-needed", "\(shop.folder)/libhelper.so"])
    guard case .dependency(let name)? = fault(path) else { throw Missing(what: "\(String(describing: fault(path)))") }
    #expect(name.hasSuffix("libhelper.so"))
  }

  @Test func `that would look for libraries in the current folder`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "path.so", ["-shared", "-fPIC", "-Wl,-rpath,lib"])
    #expect(
      fault(path)
        == .unsupported("it would look for libraries in 'lib', which is relative to the current folder"))
  }

  @Test func `that needs a newer glibc, case 15`() throws {
    let found = try fault { bytes in
      let name = Array("GLIBC_2.2.5".utf8)
      let at = try #require(bytes.all.indices.first { bytes.all[$0...].starts(with: name) })
      bytes.all.replaceSubrange(at..<at + name.count, with: Array("GLIBC_2.9.9".utf8))
      bytes.all[at + 8] = UInt8(ascii: "9")
      bytes.all.replaceSubrange(at + 6..<at + 11, with: Array("9.2.5".utf8))
    }
    guard case .newerGlibc("GLIBC_9.2.5", _)? = found else { throw Missing(what: "\(String(describing: found))") }
  }

  @Test func `and what is loaded are the bytes that were checked, whatever becomes of the file, case 16`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile("__attribute__((visibility(\"default\"))) int f(void) { return 1; }", to: "f.so")
    let object = try SharedObject(path: path)
    try Data("nothing".utf8).write(to: URL(fileURLWithPath: path))
    let address = try object.load("f")
    #expect(unsafeBitCast(address, to: (@convention(c) () -> Int32).self)() == 1)
  }

  @Test func `that is a link, a pipe, a device or a folder, case 17`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "real.so")
    symlink(path, "\(shop.folder)/link.so")
    mkfifo("\(shop.folder)/pipe.so", 0o600)
    #expect(fault("\(shop.folder)/link.so") == .symbolicLink)
    for file in ["\(shop.folder)/pipe.so", "/dev/zero", shop.folder] { #expect(fault(file) == .notAFile, "\(file)") }
  }

  @Test func `that is larger than any library`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.write("", to: "huge.so")
    truncate(path, 1 << 30)
    #expect(fault(path) == .tooLarge(bytes: 1 << 30, cap: 256 << 20))
  }

  @Test(.enabled(if: geteuid() == 0, "only root can give a file away"))
  func `that belongs to another user, case 17`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "given.so")
    chown(path, 4711, 4711)
    #expect(fault(path) == .foreign(owner: 4711))
    chown(path, 0, 4711)  // a team's group is no stranger
    #expect(fault(path) == nil)
  }

  @Test func `that everybody may write to, or to its folder, case 17`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "open/shared.so")
    #expect(fault(path) == nil)
    chmod(path, 0o666)
    #expect(fault(path) == .writable(path))
    chmod(path, 0o664)
    chmod("\(shop.folder)/open", 0o777)
    guard case .writable(let folder)? = fault(path) else { throw Missing(what: "\(String(describing: fault(path)))") }
    #expect(folder.hasSuffix("/open"))
    chmod("\(shop.folder)/open", 0o1777)  // sticky: what is in it stays its owner's
    #expect(fault(path) == nil)
  }
}
