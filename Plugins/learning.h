/* learning.h: what the probes that learn have in common, beside the ABI: the parameters that say what is read, the plan
 * made of them, the rows that the host hands over, standardised, and bytes to and fro. Each probe's own file has its model. */
#ifndef LEARNING_H
#define LEARNING_H

#include "ablate_plugin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SITES = 64, TEXT = 4096 };

/* The parameters that every such probe has; plugin.json says the same. */
#define LEARNING_PARAM(...) {.struct_size = sizeof(ablate_param), __VA_ARGS__}
#define LEARNING_PARAMS                                                                          \
  LEARNING_PARAM(.id = "sites", .type = ABLATE_T_STRV),                                          \
      LEARNING_PARAM(.id = "layers", .type = ABLATE_T_SELECTOR, .def_str = "all"),               \
      LEARNING_PARAM(.id = "tokens", .type = ABLATE_T_SELECTOR),                                 \
      LEARNING_PARAM(.id = "labels", .type = ABLATE_T_STR, .def_str = "part"),                   \
      LEARNING_PARAM(.id = "standardize", .type = ABLATE_T_BOOL, .def_int = 1)

/* The first member of every probe's own struct. */
typedef struct learning {
  const ablate_host *host;
  int standardize;
  ablate_reading readings[MOST_SITES];
  uint64_t n_readings;
  char layers[TEXT], tokens[TEXT], labels[TEXT], sites[TEXT];
  uint64_t width, classes, rows;
  double *x;           /* [rows, width], standardised by end */
  int32_t *y;          /* [rows] */
  double *mean, *scale; /* [width]; scale is 1 / standard deviation, and 1 of a constant feature */
} learning;

static inline const ablate_value *learning_find(const ablate_value *values, uint64_t n, const char *id) {
  for (; n; n--, values = (const ablate_value *)((const char *)values + values->struct_size))
    if (!strcmp(values->id, id)) return values;
  return NULL;
}

static inline ablate_status learning_fail(ablate_error *error, ablate_status code, const char *why) {
  snprintf(error->message, error->capacity, "%s", why);
  return error->code = code;
}

static inline void learning_forget(learning *self) {
  free(self->x), free(self->y), free(self->mean), free(self->scale);
  self->x = self->mean = self->scale = NULL, self->y = NULL;
  self->rows = self->width = self->classes = 0;
}

/* One capture per site, "tower.site". 0, or an error. */
static inline ablate_status learning_create(learning *self, const ablate_host *host, const ablate_value *values,
                                            uint64_t n, ablate_error *error) {
  const ablate_value *sites = learning_find(values, n, "sites"), *tokens = learning_find(values, n, "tokens");
  static const char *const standard[] = {"text.resid_post"};
  const char *const *names = sites && sites->n ? sites->sv : standard;
  self->host = host;
  self->standardize = learning_find(values, n, "standardize")->i != 0;
  self->n_readings = sites && sites->n ? sites->n : 1;
  if (self->n_readings > MOST_SITES) return learning_fail(error, ABLATE_E_INVALID, "sites: at most 64");
  snprintf(self->layers, TEXT, "%s", learning_find(values, n, "layers")->s);
  snprintf(self->labels, TEXT, "%s", learning_find(values, n, "labels")->s);
  if (tokens) snprintf(self->tokens, TEXT, "%s", tokens->s);
  char *text = self->sites, *end = self->sites + TEXT;
  for (uint64_t i = 0; i < self->n_readings; i++) {
    size_t length = strlen(names[i]) + 1;
    if (!strchr(names[i], '.') || text + length > end)
      return learning_fail(error, ABLATE_E_INVALID, "sites: write tower.site, for example text.resid_post");
    memcpy(text, names[i], length);
    char *dot = strchr(text, '.');
    *dot = 0;
    self->readings[i] = (ablate_reading){.struct_size = sizeof(ablate_reading), .op = ABLATE_READ_CAPTURE,
                                         .tower = text, .site = dot + 1, .layers = self->layers,
                                         .tokens = tokens ? self->tokens : NULL, .labels = self->labels};
    text += length;
  }
  return ABLATE_OK;
}

/* The same for every item. */
static ablate_status learning_plan(void *me, const ablate_item *item, ablate_plan *out, ablate_error *error) {
  learning *self = me;
  out->readings = self->readings;
  out->n_readings = self->n_readings;
  return ABLATE_OK;
}

