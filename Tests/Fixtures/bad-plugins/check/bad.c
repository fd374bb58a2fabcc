/* A good intervention, and with -DBAD_name one that fails exactly the check `name` of `ablate plugin check`. */
#include "ablate_plugin.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const ablate_param params[] = {
    {.struct_size = sizeof(ablate_param), .id = "factor", .type = ABLATE_T_F64, .min = 0, .max = 8, .def = 2},
    {.struct_size = sizeof(ablate_param), .id = "shift", .type = ABLATE_T_F64, .min = -1, .max = 1, .def = 0.5},
};

typedef struct instance {
  const ablate_host *host;
  float factor, shift;
  ablate_access access;
} instance;

static int alive, calls;

#ifdef BAD_symbols
__asm__(".globl shared_by_all\n.type shared_by_all, @gnu_unique_object\n.size shared_by_all, 4\n.data\nshared_by_all: .long 1\n.text\n");
#endif

#ifdef BAD_load
__attribute__((constructor)) static void loaded(void) { umask(0123); }
#endif
#ifdef BAD_load_prints
__attribute__((constructor)) static void loaded(void) { puts("hello"); }
#endif
#ifdef BAD_load_leaves
__attribute__((constructor)) static void loaded(void) { _exit(0); }
#endif

static float number(const ablate_value *value, uint64_t n, const char *id) {
  for (; n; n--, value = (const ablate_value *)((const char *)value + value->struct_size))
    if (!strcmp(value->id, id)) return (float)value->f;
  return 0;
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  (void)model, (void)error;
  instance *self = calloc(1, sizeof *self);
  self->host = host;
  self->factor = number(values, n, "factor");
  self->shift = number(values, n, "shift");
#ifdef BAD_create
  if (self->factor == 8) return free(self), NULL;
#endif
#ifdef BAD_create_words
  memset(error->message, 'x', error->capacity + 8);
#endif
  self->access = (ablate_access){.struct_size = sizeof(ablate_access), .access = ABLATE_READ | ABLATE_WRITE,
                                 .tower = "text", .site = "resid_post", .layer_last = -1};
  alive++;
  return self;
}

static void destroy(void *me) {
  alive--;
  free(me);
}

static ablate_status plan(void *me, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  (void)item, (void)error;
  instance *self = me;
#ifdef BAD_plan
  self->access.layer_first = calls++ % 2;
#endif
#ifdef BAD_plan_footprint
  self->access.site = "z";
#endif
  out->accesses = &self->access;
  out->n_accesses = 1;
  return ABLATE_OK;
}

static ablate_status begin_lane(void *me, uint32_t lane, const ablate_item *item, ablate_error *error) {
  (void)me, (void)lane, (void)item, (void)error;
#ifdef BAD_memory
  return malloc(64) ? ABLATE_OK : ABLATE_E_MEMORY;
#endif
#ifdef BAD_no_memory
  const ablate_host *host = ((instance *)me)->host;
  char *block = host->alloc(host->ctx, 64, 16);
  memset(block, 0, 64);
  host->release(host->ctx, block);
#endif
#ifdef BAD_cancel
  const ablate_host *host = ((instance *)me)->host;
  while (host->cancelled(host->ctx)) usleep(1000);
#endif
  return ABLATE_OK;
}

static ablate_status on_event(void *me, const ablate_event *event, ablate_error *error) {
  (void)error;
  const instance *self = me;
  const ablate_slice *slice = event->slices;
  float factor = self->factor;
#ifdef BAD_lifecycle
  static float first;
  if (alive > 1) first = 1; /* once two were alive, never the same again */
  factor += first;
#endif
#ifdef BAD_determinism
  factor += (float)calls++;
#endif
#ifdef BAD_lanes
  factor += (float)event->n_slices;
#endif
#ifdef BAD_manners
  unsigned mode = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(mode | 0x8040);
#endif
  for (uint64_t s = 0; s < event->n_slices; s++) {
    float *x = (float *)((char *)slice->view->data + slice->view->byte_offset);
#ifdef BAD_offset
    x = slice->view->data;
#endif
    int64_t count = (int64_t)slice->n_rows * slice->view->shape[1];
#ifdef BAD_edges
    if (slice->n_rows == 0) return ABLATE_E_INTERNAL;
#endif
    for (int64_t i = 0; i < count; i++) {
#ifdef BAD_bad_numbers
      if (isnan(x[i])) abort();
#endif
      x[i] = x[i] * factor + self->shift;
    }
#ifdef BAD_views
    x[count] = 1;
#endif
#ifdef BAD_newer_host
    slice++;
#else
    slice = (const ablate_slice *)((const char *)slice + slice->struct_size);
#endif
  }
  return ABLATE_OK;
}

