/* random-edges: the control of a cut. For every query it removes attention edges drawn at random, as many as a cut of `queries` from
 * `keys` would remove, or as many as carry the attention mass that the cut would remove there; the rest is renormalised, as behind minus
 * infinity before the softmax.
 *
 * A query's order of keys is drawn once, for all layers and heads: what is cut stays cut. With `number` the edges are the same everywhere;
 * with `mass` each head of each layer takes as many of that order as come nearest to the mass. */
#include "ablate_plugin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const towers[] = {"vision", "text"}, *const matches[] = {"number", "mass"};
#define PARAM(...) {.struct_size = sizeof(ablate_param), __VA_ARGS__}
static const ablate_param params[] = {
    PARAM(.id = "tower", .type = ABLATE_T_STR, .def_str = "vision", .choices = towers, .n_choices = 2),
    PARAM(.id = "layers", .type = ABLATE_T_SELECTOR, .def_str = "all"),
    PARAM(.id = "heads", .type = ABLATE_T_I64V, .max = 511),
    PARAM(.id = "queries", .type = ABLATE_T_SELECTOR),
    PARAM(.id = "keys", .type = ABLATE_T_SELECTOR),
    PARAM(.id = "keep_self", .type = ABLATE_T_BOOL, .def_int = 1),
    PARAM(.id = "match", .type = ABLATE_T_STR, .def_str = "number", .choices = matches, .n_choices = 2),
};

enum { MAX_HEADS = 512, TEXT = 4096, MAX_ROWS = 65536, MAX_LANES = 4096 };
typedef struct random_edges {
  const ablate_host *host;
  ablate_access access;
  int text, keep_self, by_mass;
  int32_t heads[MAX_HEADS];
  char layers[TEXT], queries[TEXT], keys[TEXT]; /* the host's strings die when create returns */
  unsigned char *cut[MAX_LANES];                /* per open lane: by row, whether the cut names it as a key */
} random_edges;

static const ablate_value *find(const ablate_value *values, uint64_t n, const char *id) {
  for (; n; n--, values = (const ablate_value *)((const char *)values + values->struct_size))
    if (!strcmp(values->id, id)) return values;
  return NULL; /* not given, and without a default */
}

static ablate_status fail(ablate_error *error, ablate_status code, const char *why) {
  snprintf(error->message, error->capacity, "%s", why);
  return error->code = code;
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  const ablate_value *heads = find(values, n, "heads"), *queries = find(values, n, "queries");
  const ablate_value *keys = find(values, n, "keys");
  if (heads && heads->n > MAX_HEADS) return fail(error, ABLATE_E_INVALID, "heads: name at most 512"), NULL;
  random_edges *self = calloc(1, sizeof *self);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  self->host = host, self->text = !strcmp(find(values, n, "tower")->s, "text");
  self->keep_self = (int)find(values, n, "keep_self")->i, self->by_mass = !strcmp(find(values, n, "match")->s, "mass");
  for (uint64_t i = 0; heads && i < heads->n; i++) self->heads[i] = (int32_t)heads->iv[i];
  snprintf(self->layers, TEXT, "%s", find(values, n, "layers")->s);
  snprintf(self->queries, TEXT, "%s", queries ? queries->s : self->text ? "image" : "patches");
  snprintf(self->keys, TEXT, "%s", keys ? keys->s : self->text ? "image" : "patches");
  self->access = (ablate_access){.struct_size = sizeof(ablate_access), .access = ABLATE_READ | ABLATE_WRITE,
                                 .tower = towers[self->text], .site = "pattern", .layers = self->layers,
                                 .heads = heads && heads->n ? self->heads : NULL, .n_heads = heads ? heads->n : 0,
                                 .tokens = self->queries};
  return self;
}

static void destroy(void *me) {
  for (int lane = 0; lane < MAX_LANES; lane++) free(((random_edges *)me)->cut[lane]);
  free(me);
}

static ablate_status plan(void *self, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  out->accesses = &((random_edges *)self)->access;
  out->n_accesses = 1;
  return ABLATE_OK;
}

static ablate_status begin_lane(void *me, uint32_t lane, const ablate_item *item, ablate_error *error) {
  random_edges *self = me;
  if (lane >= MAX_LANES) return fail(error, ABLATE_E_UNSUPPORTED, "at most 4096 lanes at once");
  int32_t *rows = malloc(MAX_ROWS * sizeof *rows);
  unsigned char *cut = calloc(MAX_ROWS, 1);
  int64_t n = rows ? self->host->select(self->host->ctx, towers[self->text], self->keys, rows, MAX_ROWS) : 0;
  for (int64_t i = 0; cut && i < n && i < MAX_ROWS; i++)
    if (rows[i] < MAX_ROWS) cut[rows[i]] = 1;
  free(rows), free(self->cut[lane]);
  self->cut[lane] = cut;
  return cut && n >= 0 ? ABLATE_OK : ABLATE_E_MEMORY; /* the host knows what was wrong with the selector */
}