static ablate_status learning_begin(void *me, uint64_t n_features, uint64_t n_classes, ablate_error *error) {
  learning *self = me;
  learning_forget(self);
  if (!n_features || n_classes < 2) return learning_fail(error, ABLATE_E_INVALID, "nothing to tell apart");
  self->width = n_features, self->classes = n_classes;
  return ABLATE_OK;
}

static ablate_status learning_batch(void *me, const ablate_tensor *features, const int32_t *classes,
                                    const uint64_t *clusters, ablate_error *error) {
  learning *self = me;
  uint64_t n = (uint64_t)features->shape[0], old = self->rows, width = self->width;
  const float *values = (const float *)((const char *)features->data + features->byte_offset);
  double *x = realloc(self->x, (old + n) * width * sizeof *x);
  if (x) self->x = x;
  int32_t *y = realloc(self->y, (old + n) * sizeof *y);
  if (y) self->y = y;
  if (!x || !y) return learning_fail(error, ABLATE_E_MEMORY, "the rows do not fit");
  for (uint64_t i = 0; i < n * width; i++) x[old * width + i] = values[i];
  memcpy(y + old, classes, n * sizeof *y);
  self->rows += n;
  return ABLATE_OK;
}

/* Mean and scale of each feature over the rows, applied to them; of a probe that does not standardise 0 and 1. */
static inline ablate_status learning_standardize(learning *self, ablate_error *error) {
  uint64_t n = self->rows, width = self->width;
  if (!n) return learning_fail(error, ABLATE_E_STATE, "end without a row");
  self->mean = calloc(width, sizeof(double));
  self->scale = calloc(width, sizeof(double));
  if (!self->mean || !self->scale) return learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  for (uint64_t j = 0; j < width; j++) self->scale[j] = 1;
  if (!self->standardize) return ABLATE_OK;
  double *square = calloc(width, sizeof(double));
  if (!square) return learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  for (uint64_t i = 0; i < n; i++)
    for (uint64_t j = 0; j < width; j++) self->mean[j] += self->x[i * width + j] / (double)n;
  for (uint64_t i = 0; i < n; i++)
    for (uint64_t j = 0; j < width; j++) {
      double d = self->x[i * width + j] - self->mean[j];
      square[j] += d * d / (double)n;
    }
  for (uint64_t j = 0; j < width; j++) {
    /* As scikit-learn's StandardScaler: a variance that is rounding only is none. */
    double rounding = 10 * 2.220446049250313e-16 * (fabs(self->mean[j]) + 1e-300);
    if (sqrt(square[j]) > rounding) self->scale[j] = 1 / sqrt(square[j]);
  }
  free(square);
  for (uint64_t i = 0; i < n; i++)
    for (uint64_t j = 0; j < width; j++)
      self->x[i * width + j] = (self->x[i * width + j] - self->mean[j]) * self->scale[j];
  return ABLATE_OK;
}

/* The rows are needed no longer. */
static inline void learning_done(learning *self) {
  free(self->x), free(self->y);
  self->x = NULL, self->y = NULL, self->rows = 0;
}

/* Standardised rows to be asked about, [rows, width]; the caller frees them. NULL and an error where they do not fit. */
static inline double *learning_rows(const learning *self, const ablate_tensor *features, ablate_error *error) {
  uint64_t n = (uint64_t)features->shape[0], width = self->width;
  const float *values = (const float *)((const char *)features->data + features->byte_offset);
  if (!self->mean || (uint64_t)features->shape[1] != width)
    return learning_fail(error, ABLATE_E_STATE, "asked before it has learned, or of another width"), NULL;
  double *x = calloc(n * width + 1, sizeof *x);
  if (!x) return learning_fail(error, ABLATE_E_MEMORY, "out of memory"), NULL;
  for (uint64_t i = 0; i < n; i++)
    for (uint64_t j = 0; j < width; j++)
      x[i * width + j] = (values[i * width + j] - self->mean[j]) * self->scale[j];
  return x;
}

/* z[classes] becomes log softmax(z), in double, and is written as f32. */
static inline void learning_log_softmax(const double *z, uint64_t classes, float *out) {
  double top = z[0], sum = 0;
  for (uint64_t k = 1; k < classes; k++) top = fmax(top, z[k]);
  for (uint64_t k = 0; k < classes; k++) sum += exp(z[k] - top);
  for (uint64_t k = 0; k < classes; k++) out[k] = (float)(z[k] - top - log(sum));
}

