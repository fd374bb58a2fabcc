/* everything: touches all that the ABI has for an intervention, so that a host that broke some of it would show.
 *
 * A parameter of every type; facts of the model and the item; every function of the host; an edit of every operation but a
 * patch, which the manifest must name; a view that is read and one that is written; rows with a column of every type. */
#include "ablate_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const modes[] = {"set", "leave"};
#define PARAM(...) {.struct_size = sizeof(ablate_param), __VA_ARGS__}
static const ablate_param params[] = {
    PARAM(.id = "rows_too", .type = ABLATE_T_BOOL, .doc = "whether rows are emitted", .def_int = 1),
    PARAM(.id = "value", .type = ABLATE_T_I64, .doc = "what is written", .min = -8, .max = 8, .def_int = 2),
    PARAM(.id = "factor", .type = ABLATE_T_F64, .doc = "of the projector's rows", .min = -2, .max = 2, .def = 0.5),
    PARAM(.id = "mode", .type = ABLATE_T_STR, .doc = "whether is written", .def_str = "set", .choices = modes, .n_choices = 2),
    PARAM(.id = "heads", .type = ABLATE_T_I64V, .doc = "heads whose z is emptied"),
    PARAM(.id = "names", .type = ABLATE_T_STRV, .doc = "labels of the emitted rows"),
    PARAM(.id = "tokens", .type = ABLATE_T_SELECTOR, .doc = "the rows that are written", .def_str = "all"),
    PARAM(.id = "table", .type = ABLATE_T_TENSOR, .doc = "added to the residual stream, [width] or [1]"),
};

typedef struct everything {
  const ablate_host *host;
  int rows_too, set;
  float value, added[4096], nothing;
  double factor;
  int32_t heads[64];
  uint64_t n_heads;
  char name[64], tokens[4096];
  int64_t shape[1], strides[1], one[1];
  ablate_tensor vector, empty;
  ablate_access accesses[2];
  ablate_edit edits[7];
} everything;

static const int32_t second[] = {1}, first_row[] = {0};

static ablate_status fail(ablate_error *error, ablate_status code, const char *why) {
  snprintf(error->message, error->capacity, "%s", why);
  return error->code = code;
}

static const ablate_value *find(const ablate_value *values, uint64_t n, const char *id) {
  for (; n; n--, values = (const ablate_value *)((const char *)values + values->struct_size))
    if (!strcmp(values->id, id)) return values;
  return NULL;
}

static ablate_tensor dense(float *data, int64_t *shape, int64_t *strides, int64_t n) {
  shape[0] = n, strides[0] = 1;
  return (ablate_tensor){.data = data, .device_type = 1, .ndim = 1, .dtype_code = 2, .dtype_bits = 32, .dtype_lanes = 1,
                         .shape = shape, .strides = strides, .size_bytes = 4 * (uint64_t)n, .access = ABLATE_READ};
}

static ablate_status read(everything *self, const ablate_model *model, const ablate_value *values, uint64_t n,
                          ablate_error *error) {
  const ablate_value *heads = find(values, n, "heads"), *names = find(values, n, "names"), *table = find(values, n, "table");
  self->rows_too = (int)find(values, n, "rows_too")->i;
  self->value = (float)find(values, n, "value")->i;
  self->factor = find(values, n, "factor")->f;
  self->set = !strcmp(find(values, n, "mode")->s, "set");
  snprintf(self->tokens, sizeof self->tokens, "%s", find(values, n, "tokens")->s);
  snprintf(self->name, sizeof self->name, "%s", names && names->n ? names->sv[0] : "unnamed");
  if (model->text_width < 1 || model->text_width > 4096) return fail(error, ABLATE_E_UNSUPPORTED, "width");
  for (; heads && self->n_heads < heads->n && self->n_heads < 64; self->n_heads++) {
    int64_t head = heads->iv[self->n_heads];
    if (head < 0 || head >= model->text_heads) return fail(error, ABLATE_E_INVALID, "heads: there is no such head");
    self->heads[self->n_heads] = (int32_t)head;
  }
  for (int i = 0; i < model->text_width; i++) self->added[i] = 1;
  if (table) {
    uint64_t count = table->tensor->size_bytes / 4;
    const float *x = (const float *)((const char *)table->tensor->data + table->tensor->byte_offset);
    if (count != 1 && count != (uint64_t)model->text_width) return fail(error, ABLATE_E_INVALID, "table: not as wide as the model");
    for (int i = 0; i < model->text_width; i++) self->added[i] = x[count == 1 ? 0 : i];
  }
  self->vector = dense(self->added, self->shape, self->strides, model->text_width);
  self->empty = dense(&self->nothing, self->one, self->strides, 1);
  return ABLATE_OK;
}

