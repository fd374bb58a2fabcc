/// Folders of Tests/Fixtures/abi/1.0, whose binaries every later host must run.
package let frozenPlugins = [
  "attention-mass", "everything", "logit-lens", "nearest-mean", "rust", "scale", "tuned-lens",
]

/// A plugin in C for a test, and its plugin.json: what every one has, around the parts that matter to the test.
package enum PluginSource {
  /// The whole of a small good plugin that plans nothing, with places at which a test adds to it or breaks it.
  ///
  /// - Parameters:
  ///   - library: fields of `ablate_library`; `plugins` those of its list; `entry` the statements of the entry.
  ///   - descriptor: more fields of `ablate_plugin`, `, .plan = mine`, which win over those before them.
  ///   - params: of `ablate_param`.
  ///   - body: C before the descriptor.
  package static func c(
    id: String = "bad", library: String = "{sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1}",
    plugins: String = "&plugin", descriptor: String = "", params: String = "", body: String = "",
    entry: String = "return &library;"
  ) -> String {
    """
    #include "ablate_plugin.h"
    #include <stdlib.h>
    #include <string.h>
    #include <stdio.h>
    static ablate_status plan(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) {
      (void)s, (void)i, (void)o, (void)e; return 0; }
    static void *create(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n,
      ablate_error *e) { (void)h, (void)m, (void)v, (void)n, (void)e; return malloc(1); }
    \(body)
    static const ablate_param params[] = {\(params.isEmpty ? "{0}" : params)};
    static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = 1, .id = "\(id)", .version = "1.0.0",
      .create = create, .destroy = free, .plan = plan, .params = params,
      .n_params = \(params.isEmpty ? "0" : "sizeof params / sizeof *params") \(descriptor)};
    static const ablate_plugin *const plugins[] = {\(plugins)};
    ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t minor, ablate_error *error) {
      static const ablate_library library = \(library);
      (void)minor, (void)error, (void)library; \(entry) }
    """
  }

  /// Its plugin.json.
  package static func manifest(
    id: String = "bad", kind: String = "intervention", grade: String = "sdk", library: String, params: String = "[]",
    footprint: String = #"{"tower": "text", "sites": ["z"], "access": "rw"}"#
  ) -> String {
    """
    {"ablate": 1, "id": "\(id)", "version": "1.0.0", "kind": "\(kind)", "grade": "\(grade)", "library": "\(library)",
     "abi": {"major": 1, "min_minor": 0}, "params": \(params), "licence": "Apache-2.0", "golden": "golden.json",
     "footprint": [\(footprint)]}
    """
  }
}
