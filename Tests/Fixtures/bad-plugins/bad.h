/* A good small plugin that reads and writes text.1.z, with a place for each way of being bad. A case defines some of these before it
 * includes this file; Tests/PluginHostTests/BadPluginCases.swift says what the host must answer. */
#include "ablate_plugin.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef CREATE /* statements of create; falls through to a good instance */
#define CREATE
#endif
#ifndef PLAN /* of plan, after the access was set up in `access` */
#define PLAN
#endif
#ifndef BEGIN_LANE
#define BEGIN_LANE
#endif
#ifndef ON_EVENT /* for each slice: x[0..n) are its elements, view its tensor */
#define ON_EVENT
#endif
#ifndef END_LANE
#define END_LANE
#endif
#ifndef ENTRY
#define ENTRY return &library;
#endif
#ifndef LIBRARY
#define LIBRARY {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1}
#endif
#ifndef PLUGINS
#define PLUGINS &plugin
#endif
#ifndef PLUGIN /* more fields of the descriptor */
#define PLUGIN
#endif
#ifndef ACCESS
#define ACCESS (ABLATE_READ | ABLATE_WRITE)
#endif

static const ablate_host *host;
static ablate_access access_to_z = {.struct_size = sizeof(ablate_access), .access = ACCESS, .tower = "text",
                                    .site = "z", .layer_first = 1, .layer_last = 1};

static void *create(const ablate_host *h, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  host = h;
  CREATE
  return malloc(1);
}

static ablate_status plan(void *self, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  ablate_access *access = &access_to_z;
  out->accesses = access, out->n_accesses = 1;
  PLAN
  return ABLATE_OK;
}

static ablate_status begin_lane(void *self, uint32_t lane, const ablate_item *item, ablate_error *error) {
  BEGIN_LANE
  return ABLATE_OK;
}

static ablate_status on_event(void *self, const ablate_event *event, ablate_error *error) {
  for (uint64_t s = 0; s < event->n_slices; s++) {
    ablate_tensor *view = event->slices[s].view;
    float *x = (float *)((char *)view->data + view->byte_offset);
    uint64_t n = view->size_bytes / sizeof *x;
    ON_EVENT
    (void)x, (void)n;
  }
  return ABLATE_OK;
}

static ablate_status end_lane(void *self, uint32_t lane, const ablate_column *readings, uint64_t n_columns,
                              uint64_t n_rows, ablate_error *error) {
  END_LANE
  return ABLATE_OK;
}

static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = ABLATE_INTERVENTION, .id = "bad",
                                     .version = "1.0.0", .create = create, .destroy = free, .plan = plan,
                                     .begin_lane = begin_lane, .on_event = on_event, .end_lane = end_lane, PLUGIN};
static const ablate_plugin *const plugins[] = {PLUGINS};

ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = LIBRARY;
  (void)library;
  ENTRY
}
