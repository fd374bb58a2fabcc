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
      LEARNING_PARAM(.id = "labels", .type = ABLATE_T_STR, .def_str = "part")
/* Of those that tell classes apart. */
#define LEARNING_STANDARDIZE LEARNING_PARAM(.id = "standardize", .type = ABLATE_T_BOOL, .def_int = 1)

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
  double *finals;      /* [rows, width], of a lens in the place of y */
  double *mean, *scale; /* [width]; scale is 1 / standard deviation, and 1 of a constant feature */
  double *w;           /* what was learned; how many numbers the probe says */
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
  free(self->x), free(self->y), free(self->finals), free(self->mean), free(self->scale), free(self->w);
  self->x = self->finals = self->mean = self->scale = self->w = NULL, self->y = NULL;
  self->rows = self->width = self->classes = 0;
}

/* A probe's own struct, which begins with this one. */
static void learning_destroy(void *me) { learning_forget(me), free(me); }

/* One capture per site, "tower.site". 0, or an error. */
static inline ablate_status learning_create(learning *self, const ablate_host *host, const ablate_value *values,
                                            uint64_t n, ablate_error *error) {
  const ablate_value *sites = learning_find(values, n, "sites"), *tokens = learning_find(values, n, "tokens");
  const ablate_value *standardize = learning_find(values, n, "standardize");
  static const char *const standard[] = {"text.resid_post"};
  const char *const *names = sites && sites->n ? sites->sv : standard;
  self->host = host;
  self->standardize = standardize && standardize->i;
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
  if (!n_features || n_classes == 1) return learning_fail(error, ABLATE_E_INVALID, "nothing to tell apart");
  self->width = n_features, self->classes = n_classes ? n_classes : n_features; /* a lens answers with hidden states */
  return ABLATE_OK;
}

/* Rows of f32 behind those that are there, as doubles. */
static inline ablate_status learning_append(double **all, uint64_t rows, const ablate_tensor *more, ablate_error *error) {
  uint64_t n = (uint64_t)more->shape[0], width = (uint64_t)more->shape[1];
  const float *values = (const float *)((const char *)more->data + more->byte_offset);
  double *grown = realloc(*all, (rows + n) * width * sizeof *grown);
  if (!grown) return learning_fail(error, ABLATE_E_MEMORY, "the rows do not fit");
  *all = grown;
  for (uint64_t i = 0; i < n * width; i++) grown[rows * width + i] = values[i];
  return ABLATE_OK;
}

static inline ablate_status learning_batch(void *me, const ablate_tensor *features, const int32_t *classes,
                                           const uint64_t *clusters, ablate_error *error) {
  learning *self = me;
  uint64_t n = (uint64_t)features->shape[0];
  ablate_status status = learning_append(&self->x, self->rows, features, error);
  if (status) return status;
  int32_t *y = realloc(self->y, (self->rows + n) * sizeof *y);
  if (!y) return learning_fail(error, ABLATE_E_MEMORY, "the rows do not fit");
  self->y = y;
  memcpy(y + self->rows, classes, n * sizeof *y);
  self->rows += n;
  return ABLATE_OK;
}

static inline ablate_status learning_batch_finals(void *me, const ablate_tensor *features, const ablate_tensor *finals,
                                                  const uint64_t *clusters, ablate_error *error) {
  learning *self = me;
  ablate_status status = learning_append(&self->x, self->rows, features, error);
  if (!status) status = learning_append(&self->finals, self->rows, finals, error);
  if (!status) self->rows += (uint64_t)features->shape[0];
  return status;
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
  free(self->x), free(self->y), free(self->finals);
  self->x = self->finals = NULL, self->y = NULL, self->rows = 0;
}

/* z[n] becomes log softmax(z), in double, and is written as f32. */
static inline void learning_log_softmax(const double *z, uint64_t n, float *out) {
  double top = z[0], sum = 0;
  for (uint64_t k = 1; k < n; k++) top = fmax(top, z[k]);
  for (uint64_t k = 0; k < n; k++) sum += exp(z[k] - top);
  for (uint64_t k = 0; k < n; k++) out[k] = (float)(z[k] - top - log(sum));
}

/* What a probe answers of rows x [rows, width]: z [rows, classes]. 0, or -1 without memory. */
typedef int (*learning_answer)(const learning *self, const double *x, uint64_t rows, double *z);
/* Writes one row of it. */
typedef void (*learning_finish)(const double *z, uint64_t n, float *out);