/* ---- bytes: a head of numbers, mean, scale, then the probe's own doubles ---------------------------------------------- */

typedef struct learning_head {
  char magic[8];
  uint64_t width, classes, n_own;
} learning_head;

static inline ablate_status learning_save(const learning *self, const char magic[8], const double *own, uint64_t n_own,
                                          ablate_write write, void *stream, ablate_error *error) {
  if (!self->mean) return learning_fail(error, ABLATE_E_STATE, "nothing was learned");
  learning_head head = {.width = self->width, .classes = self->classes, .n_own = n_own};
  memcpy(head.magic, magic, 8);
  ablate_status status = write(stream, &head, sizeof head);
  if (!status) status = write(stream, self->mean, self->width * sizeof(double));
  if (!status) status = write(stream, self->scale, self->width * sizeof(double));
  if (!status) status = write(stream, own, n_own * sizeof(double));
  return status ? learning_fail(error, status, "the host takes no more bytes") : ABLATE_OK;
}

/* n finite doubles, or NULL. */
static inline double *learning_read(ablate_read read, void *stream, uint64_t n) {
  double *values = malloc((n + 1) * sizeof *values);
  uint64_t done = 0, bytes = n * sizeof *values;
  for (uint64_t got; values && done < bytes; done += got)
    if (!(got = read(stream, (char *)values + done, bytes - done))) return free(values), NULL;
  for (uint64_t i = 0; values && i < n; i++)
    if (!isfinite(values[i])) return free(values), NULL;
  return values;
}

/* The probe's own doubles, for the caller to free; NULL and an error for bytes that learning_save did not write. The number
 * of own doubles must be what `own` makes of width and classes. */
static inline double *learning_load(learning *self, const char magic[8],
                                    uint64_t (*own)(const learning *, uint64_t width, uint64_t classes),
                                    ablate_read read, void *stream, ablate_error *error) {
  static const char why[] = "these bytes are not what this probe saves";
  learning_head head;
  learning_forget(self);
  for (uint64_t done = 0, got; done < sizeof head; done += got)
    if (!(got = read(stream, (char *)&head + done, sizeof head - done)))
      return learning_fail(error, ABLATE_E_INVALID, why), NULL;
  const uint64_t most = 1 << 20;
  if (memcmp(head.magic, magic, 8) || !head.width || head.width > most || head.classes < 2 || head.classes > most ||
      head.n_own != own(self, head.width, head.classes) || head.n_own > (1u << 27))
    return learning_fail(error, ABLATE_E_INVALID, why), NULL;
  self->mean = learning_read(read, stream, head.width);
  self->scale = self->mean ? learning_read(read, stream, head.width) : NULL;
  double *values = self->scale ? learning_read(read, stream, head.n_own) : NULL;
  if (!values) return learning_forget(self), learning_fail(error, ABLATE_E_INVALID, why), NULL;
  self->width = head.width, self->classes = head.classes;
  return values;
}

/* The tables of a probe, made of its own params, create, destroy, end, predict, save and load. */
#define LEARNING_PLUGIN(ID)                                                                                               \
  static const void *extension(void *me, const char *id) {                                                                \
    static const ablate_ext_fit fit = {.struct_size = sizeof fit, .begin = learning_begin, .batch = learning_batch,       \
                                       .end = end, .predict = predict, .save = save, .load = load};                       \
    return strcmp(id, ABLATE_EXT_FIT) ? NULL : &fit;                                                                      \
  }                                                                                                                       \
  static const ablate_plugin plugin = {.struct_size = sizeof(ablate_plugin), .kind = ABLATE_PROBE, .id = ID,              \
                                       .version = "1.0.0", .determinism = 2, .params = params,                            \
                                       .n_params = sizeof params / sizeof *params, .create = create,                      \
                                       .destroy = destroy, .plan = learning_plan, .extension = extension};                \
  static const ablate_plugin *const plugins[] = {&plugin};                                                                \
  const ablate_library *ablate_plugin_entry_v0(uint32_t host_minor, ablate_error *error) {                                \
    static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};           \
    return &library;                                                                                                      \
  }

#endif
