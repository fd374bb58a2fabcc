/* Doubles the first element of each view. */
#include "ablate_plugin.h"

static char self;
static void *create(const ablate_host *h, const ablate_model *m, const ablate_value *v, uint64_t n, ablate_error *e) {
  return &self;
}
static void destroy(void *s) {}
static ablate_status plan(void *s, const ablate_item *i, ablate_plan *o, ablate_error *e) { return ABLATE_OK; }
static ablate_status on_event(void *s, const ablate_event *event, ablate_error *e) {
  for (uint64_t i = 0; i < event->n_slices; i++) ((float *)event->slices[i].view->data)[0] *= 2;
  return ABLATE_OK;
}
static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = ABLATE_INTERVENTION, .id = "twice",
                                     .version = "1.0.0", .create = create, .destroy = destroy, .plan = plan,
                                     .on_event = on_event};
static const ablate_plugin *const plugins[] = {&plugin};

const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
  return &library;
}
