import Foundation
import TestSupport
import Testing

@Suite struct `ablate_plugin.h` {
  private static let warnings = "-Wall -Wextra -Wpadded -Wpedantic -Wstrict-prototypes -Werror -fsyntax-only"
  private static let include = "-I\(repository)/Sources/PluginABI/include"

  @Test func `compiles as C11 without a warning, and without padding`() throws {
    let folder = try TemporaryFolder()
    try folder.write("#include \"ablate_plugin.h\"\n", to: "a.c")
    _ = try shell("cc -std=c11 \(Self.warnings) \(Self.include) a.c", in: folder.path)
  }

  @Test func `compiles as C++17 without a warning, and without padding`() throws {
    let folder = try TemporaryFolder()
    try folder.write("#include \"ablate_plugin.h\"\n", to: "a.cc")
    let warnings = Self.warnings.replacing("-Wstrict-prototypes ", with: "")
    _ = try shell("c++ -std=c++17 \(warnings) \(Self.include) a.cc", in: folder.path)
  }

  @Test(.enabled(if: exists("/usr/include/dlpack/dlpack.h"), "needs libdlpack-dev"))
  func `begins its tensor with a DLPack tensor`() throws {
    let folder = try TemporaryFolder()
    let pairs = [
      ("data", "data"), ("device_type", "device.device_type"), ("device_id", "device.device_id"), ("ndim", "ndim"),
      ("dtype_code", "dtype.code"), ("dtype_bits", "dtype.bits"), ("dtype_lanes", "dtype.lanes"), ("shape", "shape"),
      ("strides", "strides"), ("byte_offset", "byte_offset"),
    ]
    let asserts = pairs.map { ours, theirs in
      """
      _Static_assert(offsetof(ablate_tensor, \(ours)) == offsetof(DLTensor, \(theirs)), "\(ours)");
      _Static_assert(sizeof ours->\(ours) == sizeof theirs->\(theirs), "size of \(ours)");
      """
    }
    let source = """
      #include "ablate_plugin.h"
      #include <dlpack/dlpack.h>
      extern ablate_tensor *ours;
      extern DLTensor *theirs;
      \(asserts.joined(separator: "\n"))
      _Static_assert(sizeof(DLTensor) == 48 && offsetof(ablate_tensor, size_bytes) == 48, "ours goes on behind theirs");
      _Static_assert(kDLCPU == 1 && kDLFloat == 2, "the values that the header names");
      """
    try folder.write(source, to: "a.c")
    _ = try shell("cc -std=c11 -fsyntax-only \(Self.include) a.c", in: folder.path)
  }

  @Test(.enabled(if: hasCFFI, "needs python3-cffi"))
  func `is read by cffi with the same layout, and a plugin through it`() throws {
    let folder = try TemporaryFolder()
    let plugin = repository + "/Plugins/identity/identity.so"
    let told = try shell(
      "\(python) \(repository)/Tests/Fixtures/abi/layout_by_cffi.py \(Header.path) \(plugin)", in: folder.path)
    let table = try LayoutTable.compiled(Header.read())
    let seen = LayoutTable(told.split(separator: "\n").filter { !$0.hasPrefix("plugin") }.joined(separator: "\n"))
    #expect(told.hasSuffix("plugin identity\n"))
    #expect(seen.sizes == table.sizes)
    #expect(seen.fields.mapValues { [$0.offset, $0.size] } == table.fields.mapValues { [$0.offset, $0.size] })
    #expect(seen.constants == table.constants.filter { $0.key != "the entry symbol" })
  }

  @Test func `and the Rust bindings are the same declarations`() throws {
    let path = repository + "/Sources/PluginABI/bindings/ablate_plugin.rs"
    let written = RustBindings(Header(try Header.read())).text
    if ProcessInfo.processInfo.environment["ABLATE_WRITE_LAYOUT"] != nil {
      try written.write(toFile: path, atomically: true, encoding: .utf8)
    }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == written)
  }

  @Test(.enabled(if: rustc != nil, "needs rustc"))
  func `is laid out alike by Rust without std or crates`() throws {
    let folder = try TemporaryFolder()
    let bindings = repository + "/Sources/PluginABI/bindings/ablate_plugin.rs"
    let table = try LayoutTable.compiled(Header.read())
    let offsets = table.fields.map { name, field in
      let parts = name.split(separator: ".")
      let name = parts[1] == "type" ? "r#type" : parts[1]
      return "const _: () = assert!(core::mem::offset_of!(abi::\(parts[0]), \(name)) == \(field.offset));"
    }
    let sizes = table.sizes.map { "const _: () = assert!(core::mem::size_of::<abi::\($0)>() == \($1));" }
    let source =
      "#![no_std]\n#[path = \"\(bindings)\"]\nmod abi;\n" + (sizes + offsets).sorted().joined(separator: "\n")
    try folder.write(source, to: "layout.rs")
    _ = try shell(
      "\(try #require(rustc)) --crate-type=lib --edition 2021 --emit=metadata layout.rs", in: folder.path)
  }
}

private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

/// Debian's python3-cffi belongs to Debian's Python, which need not be the first in PATH.
private let python = "/usr/bin/python3"

private let hasCFFI = (try? shell("\(python) -c 'import cffi'", in: NSTemporaryDirectory())) != nil

/// Optional: a toolchain of hundreds of megabytes is not installed for one test.
private let rustc = (try? shell("command -v rustc || ls ~/.cargo/bin/rustc", in: NSTemporaryDirectory()))?
  .split(separator: "\n").first.map(String.init)
