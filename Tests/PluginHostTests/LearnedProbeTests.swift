import Foundation
import PluginRuntime
import TestSupport
import Testing

import PluginHost

/// Probes that learn, through the plugin's extension: against scikit-learn, and against bad bytes.
@Suite(.serialized) struct LearnedProbeTests {
  private static func probe(
    _ name: String, _ given: [String: GivenValue] = [:], fit: String = "fit"
  ) throws -> LearnedProbe {
    let spec = AttachmentSpec.plugin(try `the bundled plugins`.manifest(name), parameters: given)
    return try LearnedProbe(spec, model: ModelFacts(), seed: 7, name: fit)
  }

  private static func learned(
    _ name: String, _ given: [String: GivenValue] = [:], fit: String = "fit"
  ) throws -> LearnedProbe {
    let probe = try probe(name, given, fit: fit)
    let rows = ProbeReference.targets.indices.map(UInt64.init)
    try probe.learn(
      ProbeReference.features, width: ProbeReference.width, classes: ProbeReference.targets, images: rows,
      of: ProbeReference.classes)
    return probe
  }

  private static func answers(_ probe: LearnedProbe) throws -> [Float] {
    try probe.predict(ProbeReference.asked, width: ProbeReference.width)
  }

  private static func furthest(_ a: [Float], _ b: [Double]) -> Double {
    zip(a, b).map { abs(Double($0) - $1) }.max() ?? .infinity
  }

  @Test func `the linear probe is scikit-learn's logistic regression`() throws {
    let probe = try Self.learned("linear-probe", ["l2": .number(0.5), "tolerance": .number(1e-9)])
    #expect(try Self.furthest(Self.answers(probe), ProbeReference.logistic) < 1e-5)
    #expect(probe.warnings.isEmpty)
    // Another penalty is another probe: the comparison above can fail.
    let other = try Self.learned("linear-probe", ["l2": .number(1), "tolerance": .number(1e-9)])
    #expect(try Self.furthest(Self.answers(other), ProbeReference.logistic) > 1e-2)
  }

  @Test func `the nearest mean is scikit-learn's nearest centroid`() throws {
    #expect(try Self.furthest(Self.answers(Self.learned("nearest-mean")), ProbeReference.centroid) < 1e-5)
  }

  @Test func `a hidden layer tells apart what a line cannot`() throws {
    let corners: [Float] = [0, 0, 0, 1, 1, 0, 1, 1]
    let features = (0..<10).flatMap { _ in corners }
    let targets = (0..<10).flatMap { _ -> [Int32] in [0, 1, 1, 0] }
    func accuracy(_ name: String) throws -> Int {
      let probe = try Self.probe(name, ["l2": .number(0.01)])
      try probe.learn(features, width: 2, classes: targets, images: targets.indices.map(UInt64.init), of: 2)
      let answers = try probe.predict(corners, width: 2)
      return [0, 1, 1, 0].enumerated().filter { answers[2 * $0 + $1] > answers[2 * $0 + 1 - $1] }.count
    }
    #expect(try accuracy("mlp-probe") == 4)
    #expect(try accuracy("linear-probe") < 4)
  }

  @Test(arguments: ["linear-probe", "mlp-probe", "nearest-mean"])
  func `equal fits have equal bits, and what is saved answers as what was learned`(name: String) throws {
    let (first, second) = (try Self.learned(name), try Self.learned(name))
    let state = try first.save()
    #expect(try state == second.save() && !state.isEmpty)
    let again = try Self.probe(name)
    try again.load(state, outputs: ProbeReference.classes)
    #expect(try Self.answers(again) == Self.answers(first))
    // Random numbers belong to the fit.
    #expect(try (Self.learned(name, fit: "another").save() == state) == (name != "mlp-probe"))
  }

  @Test(arguments: ["linear-probe", "mlp-probe", "nearest-mean"])
  func `bytes that it did not save are an error`(name: String) throws {
    let state = try Self.learned(name).save()
    var flipped = state
    flipped[9] ^= 0x80  // the width
    var infinite = state
    infinite.replaceSubrange((state.count - 8)..., with: [0, 0, 0, 0, 0, 0, 0xF0, 0x7F])
    let cases: [[UInt8]] = [
      [], Array("hello".utf8), Array(state.dropLast()), flipped, infinite, [UInt8](repeating: 0xFF, count: 4096),
    ]
    for bytes in cases {
      let probe = try Self.probe(name)
      let error = pluginError { try probe.load(bytes, outputs: ProbeReference.classes) }
      #expect(error?.diagnosis.what.contains("not what this probe saves") == true, "\(bytes.count) bytes")
      #expect(pluginError { _ = try Self.answers(probe) } != nil)
    }
  }

  @Test func `a lens needs a model whose words it reads`() throws {
    let error = pluginError { _ = try Self.probe("tuned-lens") }
    #expect(error?.diagnosis.what.contains("is a lens that learns: it needs a model and a capture") == true)
  }

  @Test func `a fit that does not reach its tolerance says so`() throws {
    let probe = try Self.learned("linear-probe", ["steps": .integer(1)])
    #expect(probe.warnings == ["did not reach its tolerance; raise steps, tolerance or l2"])
  }

