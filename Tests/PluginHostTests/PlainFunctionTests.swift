import PluginRuntime
import Testing

@Suite struct `a plain C function` {
  static let scale =
    "int32_t scale(float *x, int64_t n, float a) { for (int64_t i = 0; i < n; i++) x[i] *= a; return 0; }"

  func open(
    _ function: String, signature: String = "i32(f32*[n]:rw, i64 n, f32 a)",
    bind: String = #"["view.data", "view.count", "param.a"]"#, timeout: Double = 5, visible: Bool = true
  ) throws -> PlainFunction {
    let shop = try PluginWorkshop()
    let mark = visible ? "__attribute__((visibility(\"default\"))) " : ""
    try shop.compile(
      "#include <stdint.h>\n#include <stdlib.h>\n#include <unistd.h>\n" + mark + function, to: "plain.so")
    let json = """
      {"ablate": 1, "id": "plain", "version": "1.0.0", "kind": "intervention", "grade": "plain", "library": "plain.so",
       "abi": {"major": 1, "min_minor": 0}, "licence": "Apache-2.0", "golden": "golden.json",
       "params": [{"id": "tower", "type": "str", "doc": "d"}, {"id": "site", "type": "str", "doc": "d"},
         {"id": "layers", "type": "selector", "doc": "d"}, {"id": "tokens", "type": "selector", "doc": "d"},
         {"id": "a", "type": "f64", "doc": "d", "required": true}],
       "footprint": [{"tower": "text", "sites": ["z"], "access": "rw"}],
       "plain": {"symbol": "scale", "signature": "\(signature)", "bind": \(bind),
         "known_answer": {"input": [1, 2, 3], "params": {"a": 3}, "expect": [3, 6, 9]}}}
      """
    return try PlainFunction.open(PluginManifest(path: shop.write(json, to: "plugin.json")), timeout: timeout)
  }

  func fault(_ body: String, timeout: Double = 5) -> KnownAnswerFault? {
    let error = pluginError {
      _ = try open("int32_t scale(float *x, int64_t n, float a) { \(body) return 0; }", timeout: timeout)
    }
    guard case .knownAnswer(_, "scale", let fault)? = error else { return nil }
    return fault
  }

  @Test func `with its true signature is called with the condition's parameters`() throws {
    let function = try open(Self.scale)
    let call = try function.bound(to: function.manifest.resolve(["a": .number(0.25)]))
    var values: [Float] = [4, 8, -16]
    try values.withUnsafeMutableBufferPointer { try call($0, at: "text.0.z") }
    #expect(values == [1, 2, -4] && function.access == [.read, .write] && function.sha256.count == 64)
  }

  @Test func `that crashes, leaves, hangs or answers wrongly is found out in a child process`() {
    #expect(fault("*(volatile int *)0 = 1;") == .crashed(signal: 11))
    #expect(fault("abort();") == .crashed(signal: 6))
    #expect(fault("exit(0);") == .left(status: 0))
    #expect(fault("_exit(7);") == .left(status: 7))
    #expect(fault("for (;;) pause();", timeout: 0.2) == .hung(seconds: 0.2))
    #expect(fault("for (volatile int i = 0;; i++) {}", timeout: 0.2) == .hung(seconds: 0.2))
    #expect(fault("return 4;") == .status(4))
    #expect(fault("for (int64_t i = 0; i < n; i++) x[i] *= 2;") == .wrong(index: 0, got: 2, expected: 3))
    #expect(fault("for (int64_t i = 0; i < n; i++) x[i] = 0.0f / 0.0f * a;") != nil)
  }

  @Test func `that touches memory outside its view is found out`() {
    #expect(fault("for (int64_t i = 0; i <= n; i++) x[i] *= a;") == .crashed(signal: 11))
    #expect(fault("for (int64_t i = 0; i < n; i++) x[i] *= a; x[-1] = 5;") == .wroteBefore(offset: 1))
  }

  @Test func `that reads before its view without writing there is found out`() {
    #expect(fault("for (int64_t i = n; i-- > 0;) x[i] = x[i] * a + 0 * x[i - 1];") == .crashed(signal: 11))
    #expect(fault("for (int64_t i = 0; i < n; i++) x[i] = x[i] * a + (x[i - 1] == 77);") == .crashed(signal: 11))
  }

