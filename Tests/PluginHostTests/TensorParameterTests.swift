import Foundation
import Models
import PluginHost
import PluginRuntime
import TestSupport
import Testing

/// A table by layer and head as a parameter: V-SEAM's modulation, z *= clip(1 + strength * score, 0, 2), in thirty lines of C.
@Suite(.serialized) struct TensorParameterTests {
  private static let source = PluginSource.c(
    id: "modulate", descriptor: ", .determinism = 2, .create = made, .plan = modulate",
    params:
      "{.struct_size = sizeof(ablate_param), .id = \"scores\", .type = ABLATE_T_TENSOR, .flags = ABLATE_PARAM_REQUIRED}",
    body: """
      typedef struct { ablate_edit edits[64]; int32_t heads[64]; uint64_t n; } instance;
      static void *made(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n, ablate_error *e) {
        const ablate_tensor *t = v->tensor;
        if (!t || t->ndim != 2 || t->shape[0] != m->text_layers || t->shape[1] != m->text_heads || !(t->access & ABLATE_READ)) {
          strncpy(e->message, "scores: one row per layer, one column per head", e->capacity);
          return e->code = ABLATE_E_INVALID, NULL;
        }
        instance *self = calloc(1, sizeof *self);
        const float *scores = (const float *)((const char *)t->data + t->byte_offset);
        for (int32_t l = 0; l < m->text_layers; l++)
          for (int32_t i = 0; i < m->text_heads; i++) {
            float factor = 1 + scores[l * t->strides[0] + i * t->strides[1]];
            self->heads[self->n] = i;
            self->edits[self->n] = (ablate_edit){.struct_size = sizeof(ablate_edit), .op = ABLATE_SITE_SCALE, .tower = "text",
              .site = "z", .layer_first = l, .layer_last = l, .heads = &self->heads[self->n], .n_heads = 1, .queries = "all",
              .value = factor < 0 ? 0 : factor > 2 ? 2 : factor};
            self->n++;
          }
        return self;
      }
      static ablate_status modulate(void *me, const ablate_item *i, ablate_plan *out, ablate_error *e) {
        out->edits = ((instance *)me)->edits;
        out->n_edits = ((instance *)me)->n;
        return 0;
      }
      """)

  /// A safetensors file of f32 tensors.
  private func safetensors(_ tensors: [(name: String, shape: [Int], values: [Float])]) -> Data {
    var (entries, bytes): ([String], Data) = ([], Data())
    for (name, shape, values) in tensors {
      let start = bytes.count
      values.withUnsafeBytes { bytes.append(contentsOf: $0) }
      entries.append(#""\#(name)": {"dtype": "F32", "shape": \#(shape), "data_offsets": [\#(start), \#(bytes.count)]}"#)
    }
    let header = Data("{\(entries.joined(separator: ", "))}".utf8)
    return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) } + header + bytes
  }

  @Test func `reaches the plugin from a file, and wrong ones are refused in words`() throws {
    let shop = try PluginWorkshop()
    try shop.compile(Self.source, to: "modulate.so")
    let json = PluginSource.manifest(
      id: "modulate", library: "modulate.so",
      params: #"[{"id": "scores", "type": "tensor", "required": true, "doc": "[layers, heads]"}]"#,
      footprint: #"{"tower": "text", "sites": ["z"], "access": "w"}"#)
    let manifest = try PluginManifest(path: shop.write(json, to: "plugin.json"))
    let host = try HostCase("mha")
    let (layers, heads) = (host.model.configuration.text.layers, host.model.configuration.text.heads)
    var scores = [Float](repeating: 0, count: layers * heads)
    let same = scores
    scores[heads + 1] = -3  // head 1 of layer 1, clipped to nothing
    try safetensors([
      ("cut", [layers, heads], scores), ("same", [layers, heads], same), ("flat", [layers * heads], same),
    ])
    .write(to: URL(fileURLWithPath: "\(shop.folder)/scores.safetensors"))

    func run(_ tensor: String) throws -> ConditionOutcome {
      let given = try manifest.readingTensors(["scores": .text("scores.safetensors#\(tensor)")], folder: shop.folder)
      return try host.run([.plugin(manifest, parameters: given)])
    }
    let zero = try PluginSearch(base: "\(PluginWorkshop.root)/Plugins").manifest(of: "zero-heads")
    let cut = try host.run([.plugin(zero, parameters: ["layers": .text("1"), "heads": .text("1")])])
    #expect(try run("cut").logitBits == cut.logitBits)
    #expect(try run("same").logitBits == host.run([]).logitBits)
    #expect(cut.logitBits != (try host.run([])).logitBits)
    #expect(throws: (any Error).self) { try run("flat") }
    #expect(throws: (any Error).self) { try run("missing") }
    #expect(throws: (any Error).self) {
      try manifest.readingTensors(["scores": .text("scores.safetensors")], folder: shop.folder)
    }
    let text = pluginError { _ = try manifest.resolve(["scores": .number(1)]) }
    #expect("\(text.map { "\($0)" } ?? "")".contains("must be a tensor of a file"))
  }
}
