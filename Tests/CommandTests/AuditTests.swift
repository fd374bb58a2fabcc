import Foundation
import TestSupport
import Testing

/// `--audit`: a plugin in process that writes to what it did not declare is named, and who keeps to it is not disturbed.
@Suite struct AuditTests {
  /// Keeps the first view, of text.0.z, and writes to it at text.1.mlp_post, whose larger view lies elsewhere.
  private static func source(writes: Bool) -> String {
    PluginSource.c(
      id: "late", descriptor: ", .plan = both, .on_event = on_event",
      body: """
        static float *kept;
        static ablate_status both(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
          static const ablate_access access[] = {
            {.struct_size = sizeof *access, .access = ABLATE_READ, .tower = "text", .site = "z"},
            {.struct_size = sizeof *access, .access = ABLATE_READ, .tower = "text", .site = "mlp_post", .layer_first = 1,
             .layer_last = 1}};
          o->accesses = access, o->n_accesses = 2;
          return ABLATE_OK; }
        static ablate_status on_event(void *s, const ablate_event *v, ablate_error *e) {
          const ablate_tensor *view = v->slices->view;
          if (!kept) kept = (float *)((char *)view->data + view->byte_offset);
          if (\(writes ? 1 : 0) && !strcmp(v->site, "mlp_post")) kept[3] += 1;
          return ABLATE_OK; }
        """)
  }

  private func capture(_ arguments: String..., writes: Bool) throws -> Outcome {
    let scratch = try Scratch()
    let footprint = #"{"tower": "text", "sites": ["z", "mlp_post"], "access": "r"}"#
    try scratch.write(
      PluginSource.manifest(id: "late", library: "late.so", footprint: footprint), to: "late/plugin.json")
    try scratch.compile(Self.source(writes: writes), to: "late/late.so")
    return try Command.run(
      ["capture", "--model", mha, "--inputs", "\(mha)/goldens/clean.safetensors", "--at", "logits"]
        + ["--out", "out.safetensors", "--plugin", "./late"] + arguments, in: scratch)
  }

  @Test func `names the plugin and the hook point`() throws {
    let outcome = try capture("--in-process", "--audit", writes: true)
    #expect(outcome.status == 70)
    #expect(outcome.errors.contains("changed memory that it did not declare: of "), "\(outcome.errors)")
    #expect(outcome.errors.contains("at: plugin late, text.1.mlp_post"), "\(outcome.errors)")
  }

  @Test func `says nothing of a plugin that keeps to its views, and without it nothing is seen`() throws {
    #expect(try capture("--in-process", "--audit", writes: false).status == 0)
    #expect(try capture("--in-process", writes: true).status == 0)
  }
}
