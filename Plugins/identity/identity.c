/* identity: asks for every hook point, is called at each, and changes nothing.
 *
 * With it the promise that hooking alone never changes a bit becomes a test; the receipt shows that it was there. */
#include "ablate_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const table[][20] = {
    {"vision", "embed", "resid_pre", "q", "k", "v", "attn_scores", "pattern", "z", "attn_out", "resid_mid", "mlp_pre",
     "mlp_post", "mlp_out", "resid_post"},
    {"projector", "in", "mid", "out"},
    {"text", "embed", "resid_pre", "q", "k", "v", "rot_q", "rot_k", "attn_scores", "pattern", "z", "attn_out",
     "resid_mid", "mlp_pre", "mlp_post", "mlp_out", "resid_post", "final_norm", "logits"},
};

static const char *const towers[] = {"all", "vision", "projector", "text"};
#define PARAM(...) {.struct_size = sizeof(ablate_param), __VA_ARGS__}
static const ablate_param params[] = {
    PARAM(.id = "tower", .type = ABLATE_T_STR, .def_str = "all", .choices = towers, .n_choices = 4),
    PARAM(.id = "sites", .type = ABLATE_T_STRV),
    PARAM(.id = "layers", .type = ABLATE_T_SELECTOR, .def_str = "all"),
    PARAM(.id = "tokens", .type = ABLATE_T_SELECTOR, .def_str = "all"),
};

typedef struct identity {
  ablate_access accesses[60];
  uint64_t n;
  char layers[4096], tokens[4096]; /* the host's strings die when create returns */
} identity;

static const ablate_value *find(const ablate_value *values, uint64_t n, const char *id) {
  for (; n; n--, values = (const ablate_value *)((const char *)values + values->struct_size))
    if (!strcmp(values->id, id)) return values;
  return NULL; /* not given, and without a default */
}

static int wanted(const ablate_value *sites, const char *site) {
  for (uint64_t i = 0; sites && i < sites->n; i++)
    if (!strcmp(sites->sv[i], site)) return 1;
  return !sites || sites->n == 0;
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  const char *tower = find(values, n, "tower")->s;
  const ablate_value *sites = find(values, n, "sites");
  identity *self = calloc(1, sizeof *self);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  snprintf(self->layers, sizeof self->layers, "%s", find(values, n, "layers")->s);
  snprintf(self->tokens, sizeof self->tokens, "%s", find(values, n, "tokens")->s);
  for (int t = 0; t < 3; t++)
    for (int s = 1; s < 20 && table[t][s]; s++) {
      if ((strcmp(tower, "all") && strcmp(tower, table[t][0])) || !wanted(sites, table[t][s])) continue;
      self->accesses[self->n++] = (ablate_access){.struct_size = sizeof(ablate_access),
                                                  .access = ABLATE_READ | ABLATE_WRITE,
                                                  .tower = table[t][0], .site = table[t][s],
                                                  .layers = self->layers, .tokens = self->tokens};
    }
  if (self->n) return self;
  error->code = ABLATE_E_INVALID;
  snprintf(error->message, error->capacity, "no site of that name in tower %s", tower);
  return free(self), NULL;
}

static ablate_status plan(void *self, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  out->accesses = ((identity *)self)->accesses;
  out->n_accesses = ((identity *)self)->n;
  return ABLATE_OK;
}

static ablate_status on_event(void *self, const ablate_event *event, ablate_error *error) {
  return ABLATE_OK;
}

static const ablate_plugin plugin = {.struct_size = sizeof(ablate_plugin), .kind = ABLATE_INTERVENTION,
                                     .id = "identity", .version = "1.0.0", .determinism = 2,
                                     .flags = ABLATE_EXPECTS_NO_CHANGE, .params = params, .n_params = 4,
                                     .create = create, .destroy = free, .plan = plan, .on_event = on_event};
static const ablate_plugin *const plugins[] = {&plugin};

const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {
  static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};
  return &library;
}
