import Foundation
import Testing

/// `--audit`: a plugin in process that writes to what it did not declare is named, and who keeps to it is not disturbed.
@Suite struct AuditTests {
  /// Keeps the first view, of text.0.z, and writes to it at text.1.mlp_post, whose larger view lies elsewhere.
  private static let source = """
    #include "ablate_plugin.h"
    #include <string.h>
    static float *kept;
    static char self;
    static void *create(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n, ablate_error *e) {
      return &self; }
    static void destroy(void *s) {}
    static ablate_status plan(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
      static const ablate_access access[] = {
        {.struct_size = sizeof *access, .access = ABLATE_READ, .tower = "text", .site = "z"},
        {.struct_size = sizeof *access, .access = ABLATE_READ, .tower = "text", .site = "mlp_post", .layer_first = 1,
         .layer_last = 1}};
      o->accesses = access, o->n_accesses = 2;
      return ABLATE_OK; }
    static ablate_status on_event(void *s, const ablate_event *v, ablate_error *e) {
      const ablate_tensor *view = v->slices->view;
      if (!kept) kept = (float *)((char *)view->data + view->byte_offset);
      if (WRITES && !strcmp(v->site, "mlp_post")) kept[3] += 1;
      return ABLATE_OK; }
    static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = ABLATE_INTERVENTION, .id = "late",
      .version = "1.0.0", .create = create, .destroy = destroy, .plan = plan, .on_event = on_event};
    static const ablate_plugin *const plugins[] = {&plugin};
    ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t minor, ablate_error *error) {
      static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
      return &library; }
    """

  private func capture(_ arguments: String..., writes: Bool) throws -> Outcome {
    let scratch = try Scratch()
    try FileManager.default.createDirectory(atPath: scratch.file("late"), withIntermediateDirectories: true)
    try scratch.compile(Self.source.replacing("WRITES", with: writes ? "1" : "0"), to: "late/late.so")
    try scratch.write(
      """
      {"ablate": 1, "id": "late", "version": "1.0.0", "kind": "intervention", "grade": "sdk", "library": "late.so",
       "abi": {"major": 1, "min_minor": 0}, "params": [], "licence": "Apache-2.0", "golden": "golden.json",
       "footprint": [{"tower": "text", "sites": ["z", "mlp_post"], "access": "r"}]}
      """, to: "late/plugin.json")
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