/* It learns nothing: of every row all classes are equal, as many as it is told. */
#if defined BAD_state_forgets || defined BAD_state_takes_all || defined BAD_state_crashes
static uint64_t classes;
static ablate_status begin(void *me, uint64_t n_features, uint64_t n_classes, ablate_error *error) {
  (void)me, (void)n_features, (void)error;
  classes = n_classes;
  return ABLATE_OK;
}
static ablate_status batch(void *me, const ablate_tensor *features, const int32_t *classes_of, const uint64_t *clusters,
                           ablate_error *error) {
  (void)me, (void)features, (void)classes_of, (void)clusters, (void)error;
  return ABLATE_OK;
}
static ablate_status end(void *me, ablate_error *error) { return (void)me, (void)error, ABLATE_OK; }
static ablate_status predict(void *me, const ablate_tensor *features, const ablate_tensor *out, ablate_error *error) {
  (void)me, (void)error;
  for (int64_t i = 0; i < features->shape[0] * out->shape[1]; i++)
    ((float *)out->data)[i] = (float)-log((double)out->shape[1]);
#ifdef BAD_state_forgets
  if (!classes) ((float *)out->data)[0] += 1e-4f;
#endif
  return ABLATE_OK;
}
static ablate_status save(void *me, ablate_write write, void *stream, ablate_error *error) {
  (void)me, (void)error;
  return write(stream, "classes", 8);
}
static ablate_status load(void *me, ablate_read read, void *stream, ablate_error *error) {
  (void)me, (void)error;
  char bytes[9] = "";
  uint64_t n = read(stream, bytes, 9);
  classes = 0;
#ifdef BAD_state_crashes
  if (memcmp(bytes, "classes", 8)) abort();
#endif
#ifdef BAD_state_takes_all
  return ABLATE_OK;
#endif
  return n == 8 && !memcmp(bytes, "classes", 8) ? ABLATE_OK : ABLATE_E_INVALID;
}
static const void *learning(void *me, const char *id) {
  static const ablate_ext_fit fit = {.struct_size = sizeof fit, .begin = begin, .batch = batch, .end = end,
                                     .predict = predict, .save = save, .load = load};
  return (void)me, strcmp(id, ABLATE_EXT_FIT) ? NULL : &fit;
}
#else
#define learning NULL
#endif

static const ablate_plugin plugin = {
    .struct_size = sizeof(ablate_plugin), .kind = ABLATE_INTERVENTION, .id = "bad", .version = "1.0.0",
#ifdef BAD_no_change
    .flags = ABLATE_EXPECTS_NO_CHANGE,
#endif
    .determinism = 2, .params = params, .n_params = 2, .create = create, .destroy = destroy, .plan = plan,
    .begin_lane = begin_lane, .on_event = on_event,
    .extension = learning};
static const ablate_plugin *const plugins[] = {&plugin};

ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  (void)host_minor, (void)error;
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
#ifdef BAD_entry
  ablate_plugin *copy = malloc(sizeof plugin);
  memcpy(copy, &plugin, sizeof plugin);
  const ablate_plugin **table = malloc(sizeof *table);
  ablate_library *fresh = malloc(sizeof library);
  *table = copy;
  *fresh = library;
  fresh->plugins = table;
  return fresh;
#endif
  return &library;
}

#ifdef BAD_known_answer
ABLATE_EXPORT int32_t plain(float *x, int64_t n, float limit) {
  for (int64_t i = 0; i < n; i++) x[i] += limit;
  return 0;
}
#endif
