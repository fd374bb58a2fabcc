import Foundation
import PluginHost
import PluginRuntime
import TestSupport
import Testing

/// Probes that learn, in a worker: the bits that they have in process, and failures that cost the fit.
@Suite(.serialized) struct WorkerFitTests {
  static let learning = ["linear-probe", "mlp-probe", "nearest-mean"]

  private static func learned(_ spec: AttachmentSpec, _ executor: Executor) throws -> LearnedProbe {
    guard case .plugin(let manifest, let given, _, _) = spec else { throw Missing(what: "a plugin") }
    let probe = try LearnedProbe(
      .plugin(manifest, parameters: given, placement: Placement(executor, .asked(by: "the test"))),
      model: ModelFacts(), seed: 7, name: "fit")
    try probe.learn(
      ProbeReference.features, width: ProbeReference.width, classes: ProbeReference.targets,
      images: ProbeReference.targets.indices.map(UInt64.init), of: ProbeReference.classes)
    return probe
  }

  @Test(arguments: learning) func `learn, answer, save and load the bits that they do in process`(name: String) throws {
    let spec = try AttachmentSpec.bundled(name, name == "linear-probe" ? ["steps": "3"] : [:])
    let (here, there) = (try Self.learned(spec, .inProcess), try Self.learned(spec, .worker))
    func answers(_ probe: LearnedProbe) throws -> [UInt32] {
      try probe.predict(ProbeReference.asked, width: ProbeReference.width).map(\.bitPattern)
    }
    #expect(try answers(here) == answers(there))
    #expect(here.warnings == there.warnings && (name != "linear-probe" || here.warnings.count == 1))
    let state = try there.save()
    #expect(try state == here.save())
    try there.load(state, outputs: ProbeReference.classes)
    #expect(try answers(there) == answers(here))
    let error = pluginError { try there.load([1, 2, 3], outputs: ProbeReference.classes) }
    #expect(error?.diagnosis.what.contains("not what this probe saves") == true)
  }

  @Test func `a lens that learns is refused by name: its steps ask the host for gradients`() throws {
    let host = try HostCase("gqa")
    let spec = try AttachmentSpec.bundled("tuned-lens", executor: .worker)
    let error = pluginError {
      _ = try LearnedProbe(spec, model: host.model.facts, seed: 1, name: "x", words: host.model)
    }
    #expect(error?.diagnosis.what.contains("in process only, not in a worker") == true)
  }

  // MARK: failures

  private static let functions = """
    static ablate_status begin(void *s, uint64_t f, uint64_t c, ablate_error *e) { return 0; }
    static ablate_status batch(void *s, const ablate_tensor *f, const int32_t *c, const uint64_t *i, ablate_error *e) {
      return 0; }
    static ablate_status end(void *s, ablate_error *e) { END return 0; }
    static ablate_status save(void *s, ablate_write w, void *t, ablate_error *e) { SAVE
      static char block[1 << 20]; for (int i = 0; i < 40; i++) { block[7] = i; if (w(t, block, sizeof block)) return -1; }
      return 0; }
    static ablate_status load(void *s, ablate_read r, void *t, ablate_error *e) { LOAD
      static char block[1 << 20]; for (int i = 0; i < 40; i++) if (r(t, block, sizeof block) != sizeof block || block[7] != i)
        return -1;
      return r(t, block, 1) == 0 ? 0 : -1; }
    static ablate_status predict(void *s, const ablate_tensor *f, const ablate_tensor *o, ablate_error *e) {
      float *p = o->data; for (uint64_t i = 0; i < o->size_bytes / 4; i++) p[i] = -0.693147f; PREDICT return 0; }
    static const ablate_ext_fit fit = {.struct_size = sizeof fit, .begin = begin, .batch = batch, .end = end, .save = save,
      .load = load, .predict = predict};
    static const void *extension(void *s, const char *id) { return strcmp(id, ABLATE_EXT_FIT) ? 0 : &fit; }
    """

