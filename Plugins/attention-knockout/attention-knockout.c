/* attention-knockout: queries may not attend to keys. Says so as edits; no code of it runs in the pass.
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
#define PARAM(...) {.struct_size = sizeof(ablate_param), __VA_ARGS__}
static const ablate_param params[] = {
    PARAM(.id = "tower", .type = ABLATE_T_STR, .def_str = "vision", .choices = towers, .n_choices = 2),
    PARAM(.id = "layers", .type = ABLATE_T_SELECTOR, .def_str = "all"),
    PARAM(.id = "heads", .type = ABLATE_T_I64V, .max = 511),
    PARAM(.id = "queries", .type = ABLATE_T_SELECTOR),
    PARAM(.id = "keys", .type = ABLATE_T_SELECTOR),
    PARAM(.id = "keep_self", .type = ABLATE_T_BOOL, .def_int = 1),
    PARAM(.id = "cls", .type = ABLATE_T_STR, .def_str = "blind", .choices = policies, .n_choices = 3),
    PARAM(.id = "on_empty", .type = ABLATE_T_STR, .def_str = "error", .choices = empties, .n_choices = 3),
    PARAM(.id = "mode", .type = ABLATE_T_STR, .def_str = "pre_softmax", .choices = modes, .n_choices = 2),
};

enum { MAX_RANGES = 32, MAX_HEADS = 512 };
typedef struct knockout {
  ablate_edit edits[3 * MAX_RANGES];
  uint64_t n;
  int32_t heads[MAX_HEADS];
  char queries[4096], keys[4096]; /* the host's strings die when create returns */
} knockout;

static const ablate_value *find(const ablate_value *values, uint64_t n, const char *id) {
  for (; n; n--, values = (const ablate_value *)((const char *)values + values->struct_size))
    if (!strcmp(values->id, id)) return values;
  return NULL; /* not given, and without a default */
}

/* "all" (0 to `last`) or "4-11,-1": inclusive ranges, negative from the end. How many; 0 = bad text. */
static int parse_layers(const char *text, int32_t last, int32_t ranges[][2]) {
  if (!strcmp(text, "all")) return ranges[0][0] = 0, ranges[0][1] = last, 1;
  for (int n = 0; n < MAX_RANGES; text++) {
    char *end;
    ranges[n][0] = ranges[n][1] = (int32_t)strtol(text, &end, 10);
    if (end != text && *end == '-') ranges[n][1] = (int32_t)strtol(text = end + 1, &end, 10);
    if (end == text) return 0;
    n++;
    if (*end == 0) return n;
    if (*(text = end) != ',') return 0;
  }
  return 0;
}

static void *fail(ablate_error *error, const char *why) {
  error->code = ABLATE_E_INVALID;
  return snprintf(error->message, error->capacity, "%s", why), NULL;
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
#define TEXT(id) (find(values, n, id)->s)
  int vision = !strcmp(TEXT("tower"), "vision"), blind = !strcmp(TEXT("cls"), "blind");
  int isolated = !strcmp(TEXT("cls"), "isolated"), last = (vision ? model->vision_layers : model->text_layers) - 1;
  const ablate_value *heads = find(values, n, "heads"), *queries = find(values, n, "queries");
  const ablate_value *keys = find(values, n, "keys");
  int32_t ranges[MAX_RANGES][2], n_ranges = parse_layers(TEXT("layers"), last, ranges);
  uint64_t n_heads = heads ? heads->n : 0;
  if (!n_ranges) return fail(error, "layers: write all, or ranges such as 4-11,-1");
  if (n_heads > MAX_HEADS) return fail(error, "heads: name at most 512");
  knockout *self = calloc(1, sizeof *self);
  if (!self) return fail(error, "no memory");
  for (uint64_t i = 0; i < n_heads; i++) self->heads[i] = (int32_t)heads->iv[i];
  snprintf(self->queries, sizeof self->queries, "%s", queries ? queries->s : vision ? "patches" : "image");
  snprintf(self->keys, sizeof self->keys, "%s", keys ? keys->s : vision ? "patches" : "image");
  const char *edges[3][2] = {{self->queries, self->keys}, {"cls", self->keys}, {self->queries, "cls"}};
  for (int r = 0; r < n_ranges; r++)
    for (int e = 0; e < (!vision ? 1 : isolated ? 3 : blind ? 2 : 1); e++)
      self->edits[self->n++] = (ablate_edit){
          .struct_size = sizeof(ablate_edit), .tower = vision ? "vision" : "text",
          .op = strcmp(TEXT("mode"), "pre_softmax") ? ABLATE_EDGE_ZERO : ABLATE_EDGE_DROP,
          .layer_first = ranges[r][0], .layer_last = ranges[r][1],
          .heads = n_heads ? self->heads : NULL, .n_heads = n_heads, .queries = edges[e][0], .keys = edges[e][1],
          .keep_self = e > 0 || find(values, n, "keep_self")->i, /* CLS always keeps itself */
          .on_empty = !strcmp(TEXT("on_empty"), "self")   ? ABLATE_EMPTY_SELF
                      : !strcmp(TEXT("on_empty"), "zero") ? ABLATE_EMPTY_ZERO
                                                          : ABLATE_EMPTY_ERROR};
  return self;
}

static ablate_status plan(void *self, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  out->edits = ((knockout *)self)->edits;
  out->n_edits = ((knockout *)self)->n;
  return ABLATE_OK;
}

static const ablate_plugin plugin = {.struct_size = sizeof(ablate_plugin), .kind = ABLATE_INTERVENTION,
                                     .id = "attention-knockout", .version = "1.0.0", .determinism = 2,
                                     .params = params, .n_params = 9, .create = create, .destroy = free, .plan = plan};
static const ablate_plugin *const plugins[] = {&plugin};

const ablate_library *ablate_plugin_entry_v0(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
  return &library;
}