static void ask(everything *self) {
  ablate_access a = {.struct_size = sizeof a, .access = ABLATE_READ, .tower = "text", .site = "pattern", .layer_first = 1,
                     .layer_last = 1, .heads = first_row, .n_heads = 1, .tokens = "last"};
  ablate_access b = {.struct_size = sizeof b, .access = ABLATE_READ | ABLATE_WRITE, .tower = "text", .site = "resid_post",
                     .layers = "1", .tokens = self->tokens};
  self->accesses[0] = a, self->accesses[1] = b;
  ablate_edit edit = {.struct_size = sizeof edit, .tower = "text", .heads = second, .n_heads = 1, .queries = "last",
                      .on_empty = ABLATE_EMPTY_SELF};
  for (int i = 0; i < 7; i++) self->edits[i] = edit, self->edits[i].op = (uint32_t)i + 1;
  self->edits[0].keys = "image";                                                             /* drop */
  self->edits[1].keys = "all", self->edits[1].layers = "1";                                  /* keep only */
  self->edits[2].key_index = first_row, self->edits[2].n_key_index = 1, self->edits[2].value = 0.25; /* bias */
  self->edits[3].keys = "[1]", self->edits[3].layer_first = self->edits[3].layer_last = 1;   /* zero */
  ablate_edit *scale = &self->edits[4], *set = &self->edits[5], *add = &self->edits[6];
  scale->tower = "projector", scale->site = "out", scale->queries = NULL, scale->value = self->factor;
  scale->heads = NULL, scale->n_heads = 0;
  set->site = "z", set->layers = "1", set->queries = "all", set->vector = &self->empty;
  set->heads = self->n_heads ? self->heads : second, set->n_heads = self->n_heads ? self->n_heads : 1;
  add->site = "resid_post", add->queries = NULL, add->query_index = first_row, add->n_query_index = 1;
  add->value = 2, add->vector = &self->vector, add->heads = NULL, add->n_heads = 0;
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  if (host->abi_major != ABLATE_ABI_MAJOR || !(host->edit_ops >> ABLATE_SITE_ADD & 1) || host->extension(host->ctx, "none/1"))
    return fail(error, ABLATE_E_UNSUPPORTED, "this host is none of version 1"), NULL;
  everything *self = host->alloc(host->ctx, sizeof *self, 64);
  if (!self) return fail(error, ABLATE_E_MEMORY, "no memory"), NULL;
  memset(self, 0, sizeof *self);
  self->host = host;
  if (read(self, model, values, n, error)) return host->release(host->ctx, self), NULL;
  host->log(host->ctx, 0, "made");
  ask(self);
  return self;
}

static void destroy(void *me) {
  everything *self = me;
  self->host->release(self->host->ctx, self);
}

static ablate_status plan(void *me, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  everything *self = me;
  out->flags = ABLATE_PLAN_PER_ITEM;
  if (!item) return ABLATE_OK;
  out->accesses = self->accesses, out->n_accesses = 2;
  out->edits = self->edits, out->n_edits = 7;
  return ABLATE_OK;
}

static ablate_status begin_lane(void *me, uint32_t lane, const ablate_item *item, ablate_error *error) {
  const ablate_host *host = ((everything *)me)->host;
  int32_t rows[8];
  int64_t n = host->select(host->ctx, "text", "image", rows, 8);
  const ablate_segment *segment = item->segments;
  for (uint64_t i = 0; i < item->n_segments; i++) {
    if (segment->kind == ABLATE_SEGMENT_IMAGE && (n < 1 || rows[0] != segment->first))
      return fail(error, ABLATE_E_INTERNAL, "the image is not where its segment is");
    segment = (const ablate_segment *)((const char *)segment + segment->struct_size);
  }
  return host->cancelled(host->ctx) ? ABLATE_E_CANCELLED : ABLATE_OK;
}