  /// What an argument that is not given happens to be may give the right answer once.
  @Test(arguments: ["a >= 2 && a < 4", "a == 0", "a != a"])
  func `that reads an argument which its signature lacks is found out whatever the register holds`(luck: String) {
    let source = """
      int32_t scale(float *x, int64_t n, float a) {
        for (int64_t i = 0; i < n; i++) x[i] *= \(luck) ? 3 : 5;
        return 0; }
      """
    let error = pluginError {
      _ = try open(source, signature: "i32(f32*[n]:rw, i64 n)", bind: #"["view.data", "view.count"]"#)
    }
    guard case .knownAnswer(_, _, .wrong(index: 0, got: 5, expected: 3))? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(arguments: [
    ("i32(i64 n, f32*[n]:rw, f32 a)", #"["view.count", "view.data", "param.a"]"#),
    ("i32(f32*[n]:rw, i64 n, f64 a)", #"["view.data", "view.count", "param.a"]"#),
  ])
  func `with a wrong signature fails its known answer and never runs in the host`(signature: String, bind: String) {
    let error = pluginError { _ = try open(Self.scale, signature: signature, bind: bind) }
    guard case .knownAnswer? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(error?.diagnosis.exit == .pluginFailure)
  }

  @Test(arguments: [
    ("f32*[n]:rw", "is not a signature"), ("f32(f32*[n]:rw, i64 n)", "is no result type"),
    ("i32(f32*[n]:rw, i64 m, f32 a)", "no integer argument is named 'n'"), ("i32(f32*[n]:x, i64 n)", "is no view"),
    ("i32(f32*[n]:r, i64 n, f32 a)", "never written"), ("i32(i64 n, f32 a)", "exactly one view"),
    ("i32(f32*[n]:rw, i64 n, char *s)", "is no argument type"), ("i32(f32*[n]:rw, i64, f32 a)", "needs one name"),
    ("i32(f32*[n]:rw, i64 n, i64 n)", "used twice"), ("i32(f32*[n]:rw, i64 n,)", "an argument is empty"),
    ("i32(f32*[n]:rw, f32 n, f32 a)", "no integer argument is named 'n'"),
    ("i32(f32*[n]:rw, i64 n, f32 a) extra", "is not a signature"),
  ])
  func `outside the language of signatures is refused with the reason`(signature: String, problem: String) {
    let error = pluginError { _ = try open(Self.scale, signature: signature) }
    guard case .signature(_, "plain.signature", let text)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(text.contains(problem))
    #expect(error?.diagnosis.exit == .badData)
  }

  @Test(arguments: [
    (#"["view.data", "view.count"]"#, "2 bindings for 3 arguments"),
    (#"["view.data", "view.count", "param.b"]"#, "no parameter 'b'"),
    (#"["view.count", "view.data", "param.a"]"#, "'view.count' cannot fill f32*[n]"),
    (#"["view.data", "param.a", "param.a"]"#, "'param.a' cannot fill i64 n"),
    (#"["view.data", "view.count", "param.tower"]"#, "parameter 'tower' is str, the argument f32"),
  ])
  func `bound to the wrong sources is refused with the place`(bind: String, problem: String) {
    let error = pluginError { _ = try open(Self.scale, bind: bind) }
    #expect(error?.diagnosis.what == problem)
  }

  @Test func `that is hidden, missing or data is refused without running anything`() {
    func fault(_ error: PluginError?) -> LibraryFault? {
      guard case .library(_, let fault)? = error else { return nil }
      return fault
    }
    let hidden = pluginError { _ = try open("int scale = 3;") }
    #expect(fault(hidden) == .notAFunction(symbol: "scale", found: "data"))
    // -fvisibility=hidden keeps it out of the dynamic symbol table altogether.
    #expect(fault(pluginError { _ = try open(Self.scale, visible: false) }) == .noEntry("scale"))
  }

  @Test func `with a constructor that ends the process ends only the child`() {
    let source = Self.scale + "\n__attribute__((constructor)) static void boom(void) { _exit(9); }"
    let error = pluginError { _ = try open(source) }
    guard case .knownAnswer(_, _, .left(status: 9))? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }
}
