import Foundation
import PluginHost
import PluginRuntime
import TestSupport
import Testing

/// Seconds after which a call counts as hung.
private let patience: Bool = setenv("ABLATE_WORKER_SECONDS", "2", 1) == 0

/// Plugins in Python: the bits of the same maths in C, and failures that cost their lane by line of program.
@Suite(.serialized) struct PythonPluginTests {
  init() { #expect(patience) }

  private static func manifest(
    _ program: String, in shop: borrowing PluginWorkshop, kind: String = "intervention", params: String = "[]"
  ) throws -> PluginManifest {
    try shop.write("import numpy as np\nfrom ablate_plugin import *\n" + program, to: "mine.py")
    let json = PluginSource.manifest(
      id: "mine", kind: kind, grade: "python", library: "mine.py", params: params,
      footprint: #"{"tower": "all", "sites": ["all"], "access": "\#(kind == "probe" ? "r" : "rw")"}"#)
    return try PluginManifest(path: shop.write(json, to: "plugin.json"))
  }

  private static func spec(
    _ program: String, in shop: borrowing PluginWorkshop, kind: String = "intervention"
  ) throws -> AttachmentSpec {
    .plugin(
      try manifest(program, in: shop, kind: kind), parameters: [:], placement: Placement(.worker, .untrusted))
  }

  /// A class that asks for text.1.z, with these statements for each slice.
  private static func each(_ statements: String) -> String {
    """
    class Plugin:
        def __init__(self, host, model, parameters): self.host = host
        def plan(self, item): return [Access("text", "z", layers=1, write=True)]
        def on_event(self, event):
            for slice in event.slices:
                \(statements)
    """
  }

  // MARK: the numbers

  @Test func `multiplies to the bits of the C plugin`() throws {
    let shop = try PluginWorkshop()
    let program = """
      class Plugin:
          def __init__(self, host, model, parameters): pass
          def plan(self, item): return [Access("text", "resid_post", layers=0, tokens="image", write=True)]
          def on_event(self, event):
              for slice in event.slices: slice.view *= np.float32(2)
      """
    let host = try HostCase("gqa", newTokens: 3)
    let points = ["text.*.resid_post"]
    let there = try host.run([Self.spec(program, in: shop)], at: points)
    let here = try host.run([.bundled("scale", ["factor": "2", "layers": "0", "tokens": "image"])], at: points)
    #expect(there.failure == nil && there.activations == here.activations && there.logitBits == here.logitBits)
    #expect(there.output.generated == here.output.generated)
    #expect(there.receipts[0].elementsChanged == here.receipts[0].elementsChanged)
    #expect(try host.run([], at: points).logitBits != here.logitBits)
  }

  @Test func `draws the random words of the C plugin, selects its rows, and knows the item`() throws {
    let shop = try PluginWorkshop()
    let other = try PluginWorkshop()
    let program = """
      class Plugin:
          def __init__(self, host, model, parameters): self.host, self.model = host, model
          def plan(self, item):
              if item is None: return PER_ITEM
              assert self.model.text_layers == 2 and item.id == "one" and item.labels[0].text == "leg"
              assert item.masks[0].name == "part/leg" and [s.kind for s in item.segments][1] == "image"
              return [Access("text", "z", layers=1, tokens=[int(r) for r in self.host.select("text", "image")], write=True)]
          def on_event(self, event):
              for slice in event.slices:
                  words = self.host.random(slice.lane, 3, 5, slice.view.size)
                  slice.view += (words.astype(np.float32) * np.float32(2.0 ** -31)).reshape(slice.view.shape)
      """
    let source = """
      #define PLAN access->tokens = "image";
      #define ON_EVENT { uint32_t *words = malloc(4 * n); host->random(host->ctx, event->slices[s].lane, 3, 5, words, n); \\
        for (uint64_t i = 0; i < n; i++) x[i] += (float)words[i] * 0x1p-31f; free(words); }
      #include "bad.h"
      """
    try other.compile(
      source, to: "bad.so", ["-shared", "-fPIC", "-w", "-I\(PluginWorkshop.root)/Tests/Fixtures/bad-plugins"])
    let host = try HostCase(
      "gqa", labels: [.init(field: "part/leg", text: "leg", ids: [77])], masks: ["part/leg": [3, 4]])
    let there = try host.run([Self.spec(program, in: shop)])
    let here = try host.run([
      .plugin(other.manifest(library: "bad.so"), parameters: [:], placement: .worker)
    ])
    #expect(here.failure == nil && there.failure == nil, "\(String(describing: there.failure))")
    #expect(there.logitBits == here.logitBits)
  }

  @Test func `that is a probe emits columns, and gets the answers to its readings`() throws {
    let shop = try PluginWorkshop()
    let program = """
      class Plugin:
          def __init__(self, host, model, parameters): self.host = host
          def plan(self, item):
              return [Access("text", "resid_post", layers=1, tokens="last"),
                      Reading("lens", "text", "resid_post", layers=1, tokens="last", labels="part", top=2)]
          def on_event(self, event):
              for slice in event.slices:
                  self.host.emit(slice.lane, "sums", site=["text.resid_post"], layer=[event.layer], row=slice.rows,
                                 total=slice.view.sum(axis=1))
          def end_lane(self, lane, readings):
              self.host.emit(lane, "words", word=[w for w in readings["word"] if w], rank=readings["rank"][-2:])
      """
    let host = try HostCase("gqa", labels: [.init(field: "part/leg", text: "leg", ids: [77])])
    let spec = try Self.spec(program, in: shop, kind: "probe")
    let outcome = try #require(try host.run([("it", [])], probes: [("probe", spec)], at: ["text.1.resid_post"])["it"])
    #expect(outcome.failure == nil, "\(String(describing: outcome.failure))")
    #expect(outcome.tables.map(\.table) == ["sums", "words"])
    #expect(outcome.tables[0].columns.map(\.name) == ["site", "layer", "row", "total"])
    guard case .numbers(let total)? = outcome.tables[0].columns.last?.values else { throw Missing(what: "numbers") }
    let row = try outcome.bits("text.1.resid_post", row: host.lastRow).map { Double(Float(bitPattern: $0)) }
    #expect(abs(total[0] - row.reduce(0, +)) < 1e-4)
    #expect(outcome.tables[1].columns.map(\.values.count) == [2, 2])
    #expect(outcome.tables[1].columns[1].values == .numbers([1, 2]))
  }

  @Test func `learns, and what it saves answers as what it learned`() throws {
    let shop = try PluginWorkshop()
    let program = """
      class Plugin:
          def __init__(self, host, model, parameters): self.host = host
          def plan(self, item): return [Reading("capture", "text", "resid_post", labels="part")]
          def begin(self, features, classes): self.count, self.sums = np.zeros(classes), np.zeros((classes, features))
          def batch(self, features, classes, images):
              np.add.at(self.sums, classes, features)
              np.add.at(self.count, classes, 1)
          def end(self): self.means = self.sums / self.count[:, None]
          def predict(self, features):
              d = -((features[:, None, :] - self.means[None]) ** 2).sum(axis=2)
              return d - np.log(np.exp(d).sum(axis=1, keepdims=True))
          def save(self): return self.means.tobytes()
          def load(self, state): self.means = np.frombuffer(state).reshape(-1, WIDTH)
      """.replacing("WIDTH", with: "\(ProbeReference.width)")
    func made() throws -> LearnedProbe {
      try LearnedProbe(Self.spec(program, in: shop, kind: "probe"), model: ModelFacts(), seed: 1, name: "fit")
    }
    let probe = try made()
    try probe.learn(
      ProbeReference.features, width: ProbeReference.width, classes: ProbeReference.targets,
      images: ProbeReference.targets.indices.map(UInt64.init), of: ProbeReference.classes)
    let answers = try probe.predict(ProbeReference.asked, width: ProbeReference.width)
    #expect(answers.count == ProbeReference.asked.count / ProbeReference.width * ProbeReference.classes)
    let again = try made()
    try again.load(probe.save(), outputs: ProbeReference.classes)
    #expect(try again.predict(ProbeReference.asked, width: ProbeReference.width) == answers)
    let error = pluginError { try again.load([1, 2, 3], outputs: 2) }
    #expect(error?.diagnosis.what.contains("ValueError") == true)
  }

  // MARK: failures

  struct Fault: Sendable, CustomTestStringConvertible {
    let statements: String
    let reason: String
    var testDescription: String { statements }

    init(_ statements: String, _ reason: String) { (self.statements, self.reason) = (statements, reason) }
  }

  @Test(arguments: [
    Fault(
      "raise ValueError('too few rows')",
      "ValueError: too few rows; mine.py:8 in on_event: raise ValueError('too few rows')"),
    Fault("__import__('sys').exit(0)", "it left the process with status 0 instead of returning"),
    Fault("__import__('os')._exit(3)", "it left the process with status 3 instead of returning"),
    Fault("__import__('ctypes').string_at(0)", "it ended with signal 11 (SIGSEGV)"),
    Fault("while True: pass", "it had not returned after 2.0 s"),
    Fault("slice.view[0] = np.nan", "wrote "),
    Fault("np.ones(10 ** 11)", "numpy.core._exceptions._ArrayMemoryError|numpy._core._exceptions._ArrayMemoryError"),
    Fault("open('/etc/passwd')", "PermissionError: [Errno 13] Permission denied: '/etc/passwd'"),
    Fault("__import__('socket').socket()", "PermissionError: [Errno 1] Operation not permitted"),
    Fault("__import__('os').fork()", "PermissionError: [Errno 1] Operation not permitted"),
    Fault(
      "__import__('os').execv('/usr/bin/python3', ['python3'])", "PermissionError: [Errno 1] Operation not permitted"),
  ])
  func `costs its lane by reason and line, and the others keep their bits`(fault: Fault) throws {
    let shop = try PluginWorkshop()
    let host = try HostCase("mha")
    let half = try AttachmentSpec.bundled("scale", ["factor": "0.5", "layers": "0"])
    let alone = try host.run([("half", [half])])
    let outcomes = try host.run([("bad", [Self.spec(Self.each(fault.statements), in: shop)]), ("half", [half])])
    let reason = outcomes["bad"]?.failure?.reason ?? "none"
    #expect(fault.reason.split(separator: "|").contains { reason.hasPrefix($0) }, "\(reason)")
    #expect(outcomes["bad"]?.failure?.point == "text.1.z")
    #expect(outcomes["half"]?.logitBits == alone["half"]?.logitBits)
  }

  @Test(arguments: [
    Fault("class Plugin:\n    def __init__(self): pass", "TypeError: Plugin.__init__() takes 1 positional argument"),
    Fault("def f(:", "SyntaxError: invalid syntax"),
    Fault("x = 1", "TypeError: the file has no class Plugin"),
    Fault("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'; mine.py:3 in <module>"),
    Fault(
      "class Plugin:\n    def __init__(self, *all): pass\n    def plan(self, item): return [Access('text', 'z')]",
      "TypeError: asks for accesses, but has no on_event"),
    Fault(
      "class Plugin:\n    def __init__(self, *all): pass\n    def plan(self, item): return [Edit('cut', 'text')]",
      "ValueError: 'cut' is none of drop, keep_only"),
    Fault(
      "class Plugin:\n    def __init__(self, *all): pass\n    def plan(self, item): return [3]",
      "TypeError: a plan has Access, Edit and Reading, not int"),
  ])
  func `is refused before anything runs where it fails that early`(fault: Fault) throws {
    let shop = try PluginWorkshop()
    let error = #expect(throws: HostError.self) { _ = try HostCase("mha").run([Self.spec(fault.statements, in: shop)]) }
    #expect(error?.diagnosis.what.hasPrefix(fault.reason) == true, "\(String(describing: error?.diagnosis))")
  }

  @Test func `that only reads cannot write`() throws {
    let shop = try PluginWorkshop()
    let program = Self.each("slice.view[0] = 1").replacing(", write=True", with: "")
    let outcome = try HostCase("mha").run([Self.spec(program, in: shop)])
    #expect(outcome.failure?.reason.hasPrefix("ValueError: assignment destination is read-only") == true)
  }

  // MARK: where it runs

  @Test func `runs in a worker even where it is trusted, and not where it is asked to run in process`() throws {
    let shop = try PluginWorkshop()
    let manifest = try Self.manifest(Self.each("pass"), in: shop)
    let host = try HostCase("mha")
    func session(_ placement: Placement) throws -> Session {
      let spec = AttachmentSpec.plugin(manifest, parameters: [:], placement: placement)
      return try Session(host.model, conditions: [(name: "it", steps: [spec])], probes: [], seed: 1)
    }
    let place = try session(Placement(.inProcess, .trusted("pinned"))).placements[0].placement
    #expect(
      place.hasPrefix("worker (python 3.") && place.contains(", numpy ") && place.hasSuffix("): pinned"), "\(place)")
    for means in ["rlimits", "no_new_privs", "landlock", "seccomp"] { #expect(place.contains(means), "\(place)") }
    let error = #expect(throws: HostError.self) { _ = try session(Placement(.inProcess, .asked(by: "--in-process"))) }
    #expect(error?.diagnosis.what == "--in-process asks for in-process, but Python runs in a worker only")
  }

  @Test func `without Python, or without numpy, is refused with what to install`() throws {
    let shop = try PluginWorkshop()
    let spec = try Self.spec(Self.each("pass"), in: shop)
    defer { unsetenv("ABLATE_PYTHON") }
    func refusal(_ interpreter: String) throws -> String {
      setenv("ABLATE_PYTHON", interpreter, 1)
      let error = #expect(throws: HostError.self) { _ = try HostCase("mha").run([spec]) }
      #expect(error?.diagnosis.exit == .missingInput)
      return "\(error?.diagnosis.what ?? ""); \(error?.diagnosis.remedy ?? "")"
    }
    #expect(
      try refusal("/nowhere/python3").hasPrefix("there is no such program; apt-get install python3 python3-numpy"))
    #expect(try refusal("/bin/false").hasPrefix("is no Python 3 that works"))
    let bare = try shop.write("#!/bin/sh\nexec python3 -I -S \"$@\"\n", to: "bare-python")
    chmod(bare, 0o755)
    #expect(try refusal(bare).hasPrefix("has no numpy: No module named 'numpy'; apt-get install python3-numpy"))
  }
}