  @Test func `features that never vary leave how frequent the classes are`() throws {
    for name in ["linear-probe", "mlp-probe"] {
      let probe = try Self.probe(name, ["tolerance": .number(1e-9)])
      let targets: [Int32] = [0, 0, 0, 1]
      try probe.learn([Float](repeating: 3, count: 8), width: 2, classes: targets, images: [0, 1, 2, 3], of: 2)
      let answers = try probe.predict([3, 3], width: 2)
      #expect(abs(exp(Double(answers[0])) - 0.75) < 1e-4, "\(name)")
    }
  }
}

/// What the host does with an extension that breaks its contract.
@Suite(.serialized) struct BadFitTests {
  private static let functions = """
    static ablate_status begin(void *s, uint64_t f, uint64_t c, ablate_error *e) { return 0; }
    static ablate_status batch(void *s, const ablate_tensor *f, const int32_t *c, const uint64_t *i, ablate_error *e) {
      return 0; }
    static ablate_status batch_finals(void *s, const ablate_tensor *f, const ablate_tensor *l, const uint64_t *i,
      ablate_error *e) { return 0; }
    static ablate_status end(void *s, ablate_error *e) { return 0; }
    static ablate_status save(void *s, ablate_write w, void *t, ablate_error *e) { SAVE }
    static ablate_status load(void *s, ablate_read r, void *t, ablate_error *e) { return 0; }
    static ablate_status predict(void *s, const ablate_tensor *f, const ablate_tensor *o, ablate_error *e) {
      float *p = o->data; uint64_t n = o->size_bytes / 4; (void)p; (void)n; PREDICT return 0; }
    static const ablate_ext_fit fit = {.struct_size = sizeof fit, FIT};
    static const void *extension(void *s, const char *id) { return strcmp(id, ABLATE_EXT_FIT) ? 0 : &fit; }
    """

  /// Learns and predicts with a plugin whose pieces are given; the error that it gives.
  private func complaint(
    predict: String = "", save: String = "return 0;", without: String? = nil, also: [String] = [],
    _ use: (LearnedProbe) throws -> Void = { _ = try $0.predict([1, 2], width: 2) }
  ) throws -> String {
    let workshop = try PluginWorkshop()
    let all = ["begin", "batch", "end", "predict", "save", "load"]
    let fields: [String] = all.filter { $0 != without } + also
    let body = Self.functions.replacingOccurrences(of: "PREDICT", with: predict)
      .replacingOccurrences(of: "SAVE", with: save)
      .replacingOccurrences(of: "FIT}", with: fields.map { ".\($0) = \($0)" }.joined(separator: ", ") + "}")
    let source = PluginSource.c(descriptor: ", .extension = extension", body: body)
    try workshop.compile(source, to: "bad.so")
    let spec = AttachmentSpec.plugin(try workshop.manifest(library: "bad.so"), parameters: [:])
    let error = pluginError {
      let probe = try LearnedProbe(spec, model: ModelFacts(), seed: 1, name: "x")
      try probe.learn([1, 2, 3, 4], width: 2, classes: [0, 1], images: [0, 1], of: 2)
      try use(probe)
    }
    return error.map { "\($0.diagnosis.place ?? ""): \($0.diagnosis.what)" } ?? "accepted"
  }

  @Test func `what it leaves out, leaves unwritten, or writes beside its place is told`() throws {
    let half = "for (uint64_t i = 0; i < n; i++) p[i] = -0.693147f;"
    #expect(try complaint(predict: half) == "accepted")
    #expect(try complaint(without: "predict").contains("predict: is NULL, but required"))
    #expect(try complaint(without: "batch").contains("batch: is NULL, but required"))
    #expect(try complaint(also: ["batch_finals"]).contains("batch_finals: stands beside batch"))
    #expect(try complaint().contains("the probabilities of row 0 sum to nan"))
    #expect(try complaint(predict: "for (uint64_t i = 0; i < n; i++) p[i] = 0;").contains("row 0 sum to 2.0"))
    #expect(try complaint(predict: half + "p[n] = 1;").contains("wrote past the end of the log-probabilities"))
    let endless = "static char block[1 << 20]; for (;;) if (w(t, block, sizeof block)) return -1;"
    #expect(try complaint(save: endless) { _ = try $0.save() }.contains("save: invalid parameter or manifest"))
  }

  @Test func `a capture without the extension is refused`() throws {
    let workshop = try PluginWorkshop()
    let source = PluginSource.c(
      plugins: "&asking",
      body: """
        static const ablate_reading reading = {.struct_size = sizeof reading, .op = ABLATE_READ_CAPTURE, .tower = "text",
          .site = "z", .layer_last = -1, .labels = "part"};
        static ablate_status ask(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
          o->readings = &reading; o->n_readings = 1; return 0; }
        static const ablate_plugin asking = {.struct_size = sizeof asking, .kind = 1, .id = "bad", .version = "1.0.0",
          .create = create, .destroy = free, .plan = ask};
        """)
    try workshop.compile(source, to: "bad.so")
    let manifest = try workshop.manifest(library: "bad.so")
    let error = pluginError {
      _ = try PluginInstance(
        PluginLibrary.open(manifest), parameters: [], model: ModelFacts(), services: .silent
      ).plan(nil)
    }
    #expect(error?.diagnosis.what == "asks for the reading capture, but has no extension ablate.fit/1")
  }
}