/* Standardises the rows that are asked about, asks, writes. */
static inline ablate_status learning_predict(const learning *self, learning_answer answer, learning_finish finish,
                                             const ablate_tensor *features, const ablate_tensor *out,
                                             ablate_error *error) {
  uint64_t n = (uint64_t)features->shape[0], width = self->width, classes = self->classes;
  const float *values = (const float *)((const char *)features->data + features->byte_offset);
  if (!self->w || (uint64_t)features->shape[1] != width || (uint64_t)out->shape[1] != classes)
    return learning_fail(error, ABLATE_E_STATE, "asked before it has learned, or of another width");
  double *x = malloc((n * width + n * classes + 1) * sizeof *x), *z = x + n * width;
  if (!x) return learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  for (uint64_t i = 0; i < n * width; i++) x[i] = (values[i] - self->mean[i % width]) * self->scale[i % width];
  if (answer(self, x, n, z)) return free(x), learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  float *written = (float *)((char *)out->data + out->byte_offset);
  for (uint64_t i = 0; i < n; i++) finish(z + i * classes, classes, written + i * classes);
  free(x);
  return ABLATE_OK;
}

/* ---- bytes: a head of numbers, mean, scale, then what was learned ----------------------------------------------------- */

typedef struct learning_head {
  char magic[8];
  uint64_t width, classes, n_own;
} learning_head;

/* How many numbers a probe learns. */
typedef uint64_t (*learning_size)(const learning *self, uint64_t width, uint64_t classes);

static inline ablate_status learning_save(const learning *self, const char magic[8], learning_size size,
                                          ablate_write write, void *stream, ablate_error *error) {
  if (!self->w) return learning_fail(error, ABLATE_E_STATE, "nothing was learned");
  learning_head head = {.width = self->width, .classes = self->classes, .n_own = size(self, self->width, self->classes)};
  memcpy(head.magic, magic, 8);
  ablate_status status = write(stream, &head, sizeof head);
  if (!status) status = write(stream, self->mean, self->width * sizeof(double));
  if (!status) status = write(stream, self->scale, self->width * sizeof(double));
  if (!status) status = write(stream, self->w, head.n_own * sizeof(double));
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

/* An error for bytes that learning_save did not write. */
static inline ablate_status learning_load(learning *self, const char magic[8], learning_size size, ablate_read read,
                                          void *stream, ablate_error *error) {
  static const char why[] = "these bytes are not what this probe saves";
  learning_head head;
  learning_forget(self);
  for (uint64_t done = 0, got; done < sizeof head; done += got)
    if (!(got = read(stream, (char *)&head + done, sizeof head - done)))
      return learning_fail(error, ABLATE_E_INVALID, why);
  const uint64_t most = 1 << 20;
  if (memcmp(head.magic, magic, 8) || !head.width || head.width > most || !head.classes || head.classes > most ||
      head.n_own != size(self, head.width, head.classes) || head.n_own > (1u << 27))
    return learning_fail(error, ABLATE_E_INVALID, why);
  self->mean = learning_read(read, stream, head.width);
  self->scale = self->mean ? learning_read(read, stream, head.width) : NULL;
  self->w = self->scale ? learning_read(read, stream, head.n_own) : NULL;
  char more;
  if (!self->w || read(stream, &more, 1))
    return learning_forget(self), learning_fail(error, ABLATE_E_INVALID, why);
  self->width = head.width, self->classes = head.classes;
  return ABLATE_OK;
}

/* The tables of a probe, made of its own params, create, size, end and answer. MAGIC: eight letters before its bytes. BATCH: the
 * member of ablate_ext_fit that takes its rows. */
#define LEARNING_PLUGIN(ID, MAGIC, BATCH, FINISH)                                                                         \
  static ablate_status predict(void *me, const ablate_tensor *features, const ablate_tensor *out, ablate_error *error) {  \
    return learning_predict(me, answer, FINISH, features, out, error);                                                    \
  }                                                                                                                       \
  static ablate_status save(void *me, ablate_write write, void *stream, ablate_error *error) {                            \
    return learning_save(me, MAGIC, size, write, stream, error);                                                          \
  }                                                                                                                       \
  static ablate_status load(void *me, ablate_read read, void *stream, ablate_error *error) {                              \
    return learning_load(me, MAGIC, size, read, stream, error);                                                           \
  }                                                                                                                       \
  static const void *extension(void *me, const char *id) {                                                                \
    static const ablate_ext_fit fit = {.struct_size = sizeof fit, .begin = learning_begin, BATCH, .end = end,             \
                                       .predict = predict, .save = save, .load = load};                                   \
    return strcmp(id, ABLATE_EXT_FIT) ? NULL : &fit;                                                                      \
  }                                                                                                                       \
  static const ablate_plugin plugin = {.struct_size = sizeof(ablate_plugin), .kind = ABLATE_PROBE, .id = ID,              \
                                       .version = "1.0.0", .determinism = 2, .params = params,                            \
                                       .n_params = sizeof params / sizeof *params, .create = create,                      \
                                       .destroy = learning_destroy, .plan = learning_plan, .extension = extension};       \
  static const ablate_plugin *const plugins[] = {&plugin};                                                                \
  const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error) {                                \
    static const ablate_library library = {sizeof library, ABLATE_ABI_MAJOR, ABLATE_ABI_MINOR, 64, plugins, 1};           \
    return &library;                                                                                                      \
  }

#endif
