/* zero-heads: sets the output of chosen attention heads to zero, before the output projection mixes them. */
#include "ablate_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const towers[] = {"vision", "text"};
#define PARAM(...) {.struct_size = sizeof(ablate_param), __VA_ARGS__}
static const ablate_param params[] = {
    PARAM(.id = "tower", .type = ABLATE_T_STR, .def_str = "text", .choices = towers, .n_choices = 2),
    PARAM(.id = "layers", .type = ABLATE_T_SELECTOR, .def_str = "all"),
    PARAM(.id = "heads", .type = ABLATE_T_I64V, .max = 511, .flags = ABLATE_PARAM_REQUIRED),
    PARAM(.id = "tokens", .type = ABLATE_T_SELECTOR, .def_str = "all"),
};

enum { MAX_HEADS = 512, TEXT = 4096 };
typedef struct zero_heads {
  ablate_access access;
  int32_t heads[MAX_HEADS];
  char layers[TEXT], tokens[TEXT]; /* the host's strings die when create returns */
} zero_heads;

static const ablate_value *find(const ablate_value *values, uint64_t n, const char *id) {
  for (; n; n--, values = (const ablate_value *)((const char *)values + values->struct_size))
    if (!strcmp(values->id, id)) return values;
  return NULL; /* not given, and without a default */
}

static void *fail(zero_heads *self, ablate_error *error, const char *why) {
  error->code = ABLATE_E_INVALID;
  snprintf(error->message, error->capacity, "%s", why);
  return free(self), NULL;
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  zero_heads *self = calloc(1, sizeof *self);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  const ablate_value *heads = find(values, n, "heads");
  if (heads->n == 0 || heads->n > MAX_HEADS) return fail(self, error, "heads: name 1 to 512 of them");
  for (uint64_t i = 0; i < heads->n; i++) self->heads[i] = (int32_t)heads->iv[i];
  snprintf(self->layers, TEXT, "%s", find(values, n, "layers")->s);
  snprintf(self->tokens, TEXT, "%s", find(values, n, "tokens")->s);
  self->access = (ablate_access){.struct_size = sizeof(ablate_access), .access = ABLATE_WRITE, .site = "z",
                                 .tower = strcmp(find(values, n, "tower")->s, "text") ? "vision" : "text",
                                 .layers = self->layers, .heads = self->heads, .n_heads = heads->n,
                                 .tokens = self->tokens};
  return self;
}

static ablate_status plan(void *self, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  out->accesses = &((zero_heads *)self)->access;
  out->n_accesses = 1;
  return ABLATE_OK;
}

/* The views hold the chosen rows and heads only: [rows, heads, head_width], dense. */
static ablate_status on_event(void *self, const ablate_event *event, ablate_error *error) {
  const ablate_slice *slice = event->slices;
  for (uint64_t i = 0; i < event->n_slices; i++) {
    memset((char *)slice->view->data + slice->view->byte_offset, 0, slice->view->size_bytes);
    slice = (const ablate_slice *)((const char *)slice + slice->struct_size);
  }
  return ABLATE_OK;
}

static const ablate_plugin plugin = {.struct_size = sizeof(ablate_plugin), .kind = ABLATE_INTERVENTION,
                                     .id = "zero-heads", .version = "1.0.0", .threading = 1, .determinism = 2,
                                     .params = params, .n_params = 4, .create = create, .destroy = free,
                                     .plan = plan, .on_event = on_event};
static const ablate_plugin *const plugins[] = {&plugin};

const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
  return &library;
}
