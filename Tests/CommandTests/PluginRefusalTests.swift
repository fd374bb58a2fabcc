import Foundation
import Testing

/// A plugin that is missing, damaged, of another kind, or attached with parameters that it does not have.
struct PluginRefusalTests {
  private func capture(
    _ scratch: Scratch, plugin: String, _ more: [String] = [], environment: [String: String] = [:]
  ) throws -> Outcome {
    try Command.run(
      ["capture", "--model", mha, "--inputs", "\(mha)/goldens/clean.safetensors", "--at", "logits"]
        + ["--out", "out.safetensors", "--plugin", plugin] + more, in: scratch, environment: environment)
  }

  /// A copy of a bundled plugin, damaged, as a refusal.
  private func expect(
    _ refusal: Refusal, of plugin: String, parameters: String = "", _ damage: (Scratch) throws -> Void
  ) throws {
    let scratch = try Scratch()
    try scratch.copy("\(repository)/Plugins/\(plugin)", to: plugin)
    try damage(scratch)
    refusal.expect(try capture(scratch, plugin: "./\(plugin)\(parameters)"))
  }

  @Test func `that is undamaged is loaded from a copy, so that each refusal below has its own cause`() throws {
    let scratch = try Scratch()
    for (plugin, parameters) in [("attention-knockout", ""), ("scale", ":factor=2"), ("identity", "")] {
      try scratch.copy("\(repository)/Plugins/\(plugin)", to: plugin)
      let byPath = try capture(scratch, plugin: "./\(plugin)\(parameters)")
      #expect(byPath.status == 0 && byPath.errors.isEmpty, "\(byPath.errors)")
      try scratch.remove("out.safetensors")
      let byName = try capture(
        scratch, plugin: plugin + parameters, environment: ["ABLATE_PLUGIN_PATH": scratch.path])
      #expect(byName.status == 0 && byName.errors.isEmpty, "\(byName.errors)")
      try scratch.remove("out.safetensors")
    }
  }

  @Test(arguments: [
    Refusal(
      "attention-knockuot", 66, "no plugin named 'attention-knockuot'", remedy: "did you mean 'attention-knockout'?"),
    Refusal("Scale", 66, "no plugin named 'Scale'; looked in ", remedy: "did you mean 'scale'?"),
    Refusal("entirely-else", 66, "no plugin named 'entirely-else'", remedy: "ABLATE_PLUGIN_PATH"),
    Refusal("./nowhere", 66, "no such file", at: "./nowhere/plugin.json", remedy: "the path of the folder"),
    Refusal("", 64, "a plugin's name is needed", at: "--plugin ''", remedy: "known: attention-knockout"),
    Refusal(":layers=0", 64, "a plugin's name is needed", at: "--plugin ':layers=0'", remedy: "NAME:key=value"),
    Refusal("identity:loud", 64, "'loud' is not key=value", at: "--plugin 'identity'", remedy: "NAME:key=value"),
  ])
  func `that is not there is named with what was meant`(_ refusal: Refusal) throws {
    refusal.expect(try capture(Scratch(), plugin: refusal.name))
  }

  @Test func `without its library is refused by the library's path`() throws {
    try expect(Refusal("gone", 66, "no such file", at: "identity/identity.so", remedy: "make"), of: "identity") {
      try $0.remove("identity/identity.so")
    }
  }

  @Test func `of another ABI is refused by the version that it speaks`() throws {
    let what = "exports ablate_plugin_entry_v2; this host speaks v1"
    try expect(Refusal("v1", 70, what, at: "identity.so", remedy: "build it from source"), of: "identity") {
      try $0.compile("void *ablate_plugin_entry_v2(void) { return 0; }", to: "identity/identity.so")
    }
  }

  @Test(arguments: [0, 3, 63, 64, 1000, 4096, -1])
  func `whose library is cut off is refused before it is loaded`(size: Int) throws {
    let what = size < 64 ? "is " : "is truncated"
    try expect(Refusal("\(size)", 70, what, at: "identity.so", remedy: "again"), of: "identity") {
      let bytes = try $0.bytes("identity/identity.so")
      try $0.write(bytes.prefix(size < 0 ? bytes.count + size : size), to: "identity/identity.so")
    }
  }

