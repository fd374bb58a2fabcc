import Foundation
import TestSupport
import Testing

/// `ablate plugin check`: the bundled plugins pass, and each seeded fault fails the check that is named for it, and no other.
@Suite struct PluginCheckTests {
  /// The checks that failed, by name.
  private func failed(_ plugin: String, in scratch: Scratch) throws -> [String] {
    // A fault that hangs waits for the limit.
    let outcome = try Command.run(["plugin", "check", plugin, "--json", "--timeout", "6"], in: scratch)
    let report = try #require(
      try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any], "\(outcome.errors)")
    let checks = try #require(report["checks"] as? [[String: String]])
    #expect(checks.count == 23)
    let failed = checks.filter { $0["verdict"] == "failed" }.compactMap { $0["check"] }
    #expect(outcome.status == (failed.isEmpty ? 0 : 70), "\(outcome.errors)")
    return failed
  }

  @Test(arguments: [
    "attention-knockout", "attention-mass", "identity", "linear-probe", "logit-lens", "mlp-probe", "nearest-mean",
    "random-edges", "scale", "tuned-lens", "zero-heads",
  ])
  func `passes the repository's plugins`(name: String) throws {
    #expect(try failed("\(repository)/Plugins/\(name)", in: Scratch()) == [])
  }

  #if arch(x86_64)
    @Test(arguments: frozenPlugins)
    func `passes the plugins that were built with ABI 1.0`(name: String) throws {
      #expect(try failed("\(repository)/Tests/Fixtures/abi/1.0/\(name)", in: Scratch()) == [])
    }
  #endif

  private static let manifest = PluginSource.manifest(
    library: "bad.so",
    params: """
      [{"id": "factor", "type": "f64", "default": 2, "min": 0, "max": 8, "doc": "times"},
       {"id": "shift", "type": "f64", "default": 0.5, "min": -1, "max": 1, "doc": "plus"}]
      """, footprint: #"{"tower": "text", "sites": ["resid_post"], "access": "rw"}"#)

  /// The fixture with this fault, in the folder `bad`.
  private func build(_ fault: String, in scratch: Scratch) throws {
    try scratch.write(Self.manifest, to: "bad/plugin.json")
    if fault == "no_change" { try scratch.edit("bad/plugin.json") { $0["flags"] = ["expects_no_change"] } }
    let cc = Process()
    cc.executableURL = URL(fileURLWithPath: "/bin/sh")
    let abi = "\(repository)/Sources/PluginABI"
    cc.currentDirectoryURL = URL(fileURLWithPath: scratch.file("bad"))
    cc.arguments = [
      "-c",
      "cc -c -I. -o note.o \(abi)/bindings/ablate_note.S && cc -std=gnu11 -O1 -fPIC -shared -fvisibility=hidden -DBAD_\(fault) "
        + "-I\(abi)/include -o bad.so \(repository)/Tests/Fixtures/bad-plugins/check/bad.c note.o",
    ]
    try cc.run()
    cc.waitUntilExit()
    try #require(cc.terminationStatus == 0)
  }

  @Test func `passes the fixture without a fault, so that each fault below is the cause`() throws {
    let scratch = try Scratch()
    try build("nothing", in: scratch)
    #expect(try failed("./bad", in: scratch) == [])
  }

  @Test(arguments: [
    "symbols", "load", "load_prints", "load_leaves", "entry", "create", "create_words", "plan", "plan_footprint",
    "determinism",
    "lifecycle", "newer_host", "views", "edges", "offset", "lanes", "bad_numbers", "no_change", "memory", "no_memory",
    "cancel", "manners", "state_forgets", "state_takes_all", "state_crashes",
  ])
  func `fails a seeded fault by the check named for it, and no other`(fault: String) throws {
    let scratch = try Scratch()
    try build(fault, in: scratch)
    let check = [
      "load_prints": "load", "load_leaves": "load", "create_words": "create", "plan_footprint": "plan",
      "state_forgets": "state", "state_takes_all": "state", "state_crashes": "state",
    ][fault]
    #expect(try failed("./bad", in: scratch) == [check ?? fault.replacingOccurrences(of: "_", with: "-")])
  }

  /// A probe in Python that learns, whose state carries its checksum.
  private static let learner = """
    import zlib
    import numpy as np
    from ablate_plugin import Reading

    class Plugin:
        def __init__(self, host, model, parameters): pass
        def plan(self, item): return [Reading("capture", "text", "resid_post", labels="part")]
        def begin(self, features, classes): self.means, self.counts = np.zeros((classes, features)), np.zeros(classes)
        def batch(self, features, classes, images):
            np.add.at(self.means, classes, features)
            np.add.at(self.counts, classes, 1)
        def end(self): self.means /= self.counts[:, None]
        def predict(self, features):
            d = -((features[:, None, :] - self.means[None]) ** 2).sum(axis=2)
            d -= d.max(axis=1, keepdims=True)
            return d - np.log(np.exp(d).sum(axis=1, keepdims=True))
        def save(self):
            state = np.array(self.means.shape, "<i8").tobytes() + self.means.tobytes()
            return zlib.crc32(state).to_bytes(4, "little") + state
        def load(self, state):
            if zlib.crc32(state[4:]).to_bytes(4, "little") != state[:4]: raise ValueError("this is not what save wrote")
            self.means = np.frombuffer(state[20:]).reshape(np.frombuffer(state[4:20], "<i8"))

    """

  @Test(
    arguments: [
      ("", "", nil),
      ("reshape(np.frombuffer(state[4:20], \"<i8\"))", "reshape(3, 6) * 2", "answers with other numbers"),
      ("self.means /= self.counts[:, None]", "self.means += np.random.rand(1)", "other bits the second time"),
      ("raise ValueError(\"this is not what save wrote\")", "return", "load takes its state cut after 0 bytes"),
      (
        "raise ValueError(\"this is not what save wrote\")", "__import__('ctypes').string_at(0)",
        "given bytes that it did not save, at load: it ended with signal 11 (SIGSEGV)"
      ),
    ] as [(String, String, String?)])
  func `checks what a probe in Python has learned, in its worker`(part: String, faulty: String, words: String?) throws {
    let scratch = try Scratch()
    try scratch.write(part.isEmpty ? Self.learner : Self.learner.replacing(part, with: faulty), to: "bad/bad.py")
    let footprint = #"{"tower": "text", "sites": ["resid_post"], "access": "r"}"#
    try scratch.write(
      PluginSource.manifest(kind: "probe", grade: "python", library: "bad.py", footprint: footprint),
      to: "bad/plugin.json")
    let arguments = ["plugin", "check", "./bad"] + (words == nil ? [] : ["--only", "state"])
    let outcome = try Command.run(arguments, in: scratch)
    #expect(outcome.status == (words == nil ? 0 : 70), "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains(words ?? "passed  state"), "\(outcome.output)\(outcome.errors)")
  }

  @Test func `fails a broken plugin.json, a cut library, another's note and a wrong known answer by their checks`()
    throws
  {
    let scratch = try Scratch()
    try build("known_answer", in: scratch)
    let library = try scratch.bytes("bad/bad.so")
    try scratch.write(library.prefix(library.count / 2), to: "bad/bad.so")
    #expect(try failed("./bad", in: scratch) == ["library"])
    try scratch.write(library, to: "bad/bad.so")
    try scratch.edit("bad/plugin.json") { $0["version"] = "1.0.1" }
    #expect(try failed("./bad", in: scratch) == ["note"])
    try scratch.edit("bad/plugin.json") { $0["colour"] = "red" }
    #expect(try failed("./bad", in: scratch) == ["manifest"])

    let params = ["tower", "site", "layers", "tokens"].map {
      "{\"id\": \"\($0)\", \"type\": \"str\", \"default\": \"all\", \"doc\": \"-\"}"
    }
    let plain = """
      {"ablate": 1, "id": "bad", "version": "1.0.0", "kind": "intervention", "grade": "plain", "library": "bad.so",
       "abi": {"major": 1, "min_minor": 0}, "licence": "Apache-2.0", "golden": "golden.json",
       "params": [\(params.joined(separator: ", ")), {"id": "limit", "type": "f64", "default": 1, "doc": "-"}],
       "plain": {"symbol": "plain", "signature": "i32(f32*[n]:rw, i64 n, f32 limit)",
                 "bind": ["view.data", "view.count", "param.limit"],
                 "known_answer": {"input": [1, -3], "params": {"limit": 2}, "expect": [1, -2]}},
       "footprint": [{"tower": "all", "sites": ["all"], "access": "rw"}]}
      """
    try scratch.write(plain, to: "bad/plugin.json")
    try scratch.compile(
      "#include <stdint.h>\nint32_t plain(float *x, int64_t n, float limit) { x[0] += limit; return 0; }",
      to: "bad/bad.so")
    #expect(try failed("./bad", in: scratch) == ["known-answer"])
  }

  @Test func `writes JUnit, runs one check alone, and lists what they promise`() throws {
    let scratch = try Scratch()
    try build("views", in: scratch)
    let outcome = try Command.run(
      ["plugin", "check", "./bad", "--only", "views", "--only", "plan", "--junit", "report.xml", "--reproduce", "7"],
      in: scratch)
    #expect(outcome.status == 70 && outcome.output.contains("passed  plan"))
    #expect(outcome.errors.contains("try: ablate plugin check ./bad --only views --reproduce 7"))
    let xml = try scratch.read("report.xml")
    #expect(xml.contains("tests=\"2\" failures=\"1\" skipped=\"0\"") && xml.contains("name=\"views\""))
    let list = try Command.run(["plugin", "check", "--list"], in: scratch)
    #expect(
      list.output.split(separator: "\n").count == 23 && list.output.contains("views: no byte beside a view is touched"))
  }
}
