import Foundation
import PluginRuntime
import TestSupport
import Testing

@Suite struct `a plugin's library` {
  @Test func `that is good is loaded and its instance lives its life`() throws {
    let shop = try PluginWorkshop()
    try shop.compile(PluginSource.c(), to: "good.so")
    let library = try PluginLibrary.open(shop.manifest(library: "good.so"))
    #expect(library.sha256.count == 64)
    let instance = try PluginInstance(library, parameters: [], model: ModelFacts(), services: .silent)
    #expect(try instance.plan(nil) == PlanRequest())
    try instance.beginLane(0, ItemFacts())
    try instance.endLane(0, readings: [])
    instance.destroy()
    let late = pluginError { _ = try instance.plan(nil) }
    #expect(late == .failed(plugin: "bad", at: "plan", reason: "was called after destroy"))
  }

  @Test func `truncated at any length is refused by name before it is loaded`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "whole.so")
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    for size in Array(stride(from: 0, to: bytes.count, by: 509)) + [1, 3, 4, 63, 64, 4096, 8192, bytes.count - 1] {
      try bytes.prefix(size).write(to: URL(fileURLWithPath: "\(shop.folder)/cut.so"))
      let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "cut.so")) }
      guard case .library(_, let fault)? = error else {
        Issue.record("\(size) of \(bytes.count) bytes: \(String(describing: error))")
        continue
      }
      switch fault {
      case .truncated: #expect(size >= 4)
      case .notELF: #expect(size < 64)
      default: Issue.record("\(size) bytes: \(fault)")
      }
    }
  }

  @Test func `with any byte changed is accepted or refused and never traps`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "whole.so")
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    var refused = 0
    for offset in Array(0..<(64 + 56 * 12)) + Array(stride(from: 736, to: bytes.count, by: 11)) {
      for value in [UInt8(0), 0x7F, 0xFF, bytes[offset] ^ 1] where value != bytes[offset] {
        var changed = bytes
        changed[offset] = value
        do { _ = try ELFImage(changed, path: "changed.so") } catch { refused += 1 }
      }
    }
    #expect(refused > 200)
  }

  @Test(arguments: [
    (18, [3, 0], "x86"), (18, [40, 0], "arm"), (4, [1], "a 32-bit machine"), (5, [2], "a big-endian machine"),
  ])
  func `for another machine is refused by name`(offset: Int, patch: [UInt8], machine: String) throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(PluginSource.c(), to: "other.so")
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    bytes.replaceSubrange(offset..<offset + patch.count, with: patch)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "other.so")) }
    #expect(error == .library(path: path, fault: .wrongMachine(found: machine, host: ELFImage.machine.name)))
    #expect(error?.diagnosis.exit == .pluginFailure)
  }

  @Test func `that is an object file, an executable, text, a folder or nothing is refused by name`() throws {
    let shop = try PluginWorkshop()
    try shop.compile(PluginSource.c(), to: "a.o", ["-c"])
    try shop.compile("int main(void) { return 0; }", to: "a.out", [])
    try shop.write("{}", to: "a.json")
    func fault(_ file: String) throws -> LibraryFault? {
      guard case .library(_, let fault)? = pluginError({ _ = try SharedObject(path: "\(shop.folder)/\(file)") })
      else { return nil }
      return fault
    }
    #expect(try fault("a.o") == .unsupported("it is an object file, not a shared library"))
    #expect(try fault("a.out") == .unsupported("it is an executable, not a shared library"))
    #expect(try fault("a.json") == .notELF("no ELF magic"))
    #expect(try fault(".") == .notAFile)
    let missing = pluginError { _ = try SharedObject(path: "\(shop.folder)/none.so") }
    #expect(missing?.diagnosis.exit == .missingInput)
  }

  @Test func `of another ABI says which one it speaks`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(
      "__attribute__((visibility(\"default\"))) void *ablate_plugin_entry_v2(void) { return 0; }", to: "v2.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "v2.so")) }
    #expect(error == .library(path: path, fault: .otherABI(exported: "ablate_plugin_entry_v2", host: "v1")))
    #expect(error?.diagnosis.what == "exports ablate_plugin_entry_v2; this host speaks v1")
  }

  @Test(arguments: [
    ("int other = 1;", LibraryFault.noEntry("ablate_plugin_entry_v1")),
    (
      "__attribute__((visibility(\"default\"))) int ablate_plugin_entry_v1 = 1;",
      .notAFunction(symbol: "ablate_plugin_entry_v1", found: "data")
    ),
  ])
  func `without an entry function is refused by name`(source: String, fault: LibraryFault) throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(source, to: "none.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "none.so")) }
    #expect(error == .library(path: path, fault: fault))
  }

  @Test func `whose constructor would end the process is refused before it runs`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(
      "#include <unistd.h>\n__attribute__((constructor)) static void boom(void) { _exit(7); }", to: "ctor.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "ctor.so")) }
    #expect(error == .library(path: path, fault: .noEntry("ablate_plugin_entry_v1")))
  }

  @Test func `with an undefined symbol is refused with the loader's words and its own path`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(
      PluginSource.c(body: "extern int nowhere(void);", entry: "nowhere(); return &library;"), to: "open.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "open.so")) }
    guard case .library(path, .dlopen(let why))? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(why.contains("nowhere") && why.contains(path))
  }

  @Test func `that gives NULL is refused with its own reason`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(
      PluginSource.c(entry: "snprintf(error->message, error->capacity, \"too old\"); return NULL;"),
      to: "null.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "null.so")) }
    #expect(error == .library(path: path, fault: .refused("too old")))
  }

  @Test(arguments: [
    ("{8, 1, 0, 64, plugins, 1}", "library.struct_size"),
    ("{4104, 1, 0, 64, plugins, 1}", "library.struct_size"),
    ("{sizeof library + 4, 1, 0, 64, plugins, 1}", "library.struct_size"),
    ("{sizeof library, 9, 0, 64, plugins, 1}", "library.abi_major"),
    ("{sizeof library, 1, 0, 0, plugins, 1}", "library.pointer_bits"),
    ("{sizeof library, 1, 0, 64, NULL, 1}", "library.plugins"),
    ("{sizeof library, 1, 0, 64, plugins, 1000000000}", "library.plugins"),
    ("{sizeof library, 1, 0, 64, plugins, 0}", "library.plugins"),
  ])
  func `whose table breaks a rule is refused by field`(library: String, field: String) throws {
    let shop = try PluginWorkshop()
    try shop.compile(PluginSource.c(library: library), to: "table.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "table.so")) }
    guard case .descriptor(_, field, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(arguments: [
    (", .struct_size = 64", "plugins[0].struct_size"), (", .struct_size = 0", "plugins[0].struct_size"),
    (", .kind = 3", "plugins[0].kind"), (", .threading = 7", "plugins[0].threading"),
    (", .id = \"\\xff\\xfe\"", "plugins[0].id"), (", .id = NULL", "plugins[0].id"),
    (", .flags = 6", "plugins[0].flags"),
    (", .create = NULL", "plugins[0].create"), (", .plan = NULL", "plugins[0].plan"),
    (", .n_params = 3000000000", "plugin bad.params"),
  ])
  func `whose descriptor breaks a rule is refused by field`(descriptor: String, field: String) throws {
    let shop = try PluginWorkshop()
    try shop.compile(PluginSource.c(descriptor: descriptor), to: "field.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "field.so")) }
    guard case .descriptor(_, field, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func `that holds an id twice is refused`() throws {
    let shop = try PluginWorkshop()
    let path = try shop.compile(
      PluginSource.c(library: "{sizeof library, 1, 0, 64, plugins, 2}", plugins: "&plugin, &plugin"),
      to: "twice.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "twice.so")) }
    #expect(error == .descriptor(path: path, field: "plugins[1].id", problem: "'bad' is used twice"))
  }

  @Test(arguments: [
    (", .version = \"2.0\"", "", "[]", "version"), (", .kind = 2", "", "[]", "kind"),
    (", .flags = 1", "", "[]", "expects_no_change"), (", .id = \"evil\"", "", "[]", "id"),
    ("", "{.struct_size = sizeof(ablate_param), .type = 2, .id = \"a\"}", "[]", "the number of params"),
    (
      "", "{.struct_size = sizeof(ablate_param), .type = 2, .id = \"a\", .def_int = 3}",
      #"[{"id": "a", "type": "i64", "doc": "d", "default": 4}]"#, "a.default"
    ),
    (
      "", "{.struct_size = sizeof(ablate_param), .type = 3, .id = \"a\", .max = 3}",
      #"[{"id": "a", "type": "f64", "doc": "d", "min": 0, "max": 4}]"#, "a.max"
    ),
    (
      "", "{.struct_size = sizeof(ablate_param), .type = 2, .id = \"a\"}",
      #"[{"id": "a", "type": "f64", "doc": "d"}]"#, "a.type"
    ),
  ])
  func `that disagrees with plugin json is refused by field`(
    descriptor: String, params: String, manifest: String, field: String
  ) throws {
    let shop = try PluginWorkshop()
    try shop.compile(PluginSource.c(descriptor: descriptor, params: params), to: "other.so")
    let error = pluginError { _ = try PluginLibrary.open(shop.manifest(library: "other.so", params: manifest)) }
    guard case .mismatch(_, field, _, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }
}