  @Test func `whose library is none, or has no entry, or asks for what is not there, is refused by the cause`() throws {
    let cases: [(refusal: Refusal, source: String?)] = [
      (Refusal("text", 70, "is not an ELF shared library", at: "identity.so", remedy: "make plugins"), nil),
      (
        Refusal("no entry", 70, "does not export ablate_plugin_entry_v1", at: "identity.so", remedy: "ABLATE_EXPORT"),
        "int other = 1;"
      ),
      (
        Refusal("undefined", 70, "nowhere", at: "identity.so", remedy: "link it into the plugin"),
        "int nowhere(void); void *ablate_plugin_entry_v1(void) { nowhere(); return 0; }"
      ),
      (
        Refusal("null", 70, "refused this host", at: "identity.so"),
        "void *ablate_plugin_entry_v1(unsigned minor, void *error) { return 0; }"
      ),
    ]
    for (refusal, source) in cases {
      try expect(refusal, of: "identity") {
        guard let source else {
          try $0.write(
            "no library at all, but long enough for a header of sixty-four bytes", to: "identity/identity.so")
          return
        }
        try $0.compile(source, to: "identity/identity.so")
      }
    }
  }

  @Test func `whose plugin json is damaged is refused by the key`() throws {
    try expect(Refusal("cut", 65, "is not JSON", at: "identity/plugin.json"), of: "identity") {
      try $0.write($0.bytes("identity/plugin.json").prefix(100), to: "identity/plugin.json")
    }
    try expect(Refusal("key", 65, "unknown key", at: "plugin.json", remedy: "summary"), of: "identity") {
      try $0.edit("identity/plugin.json") { $0["sumary"] = $0.removeValue(forKey: "summary") }
    }
    try expect(
      Refusal("kind", 65, "'interventoin'", at: "plugin.json: kind", remedy: "did you mean 'intervention'?"),
      of: "identity"
    ) {
      try $0.edit("identity/plugin.json") { $0["kind"] = "interventoin" }
    }
  }

  // MARK: plain functions

  /// `scale`, declared with another signature than its source has.
  private func expectWrong(_ refusal: Refusal, source: String? = nil, _ change: (inout [String: Any]) -> Void) throws {
    try expect(refusal, of: "scale", parameters: ":factor=2") { scratch in
      try scratch.edit("scale/plugin.json") { manifest in
        var plain = manifest["plain"] as? [String: Any] ?? [:]
        change(&plain)
        manifest["plain"] = plain
      }
      // Without the note, which would tell on the change first.
      let own = try String(contentsOfFile: "\(repository)/Plugins/scale/scale.c", encoding: .utf8)
      try scratch.compile(source ?? own, to: "scale/scale.so")
    }
  }

  @Test func `with a wrong signature fails its known answer in a child process, and the host goes on to say so`() throws
  {
    let remedy = "check the signature in plugin.json against the function's source"
    func failed(_ why: String) -> Refusal {
      Refusal(why, 70, "known-answer test of 'scale' failed: \(why)", at: "scale", remedy: remedy)
    }
    // The function reads the low half of a double: zero.
    try expectWrong(failed("element 0 is 0.0, expected 2.0")) { $0["signature"] = "i32(f32*[n]:rw, i64 n, f64 factor)" }
    // The number of elements stands where the function expects the address.
    try expectWrong(failed("it ended with signal 11 (SIGSEGV)")) {
      $0["signature"] = "i32(i64 n, f32*[n]:rw, f32 factor)"
      $0["bind"] = ["view.count", "view.data", "param.factor"]
    }
    try expectWrong(failed("it returned 7, not 0"), source: "int scale(void) { return 7; }") { _ in }
    try expectWrong(
      failed("it left the process with status 3"), source: "#include <stdlib.h>\nint scale(void) { exit(3); }"
    ) { _ in }
  }

  @Test func `with a signature or a symbol that cannot be is refused by the key`() throws {
    try expectWrong(
      Refusal("grammar", 65, "is not a signature", at: "plugin.json: plain.signature", remedy: "for example")
    ) {
      $0["signature"] = "i32(f32*[n]:rw, i64 n"
    }
    try expectWrong(
      Refusal("type", 65, "is no argument type: i32", at: "plugin.json: plain.signature", remedy: "for example")
    ) {
      $0["signature"] = "i32(f99*[n]:rw, i64 n, f32 factor)"
    }
    try expectWrong(Refusal("count", 65, "2 bindings for 3 arguments", at: "plugin.json: plain.bind")) {
      $0["bind"] = ["view.data", "view.count"]
    }
    try expectWrong(Refusal("symbol", 70, "scael", at: "scale", remedy: " ")) { $0["symbol"] = "scael" }
  }

