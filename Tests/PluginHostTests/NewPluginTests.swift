import Foundation
import Models
import PluginHost
import PluginRuntime
import TestSupport
import Testing

/// Nothing is recompiled: a plugin that did not exist when the host was built is found by its path and changes the answer.
@Suite(.serialized) struct NewPluginTests {
  @Test func `a plugin compiled after the host changes the answer, and its new build changes it differently`() throws {
    let shop = try PluginWorkshop()
    let host = try HostCase("gqa", newTokens: 4)
    let program = try FileManager.default.attributesOfItem(atPath: "/proc/self/exe")[.modificationDate] as? Date
    let clean = try host.run([])
    var digests: Set<String> = []
    var answers: Set<[UInt32]> = [clean.logitBits]
    for shift in ["1.5f", "-2.0f"] {
      try? FileManager.default.removeItem(atPath: "\(shop.folder)/shift.so")
      try compile(shift, in: shop)
      let manifest = try PluginSearch(base: nil).manifest(of: shop.folder)
      let outcome = try host.run([.plugin(manifest, parameters: [:])], at: ["text.0.resid_pre"])
      #expect(outcome.failure == nil && outcome.receipts[0].visitsMade == 4 && outcome.receipts[0].note == nil)
      answers.insert(outcome.logitBits)
      digests.insert(try PluginLibrary.open(manifest).sha256)
    }
    #expect(answers.count == 3, "each build gives its own answer")
    #expect(digests.count == 2, "a changed plugin has another digest")
    try FileManager.default.removeItem(atPath: "\(shop.folder)/shift.so")
    let error = pluginError { _ = try PluginLibrary.open(PluginSearch(base: nil).manifest(of: shop.folder)) }
    #expect(error?.diagnosis.exit == .missingInput || error?.diagnosis.exit == .pluginFailure)
    #expect(try FileManager.default.attributesOfItem(atPath: "/proc/self/exe")[.modificationDate] as? Date == program)
  }

  /// Adds a constant to the residual stream that enters layer 0, in the prefill and at each generated token.
  private func compile(_ shift: String, in shop: borrowing PluginWorkshop) throws {
    let source = """
      #include "ablate_plugin.h"
      static char self;
      static void *create(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n,
        ablate_error *e) { return &self; }
      static void destroy(void *s) {}
      static ablate_status plan(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
        static const ablate_access access = {.struct_size = sizeof access, .access = ABLATE_READ | ABLATE_WRITE,
          .tower = "text", .site = "resid_pre"};
        o->accesses = &access, o->n_accesses = 1;
        return ABLATE_OK; }
      static ablate_status on_event(void *s, const ablate_event *v, ablate_error *e) {
        for (uint64_t i = 0; i < v->n_slices; i++) {
          ablate_tensor *view = v->slices[i].view;
          float *x = (float *)((char *)view->data + view->byte_offset);
          for (uint64_t k = 0; k < view->size_bytes / sizeof *x; k += 2) x[k] += \(shift); }
        return ABLATE_OK; }
      static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = ABLATE_INTERVENTION, .id = "shift",
        .version = "1.0.0", .create = create, .destroy = destroy, .plan = plan, .on_event = on_event};
      static const ablate_plugin *const plugins[] = {&plugin};
      const ablate_library *ablate_plugin_entry_v1(uint32_t minor, ablate_error *error) {
        static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
        return &library; }
      """
    try shop.compile(source, to: "shift.so", ["-shared", "-fPIC", "-w"])
    let footprint = #"{"tower": "text", "sites": ["resid_pre"], "access": "rw"}"#
    let json = PluginSource.manifest(id: "shift", library: "shift.so", footprint: footprint)
    try shop.write(json, to: "plugin.json")
  }
}