static float *data(const ablate_slice *slice) { return (float *)((char *)slice->view->data + slice->view->byte_offset); }

/* What one row of the pattern sums to, with a column of every type. */
static ablate_status emit(everything *self, const ablate_slice *slice, const ablate_event *event) {
  for (uint64_t r = 0; r < slice->n_rows; r++) {
    int64_t layer = event->layer, row = slice->rows[r], head = slice->heads[0], keys = slice->n_keys, first = row == 0;
    double sum = 0;
    for (int64_t k = 0; k < keys; k++) sum += data(slice)[(int64_t)r * keys + k];
    int32_t site[] = {0, 12}, name[] = {0, (int32_t)strlen(self->name)};
    ablate_column columns[] = {
        {sizeof *columns, ABLATE_T_STR, "site", "text.pattern", site, NULL},
        {sizeof *columns, ABLATE_T_I64, "layer", &layer, NULL, NULL},
        {sizeof *columns, ABLATE_T_I64, "row", &row, NULL, NULL},
        {sizeof *columns, ABLATE_T_I64, "head", &head, NULL, NULL},
        {sizeof *columns, ABLATE_T_STR, "label", self->name, name, NULL},
        {sizeof *columns, ABLATE_T_BOOL, "first", &first, NULL, NULL},
        {sizeof *columns, ABLATE_T_I64, "keys", &keys, NULL, NULL},
        {sizeof *columns, ABLATE_T_F64, "sum", &sum, NULL, NULL},
    };
    ablate_status status = self->host->emit(self->host->ctx, slice->lane, "sums", columns, 8, 1);
    if (status) return status;
  }
  return ABLATE_OK;
}

/* Writes the value; random words are the same in whatever order they are drawn. */
static ablate_status write(everything *self, const ablate_slice *slice) {
  uint64_t width = slice->n_rows ? (uint64_t)slice->view->shape[1] : 0;
  for (uint64_t r = 0; r < slice->n_rows; r++) {
    uint32_t both[2], last;
    if (self->host->random(self->host->ctx, slice->lane, (uint64_t)slice->rows[r], 0, both, 2) ||
        self->host->random(self->host->ctx, slice->lane, (uint64_t)slice->rows[r], 1, &last, 1))
      return ABLATE_E_STATE;
    if (both[1] != last) return ABLATE_E_INTERNAL;
    for (uint64_t i = 0; self->set && i < width; i++) data(slice)[r * width + i] = self->value;
  }
  return ABLATE_OK;
}

static ablate_status on_event(void *me, const ablate_event *event, ablate_error *error) {
  everything *self = me;
  const ablate_slice *slice = event->slices;
  for (uint64_t s = 0; s < event->n_slices; s++) {
    ablate_status status = ABLATE_OK;
    if (slice->access_index == 1) status = write(self, slice);
    else if (self->rows_too) status = emit(self, slice, event);
    if (status) return fail(error, status, "a call of the host failed");
    slice = (const ablate_slice *)((const char *)slice + slice->struct_size);
  }
  return ABLATE_OK;
}

static ablate_status end_lane(void *me, uint32_t lane, const ablate_column *readings, uint64_t n_columns, uint64_t n_rows,
                              ablate_error *error) {
  return n_rows ? fail(error, ABLATE_E_INTERNAL, "answers to what was not asked") : ABLATE_OK;
}

static const void *extension(void *me, const char *id) { return NULL; }

static const ablate_plugin plugin = {.struct_size = sizeof plugin, .kind = ABLATE_INTERVENTION, .id = "everything",
                                     .version = "1.0.0", .determinism = 2, .params = params, .n_params = 8,
                                     .create = create, .destroy = destroy, .plan = plan, .begin_lane = begin_lane,
                                     .on_event = on_event, .end_lane = end_lane, .extension = extension};
static const ablate_plugin *const plugins[] = {&plugin};

ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
  return &library;
}
