import Foundation
import Testing

/// A tensor as a parameter in a manifest and on the command line; its file is part of what a trial is.
@Suite struct TensorParameterTests {
  private static let source = """
    #include "ablate_plugin.h"
    #include <stdlib.h>
    static void *create(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n, ablate_error *e) {
      ablate_edit *edit = calloc(1, sizeof *edit);
      *edit = (ablate_edit){.struct_size = sizeof *edit, .op = ABLATE_SITE_SCALE, .tower = "text", .site = "resid_post",
        .layer_last = -1, .queries = "image", .value = *(const float *)v->tensor->data};
      return edit;
    }
    static ablate_status plan(void *me, const ablate_item *i, ablate_plan *out, ablate_error *e) {
      out->edits = me;
      out->n_edits = 1;
      return 0;
    }
    static const ablate_param params[] = {
      {.struct_size = sizeof(ablate_param), .id = "factor", .type = ABLATE_T_TENSOR, .flags = ABLATE_PARAM_REQUIRED}};
    static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = 1, .id = "scaler", .version = "1.0.0",
      .determinism = 2, .params = params, .n_params = 1, .create = create, .destroy = free, .plan = plan};
    static const ablate_plugin *const plugins[] = {&plugin};
    ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t minor, ablate_error *error) {
      static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
      return &library;
    }
    """

  /// A safetensors file with one tensor of one element.
  private func write(_ value: Float, to name: String, in scratch: Scratch) throws {
    let header = Data(#"{"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#.utf8)
    let size = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
    try scratch.write(size + header + withUnsafeBytes(of: value) { Data($0) }, to: name)
  }

  @Test func `a changed file is another trial, and a missing one is named`() throws {
    let scratch = try Scratch()
    try FileManager.default.createDirectory(atPath: scratch.file("scaler"), withIntermediateDirectories: true)
    try scratch.compile(Self.source, to: "scaler/scaler.so")
    try scratch.write(
      """
      {"ablate": 1, "id": "scaler", "version": "1.0.0", "kind": "intervention", "grade": "sdk", "library": "scaler.so",
       "abi": {"major": 1, "min_minor": 0}, "licence": "Apache-2.0", "golden": "golden.json",
       "params": [{"id": "factor", "type": "tensor", "required": true, "doc": "[1]"}],
       "footprint": [{"tower": "text", "sites": ["resid_post"], "access": "w"}]}
      """, to: "scaler/plugin.json")
    try scratch.write(
      """
      ablate: 1
      name: tensors
      seed: 1
      models: [demo-compensating]
      dataset: { path: \(repository)/data/parts, limit: 1 }
      conditions:
        scaled: [{ plugin: ./scaler, with: { factor: "by/<model>.safetensors#t" } }]
      readings: [accuracy]
      """, to: "tensors.yaml")
    func run() throws -> Outcome { try Command.run(["run", "tensors.yaml", "--out", "run", "--quiet"], in: scratch) }
    let missing = try run()
    #expect(missing.status == 66 && missing.errors.contains("by/demo-compensating.safetensors"), "\(missing.errors)")
    try write(0.5, to: "by/demo-compensating.safetensors", in: scratch)
    #expect(try run().output.contains("1 computed now"))
    #expect(try run().output.contains("0 computed now, 1 stored before"))
    try write(0.25, to: "by/demo-compensating.safetensors", in: scratch)
    let changed = try run()
    #expect(changed.status == 65 && changed.errors.contains("has other bytes than before"), "\(changed.errors)")
  }
}
