/* attention-knockout: queries may not attend to keys. Says so as edits; no code of it runs in the pass.
 *
 * What is cut, `block`:
 *   edges           from the rows `queries` to the rows `keys`
 *   outside_window  from each patch to the patches farther than `radius` rows or columns of the patch grid
 *   outside_part    from the patches of each part of the item to the patches outside that part
 *
 * In the vision tower CLS is a side channel: patches that may not see each other still meet in it. Policy `cls`:
 *   blind     CLS reads only itself; patches may read CLS, which stays a sink and holds nothing of them
 *   isolated  CLS and patches do not see each other at all
 *   open      the edges of CLS are left alone: it leaks, on purpose */
#include "ablate_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const towers[] = {"vision", "text"}, *const policies[] = {"blind", "isolated", "open"};
static const char *const empties[] = {"error", "self", "zero"}, *const modes[] = {"pre_softmax", "post_softmax"};
static const char *const blocks[] = {"edges", "outside_window", "outside_part"};
#define PARAM(...) {.struct_size = sizeof(ablate_param), __VA_ARGS__}
static const ablate_param params[] = {
    PARAM(.id = "tower", .type = ABLATE_T_STR, .def_str = "vision", .choices = towers, .n_choices = 2),
    PARAM(.id = "layers", .type = ABLATE_T_SELECTOR, .def_str = "all"),
    PARAM(.id = "heads", .type = ABLATE_T_I64V, .max = 511),
    PARAM(.id = "block", .type = ABLATE_T_STR, .def_str = "edges", .choices = blocks, .n_choices = 3),
    PARAM(.id = "queries", .type = ABLATE_T_SELECTOR),
    PARAM(.id = "keys", .type = ABLATE_T_SELECTOR),
    PARAM(.id = "radius", .type = ABLATE_T_I64, .max = 4096),
    PARAM(.id = "keep_self", .type = ABLATE_T_BOOL, .def_int = 1),
    PARAM(.id = "cls", .type = ABLATE_T_STR, .def_str = "blind", .choices = policies, .n_choices = 3),
    PARAM(.id = "on_empty", .type = ABLATE_T_STR, .def_str = "error", .choices = empties, .n_choices = 3),
    PARAM(.id = "mode", .type = ABLATE_T_STR, .def_str = "pre_softmax", .choices = modes, .n_choices = 2),
};

enum { EDGES, OUTSIDE_WINDOW, OUTSIDE_PART }; /* blocks */
enum { BLIND, ISOLATED, OPEN };               /* policies */
enum { MAX_HEADS = 512, TEXT = 4096 };
typedef struct knockout {
  ablate_edit like; /* what all edits have in common */
  int block, vision, cls, keep_self, radius;
  int32_t heads[MAX_HEADS];
  char layers[TEXT], queries[TEXT], keys[TEXT]; /* the host's strings die when create returns */
  ablate_edit *edits; /* of the last plan, with the rows that they name */
  int32_t *rows;
  uint64_t n;
} knockout;

static const ablate_value *find(const ablate_value *values, uint64_t n, const char *id) {
  for (; n; n--, values = (const ablate_value *)((const char *)values + values->struct_size))
    if (!strcmp(values->id, id)) return values;
  return NULL; /* not given, and without a default */
}

static int choice(const ablate_value *value, const char *const *choices) {
  int i = 0;
  while (strcmp(value->s, choices[i])) i++; /* the host has checked that it is one of them */
  return i;
}

static ablate_status fail(ablate_error *error, ablate_status code, const char *why) {
  snprintf(error->message, error->capacity, "%s", why);
  return error->code = code;
}

static void destroy(void *me) {
  knockout *self = me;
  free(self->edits), free(self->rows), free(self);
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  const ablate_value *heads = find(values, n, "heads"), *queries = find(values, n, "queries");
  const ablate_value *keys = find(values, n, "keys"), *radius = find(values, n, "radius");
  int block = choice(find(values, n, "block"), blocks), vision = !choice(find(values, n, "tower"), towers);
  if (block != EDGES && (queries || keys))
    return fail(error, ABLATE_E_INVALID, "queries and keys go with block edges"), NULL;
  if ((block == OUTSIDE_WINDOW) != (radius != NULL))
    return fail(error, ABLATE_E_INVALID, "block outside_window needs a radius, the others have none"), NULL;
  if (heads && heads->n > MAX_HEADS) return fail(error, ABLATE_E_INVALID, "heads: name at most 512"), NULL;
  knockout *self = calloc(1, sizeof *self);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  for (uint64_t i = 0; heads && i < heads->n; i++) self->heads[i] = (int32_t)heads->iv[i];
  snprintf(self->layers, TEXT, "%s", find(values, n, "layers")->s);
  snprintf(self->queries, TEXT, "%s", queries ? queries->s : vision ? "patches" : "image");
  snprintf(self->keys, TEXT, "%s", keys ? keys->s : vision ? "patches" : "image");
  self->block = block, self->vision = vision, self->radius = radius ? (int)radius->i : 0;
  self->cls = choice(find(values, n, "cls"), policies), self->keep_self = (int)find(values, n, "keep_self")->i;
  self->like = (ablate_edit){.struct_size = sizeof(ablate_edit), .tower = towers[!vision], .layers = self->layers,
                             .op = choice(find(values, n, "mode"), modes) ? ABLATE_EDGE_ZERO : ABLATE_EDGE_DROP,
                             .heads = heads && heads->n ? self->heads : NULL, .n_heads = heads ? heads->n : 0,
                             .on_empty = (uint32_t)choice(find(values, n, "on_empty"), empties)};
  return self;
}