static ablate_status end_lane(void *me, uint32_t lane, const ablate_column *readings, uint64_t n_columns, uint64_t n_rows,
                              ablate_error *error) {
  free(((random_edges *)me)->cut[lane]);
  ((random_edges *)me)->cut[lane] = NULL;
  return ABLATE_OK;
}

/* The keys that `row` may lose, in drawn order. */
static int draw(const random_edges *self, uint32_t lane, int row, int visible, int32_t *order, uint32_t *words) {
  int n = 0;
  for (int k = 0; k < visible; k++)
    if (k != row || !self->keep_self) order[n++] = k;
  self->host->random(self->host->ctx, lane, (uint64_t)row, 0, words, (uint64_t)n);
  for (int i = 0; i < n - 1; i++) {
    int j = i + (int)((uint64_t)words[i] * (uint64_t)(n - i) >> 32);
    int32_t swap = order[i];
    order[i] = order[j], order[j] = swap;
  }
  return n;
}

/* How many keys of the order go: as many as the cut has, or those whose mass comes nearest to that of the cut. */
static int count(const random_edges *self, const float *pattern, const unsigned char *cut, int row, int visible,
                 const int32_t *order, int n) {
  int edges = 0;
  double mass = 0, gone = 0;
  for (int k = 0; k < visible; k++)
    if (cut[k] && (k != row || !self->keep_self)) edges++, mass += pattern[k];
  if (!self->by_mass) return edges;
  for (int i = 0; i < n; i++) {
    double more = gone + pattern[order[i]];
    if (fabs(more - mass) > fabs(gone - mass)) return i;
    gone = more;
  }
  return n;
}

/* A key's entry becomes 0, and what is left sums to 1 again. False where nothing is left. */
static int drop(float *pattern, int visible, const int32_t *order, int n) {
  double rest = 0;
  for (int i = 0; i < n; i++) pattern[order[i]] = 0;
  for (int k = 0; k < visible; k++) rest += pattern[k];
  for (int k = 0; n > 0 && rest > 0 && k < visible; k++) pattern[k] = (float)(pattern[k] / rest);
  return rest > 0;
}

static ablate_status on_event(void *me, const ablate_event *event, ablate_error *error) {
  const random_edges *self = me;
  const ablate_slice *slice = event->slices;
  for (uint64_t s = 0; s < event->n_slices; s++) {
    float *pattern = (float *)((char *)slice->view->data + slice->view->byte_offset); /* [heads, rows, keys], dense */
    int keys = slice->n_keys;
    int32_t *order = malloc((size_t)keys * sizeof *order);
    uint32_t *words = malloc((size_t)keys * sizeof *words);
    ablate_status status = order && words ? ABLATE_OK : ABLATE_E_MEMORY;
    if (slice->key_first) status = fail(error, ABLATE_E_UNSUPPORTED, "needs all keys of a row at once");
    for (uint64_t r = 0; status == ABLATE_OK && r < slice->n_rows; r++) {
      int row = slice->rows[r], visible = self->text && row + 1 < keys ? row + 1 : keys;
      int n = draw(self, slice->lane, row, visible, order, words);
      for (uint64_t h = 0; h < slice->n_heads; h++) {
        float *entries = pattern + (h * slice->n_rows + r) * (uint64_t)keys;
        if (!drop(entries, visible, order, count(self, entries, self->cut[slice->lane], row, visible, order, n)))
          status = fail(error, ABLATE_E_INVALID, "a query would attend to nothing: set keep_self");
      }
    }
    free(order), free(words);
    if (status != ABLATE_OK) return status;
    slice = (const ablate_slice *)((const char *)slice + slice->struct_size);
  }
  return ABLATE_OK;
}

static const ablate_plugin plugin = {.struct_size = sizeof(ablate_plugin), .kind = ABLATE_INTERVENTION,
                                     .id = "random-edges", .version = "1.0.0", .determinism = 2,
                                     .params = params, .n_params = 7, .create = create, .destroy = destroy, .plan = plan,
                                     .begin_lane = begin_lane, .on_event = on_event, .end_lane = end_lane};
static const ablate_plugin *const plugins[] = {&plugin};

const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
  return &library;
}