  private func fit(
    end: String = "", predict: String = "", save: String = "", load: String = "", _ use: (LearnedProbe) throws -> Void
  ) throws {
    let workshop = try PluginWorkshop()
    let body = Self.functions.replacing("END", with: end).replacing("PREDICT", with: predict)
      .replacing("SAVE", with: save).replacing("LOAD", with: load)
    let source = "#include <unistd.h>\n" + PluginSource.c(descriptor: ", .extension = extension", body: body)
    try workshop.compile(source, to: "bad.so", ["-shared", "-fPIC", "-w"])
    let probe = try LearnedProbe(
      .plugin(workshop.manifest(library: "bad.so"), parameters: [:], placement: .worker), model: ModelFacts(), seed: 1,
      name: "x")
    try use(probe)
  }

  private static func learn(_ probe: LearnedProbe) throws(PluginError) {
    try probe.learn([1, 2, 3, 4], width: 2, classes: [0, 1], images: [0, 1], of: 2)
  }

  @Test(arguments: [
    ("*(volatile int *)0 = 1;", "it ended with signal 11 (SIGSEGV)"),
    ("_exit(0);", "it left the process with status 0 instead of returning"),
    ("for (;;) pause();", "it had not returned after 1.0 s"),
  ])
  func `that end, leave or hang cost the fit, by the call's name, and what was learned is gone`(
    end: String, reason: String
  )
    throws
  {
    setenv("ABLATE_WORKER_FIT_SECONDS", "1", 1)
    defer { unsetenv("ABLATE_WORKER_FIT_SECONDS") }
    try fit(end: end) { probe in
      #expect(
        pluginError { try Self.learn(probe) } == .failed(plugin: "bad", at: "end", reason: reason))
      let later = pluginError { _ = try probe.predict([1, 2], width: 2) }
      #expect(later?.diagnosis.what == "its worker had ended, and what it had learned with it")
    }
  }

  @Test(arguments: [
    ("p[0] = __builtin_nanf(\"\");", "the probabilities of row 0 sum to nan"),
    ("p[o->size_bytes / 4] = 1;", "wrote past the end of the log-probabilities"),
  ])
  func `that answer nonsense are told so`(predict: String, reason: String) throws {
    try fit(predict: predict) { probe in
      try Self.learn(probe)
      let error = pluginError { _ = try probe.predict([1, 2], width: 2) }
      #expect(error?.diagnosis.what == reason)
    }
  }

  @Test func `hand over what they learned in pieces where it is large`() throws {
    try fit { probe in
      try Self.learn(probe)
      let state = try probe.save()
      #expect(state.count == 40 << 20)
      try probe.load(state, outputs: 2)
      #expect(pluginError { try probe.load(Array(state.dropLast()), outputs: 2) } != nil)
    }
  }

  @Test func `whose load crashes on another's bytes, or whose save never ends, are told so, case 46`() throws {
    setenv("ABLATE_WORKER_SECONDS", "2", 1)  // as all tests of workers do
    try fit(load: "*(volatile int *)0 = 1;") { probe in
      let error = pluginError { try probe.load([7, 7, 7], outputs: 2) }
      #expect(error == .failed(plugin: "bad", at: "load", reason: "it ended with signal 11 (SIGSEGV)"))
    }
    try fit(save: "for (;;) w(t, &w, 1);") { probe in
      try Self.learn(probe)
      let error = pluginError { _ = try probe.save() }
      #expect(error == .failed(plugin: "bad", at: "save", reason: "it had not returned after 2.0 s"))
    }
  }

  @Test func `are refused where the plugin does not learn`() throws {
    let spec = try AttachmentSpec.bundled("identity", executor: .worker)
    let error = pluginError { _ = try LearnedProbe(spec, model: ModelFacts(), seed: 1, name: "x") }
    #expect(error?.diagnosis.what.contains("it does not learn") == true)
  }
}
