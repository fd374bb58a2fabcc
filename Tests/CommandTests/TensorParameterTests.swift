import Foundation
import TestSupport
import Testing

/// A tensor as a parameter in a manifest and on the command line; its file is part of what a trial is.
@Suite struct TensorParameterTests {
  private static let source = PluginSource.c(
    id: "scaler", descriptor: ", .determinism = 2, .create = made, .plan = scale",
    params:
      "{.struct_size = sizeof(ablate_param), .id = \"factor\", .type = ABLATE_T_TENSOR, .flags = ABLATE_PARAM_REQUIRED}",
    body: """
      static void *made(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n, ablate_error *e) {
        ablate_edit *edit = calloc(1, sizeof *edit);
        *edit = (ablate_edit){.struct_size = sizeof *edit, .op = ABLATE_SITE_SCALE, .tower = "text", .site = "resid_post",
          .layer_last = -1, .queries = "image", .value = *(const float *)v->tensor->data};
        return edit;
      }
      static ablate_status scale(void *me, const ablate_item *i, ablate_plan *out, ablate_error *e) {
        out->edits = me;
        out->n_edits = 1;
        return 0;
      }
      """)

  /// A safetensors file with one tensor of one element.
  private func write(_ value: Float, to name: String, in scratch: Scratch) throws {
    let header = Data(#"{"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#.utf8)
    let size = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
    try scratch.write(size + header + withUnsafeBytes(of: value) { Data($0) }, to: name)
  }

  @Test func `a changed file is another trial, and a missing one is named`() throws {
    let scratch = try Scratch()
    try scratch.write(
      PluginSource.manifest(
        id: "scaler", library: "scaler.so",
        params: #"[{"id": "factor", "type": "tensor", "required": true, "doc": "[1]"}]"#,
        footprint: #"{"tower": "text", "sites": ["resid_post"], "access": "w"}"#), to: "scaler/plugin.json")
    try scratch.compile(Self.source, to: "scaler/scaler.so")
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