/* ---- edges between patches that no selector names: lists of rows, made for the item ---- */

typedef struct grid {
  int rows, cols, patches;
  int32_t first;      /* of the patches, in this plugin's tower */
  int32_t text_first; /* and in the text tower, where the item's masks count */
} grid;

static int find_grid(const knockout *self, const ablate_item *item, grid *grid) {
  const ablate_segment *segment = item->segments;
  int images = 0;
  for (uint64_t s = 0; s < item->n_segments; s++) {
    if (segment->kind == ABLATE_SEGMENT_IMAGE) {
      int patches = segment->rows * segment->cols, cls = segment->count - patches;
      if (images++ || cls < 0 || cls > 1) return 0;
      *grid = (struct grid){segment->rows, segment->cols, patches, self->vision ? 1 : segment->first + cls,
                            segment->first + cls};
    }
    segment = (const ablate_segment *)((const char *)segment + segment->struct_size);
  }
  return images == 1;
}

static void add(knockout *self, const int32_t *queries, uint64_t n_queries, const int32_t *keys, uint64_t n_keys) {
  if (n_queries == 0 || n_keys == 0) return;
  ablate_edit *edit = &self->edits[self->n++];
  *edit = self->like;
  edit->query_index = queries, edit->n_query_index = n_queries, edit->key_index = keys, edit->n_key_index = n_keys;
}

static void add_window(knockout *self, const grid *grid) {
  int32_t *query = self->rows, *key = query + grid->patches;
  for (int q = 0; q < grid->patches; q++) {
    const int32_t *keys = key;
    for (int k = 0; k < grid->patches; k++) {
      int down = abs(k / grid->cols - q / grid->cols), right = abs(k % grid->cols - q % grid->cols);
      if (down > self->radius || right > self->radius) *key++ = grid->first + k;
    }
    query[q] = grid->first + q;
    add(self, &query[q], 1, keys, (uint64_t)(key - keys));
  }
}

static void add_parts(knockout *self, const grid *grid, const ablate_item *item) {
  int32_t *row = self->rows;
  const ablate_mask *mask = item->masks;
  for (uint64_t m = 0; m < item->n_masks; m++) {
    if (!strncmp(mask->name, "part/", 5)) {
      const int32_t *queries = row;
      for (uint64_t i = 0; i < mask->n; i++) *row++ = mask->rows[i] - grid->text_first + grid->first;
      const int32_t *keys = row;
      for (int32_t k = grid->first; k < grid->first + grid->patches; k++) {
        uint64_t i = 0;
        while (i < mask->n && queries[i] != k) i++;
        if (i == mask->n) *row++ = k;
      }
      add(self, queries, mask->n, keys, (uint64_t)(row - keys));
    }
    mask = (const ablate_mask *)((const char *)mask + mask->struct_size);
  }
}

/* ---- the plan ---- */

static void add_selected(knockout *self, const char *queries, const char *keys, int keep_self) {
  ablate_edit *edit = &self->edits[self->n++];
  *edit = self->like;
  edit->queries = queries, edit->keys = keys, edit->keep_self = (uint32_t)keep_self;
}

static void add_cls(knockout *self, const char *queries, const char *keys) {
  if (self->vision && self->cls != OPEN) add_selected(self, "cls", keys, 1); /* CLS always keeps itself */
  if (self->vision && self->cls == ISOLATED) add_selected(self, queries, "cls", 1);
}

static ablate_status plan(void *me, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  knockout *self = me;
  grid grid = {0};
  self->n = 0;
  if (self->block != EDGES) {
    out->flags = ABLATE_PLAN_PER_ITEM;
    if (!item) return ABLATE_OK;
    if (!find_grid(self, item, &grid)) return fail(error, ABLATE_E_UNSUPPORTED, "needs one image of one patch grid");
  }
  uint64_t lists = self->block == OUTSIDE_WINDOW ? (uint64_t)grid.patches : self->block == EDGES ? 1 : item->n_masks;
  uint64_t rows = (lists + 1) * (uint64_t)grid.patches;
  free(self->edits), free(self->rows);
  self->edits = calloc(lists + 2, sizeof *self->edits), self->rows = calloc(rows + 1, sizeof *self->rows);
  if (!self->edits || !self->rows) return ABLATE_E_MEMORY;
  if (self->block == OUTSIDE_WINDOW) add_window(self, &grid);
  if (self->block == OUTSIDE_PART) add_parts(self, &grid, item);
  if (self->block == EDGES) add_selected(self, self->queries, self->keys, self->keep_self);
  if (self->n) add_cls(self, self->block == EDGES ? self->queries : "patches", self->block == EDGES ? self->keys : "patches");
  out->edits = self->edits, out->n_edits = self->n;
  return ABLATE_OK;
}

static const ablate_plugin plugin = {.struct_size = sizeof(ablate_plugin), .kind = ABLATE_INTERVENTION,
                                     .id = "attention-knockout", .version = "1.1.0", .determinism = 2,
                                     .params = params, .n_params = 11, .create = create, .destroy = destroy, .plan = plan};
static const ablate_plugin *const plugins[] = {&plugin};

const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
  return &library;
}