  // MARK: parameters

  @Test(arguments: [
    ("attention-knockout:towr=text", Refusal("towr", 65, "no such parameter", remedy: "did you mean 'tower'?")),
    (
      "attention-knockout:tower=txt",
      Refusal("tower", 65, "must be one of vision, text, not 'txt'", remedy: "the tower")
    ),
    ("attention-knockout:heads=900", Refusal("heads", 65, "must lie in 0", remedy: "the heads")),
    ("attention-knockout:heads=-1", Refusal("heads", 65, "must lie in 0", remedy: "the heads")),
    ("attention-knockout:heads=0+x", Refusal("heads", 65, "must be an integer, not 'x'", remedy: "the heads")),
    (
      "attention-knockout:keep_self=perhaps",
      Refusal("keep_self", 65, "must be true or false, not 'perhaps'", remedy: "attend to itself")
    ),
    ("scale", Refusal("factor", 65, "is required and was not given", remedy: "multiplied by")),
    ("scale:factor=inf", Refusal("factor", 65, "must be a finite number, not 'inf'", remedy: "multiplied by")),
    ("scale:factor=two", Refusal("factor", 65, "must be a finite number, not 'two'", remedy: "multiplied by")),
    ("zero-heads", Refusal("heads", 65, "is required and was not given", remedy: "the heads")),
  ])
  func `with a parameter that it does not take is refused by the parameter's name`(
    plugin: String, _ refusal: Refusal
  ) throws {
    var refusal = refusal
    refusal.at = "plugin \(plugin.prefix { $0 != ":" }), parameter \(refusal.name)"
    refusal.expect(try capture(Scratch(), plugin: plugin))
  }

  @Test(arguments: [
    (
      "attention-knockout:heads=9",
      Refusal("head 9", 65, "head 9 does not exist", at: "vision.0", remedy: "from 0 to 2")
    ),
    (
      "attention-knockout:tower=text,layers=9",
      Refusal("layer 9", 65, "text has layers 0 to 2", at: "attention-knockout", remedy: "change the layers")
    ),
    (
      "attention-knockout:layers=2",
      Refusal("dead", 65, "cannot affect the output", at: "attention-knockout", remedy: "use layers 0 to 1")
    ),
    (
      "scale:factor=2,site=resid_pots",
      Refusal("site", 64, "no site 'resid_pots'", at: "scale", remedy: "did you mean 'resid_post'?")
    ),
    (
      "attention-knockout:tower=text,queries=image,keys=all,keep_self=false",
      Refusal("empty", 65, "may attend to nothing", at: "text.0.attn_scores", remedy: "on_empty")
    ),
    (
      "attention-knockout:tower=text,queries=mask:part",
      Refusal("nothing", 70, "matched nothing", at: "attention-knockout", remedy: "masks exist only in a dataset")
    ),
    ("scale:factor=1e30", Refusal("overflow", 70, "not finite", at: "scale, text.")),
  ])
  func `that asks for what the model does not have is refused by the place`(plugin: String, _ refusal: Refusal) throws {
    refusal.expect(try capture(Scratch(), plugin: plugin))
  }

  @Test func `that crashes in a worker is refused by its place and what it said last, and the host goes on to say so`()
    throws
  {
    let body = """
      #include <stdio.h>
      #include <stdlib.h>
      int scale(float *x, long n, float factor) { if (factor == 9) fputs("no nines\\n", stderr), abort();
        for (long i = 0; i < n; i++) x[i] *= factor; return 0; }
      """
    let scratch = try Scratch()
    try scratch.copy("\(repository)/Plugins/scale", to: "scale")
    try scratch.compile(body, to: "scale/scale.so")
    let crash = "it ended with signal 6 (SIGABRT): no nines"
    Refusal("crash", 70, crash, at: "plugin scale, text.0.resid_post").expect(
      try capture(scratch, plugin: "./scale:factor=9", ["--worker"]))
    #expect(try capture(scratch, plugin: "./scale:factor=2", ["--worker"]).status == 0)
  }

  @Test func `that changes nothing warns, and its result stands`() throws {
    let scratch = try Scratch()
    let outcome = try capture(scratch, plugin: "scale:factor=1")
    #expect(outcome.status == 0 && outcome.made == ["out.safetensors"])
    #expect(outcome.errors == "warning: scale changed nothing\n")
  }
}
