import Foundation
import TestSupport
import Testing

/// A probe that does not survive its learning costs its own rows: it is named, and the other probes of the run have learned.
@Suite struct FailedFitTests {
  private static let source = PluginSource.c(
    descriptor: ", .kind = ABLATE_PROBE, .plan = captures, .extension = extension",
    body: """
      static ablate_status captures(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
        static const ablate_reading reading = {.struct_size = sizeof reading, .op = ABLATE_READ_CAPTURE, .tower = "text",
          .site = "resid_post", .layer_first = 1, .layer_last = 1, .labels = "part"};
        o->readings = &reading, o->n_readings = 1;
        return ABLATE_OK; }
      static ablate_status begin(void *s, uint64_t f, uint64_t c, ablate_error *e) { return 0; }
      static ablate_status batch(void *s, const ablate_tensor *f, const int32_t *c, const uint64_t *i, ablate_error *e) {
        return 0; }
      static ablate_status end(void *s, ablate_error *e) { *(volatile int *)0 = 1; return 0; }
      static ablate_status predict(void *s, const ablate_tensor *f, const ablate_tensor *o, ablate_error *e) { return 0; }
      static ablate_status save(void *s, ablate_write w, void *t, ablate_error *e) { return 0; }
      static ablate_status load(void *s, ablate_read r, void *t, ablate_error *e) { return 0; }
      static const ablate_ext_fit fit = {.struct_size = sizeof fit, .begin = begin, .batch = batch, .end = end,
        .predict = predict, .save = save, .load = load};
      static const void *extension(void *s, const char *id) { return strcmp(id, ABLATE_EXT_FIT) ? 0 : &fit; }
      """)

  @Test func `by probe, hook point and call`() throws {
    let scratch = try Scratch()
    let footprint = #"{"tower": "text", "sites": ["resid_post"], "access": "r"}"#
    try scratch.write(
      PluginSource.manifest(kind: "probe", library: "bad.so", footprint: footprint), to: "bad/plugin.json")
    try scratch.compile(Self.source, to: "bad/bad.so")
    try scratch.write(
      """
      { ablate: 1, name: fits, seed: 1, models: [demo-compensating], dataset: { path: \(repository)/data/parts, limit: 24 },
        conditions: { clean: [] },
        probes: {
          bad: { plugin: ./bad, fit: { folds: 2, min_images: 2, portions: [] } },
          good: { plugin: nearest-mean, with: { layers: 1 }, fit: { folds: 2, min_images: 2, portions: [] } } } }
      """, to: "fits.yaml")
    let outcome = try Command.run(["run", "fits.yaml", "--out", "run", "--quiet"], in: scratch)
    #expect(outcome.status == 70, "\(outcome.errors)")
    #expect(outcome.errors.contains("error: it ended with signal 11 (SIGSEGV)"), "\(outcome.errors)")
    #expect(
      outcome.errors.contains("at: plugin bad, bad (demo-compensating, clean, text.1.resid_post), end"),
      "\(outcome.errors)")
    let fits = scratch.entries.filter { $0.hasSuffix(".fit") }
    let probes = try fits.map { String(decoding: try scratch.bytes($0).prefix { $0 != 10 }, as: UTF8.self) }
    #expect(!fits.isEmpty && probes.allSatisfy { $0.contains("\"probe\":\"good\"") }, "\(probes)")
  }
}
