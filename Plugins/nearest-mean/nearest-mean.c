/* nearest-mean: the class whose mean is nearest to the activation, by Euclidean distance. As probabilities: classes are
 * Gaussian with one common spherical variance, the mean squared distance of a training row from its class's mean per feature,
 * and equally frequent. A class without a row is never nearest. Nothing is searched for: the floor under linear probes. */
#include "learning.h"

typedef struct nearest {
  learning base;
  double *means; /* [classes, width], then the variance, then rows per class */
} nearest;

static const ablate_param params[] = {LEARNING_PARAMS};

static void destroy(void *me) {
  nearest *self = me;
  learning_forget(&self->base);
  free(self->means), free(self);
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  nearest *self = calloc(1, sizeof *self);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  if (learning_create(&self->base, host, values, n, error)) return destroy(self), NULL;
  return self;
}

static uint64_t numbers(const learning *base, uint64_t width, uint64_t classes) { return classes * width + 1 + classes; }

static double distance(const double *a, const double *b, uint64_t n) {
  double sum = 0;
  for (uint64_t i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

static ablate_status end(void *me, ablate_error *error) {
  nearest *self = me;
  learning *base = &self->base;
  ablate_status status = learning_standardize(base, error);
  if (status) return status;
  uint64_t n = base->rows, width = base->width, classes = base->classes;
  free(self->means);
  self->means = calloc(numbers(base, width, classes), sizeof(double));
  if (!self->means) return learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  double *variance = self->means + classes * width, *count = variance + 1;
  for (uint64_t i = 0; i < n; i++) count[base->y[i]]++;
  for (uint64_t i = 0; i < n; i++)
    for (uint64_t j = 0; j < width; j++)
      self->means[(uint64_t)base->y[i] * width + j] += base->x[i * width + j] / count[base->y[i]];
  for (uint64_t i = 0; i < n; i++)
    *variance += distance(base->x + i * width, self->means + (uint64_t)base->y[i] * width, width) / (double)(n * width);
  learning_done(base);
  return ABLATE_OK;
}

static ablate_status predict(void *me, const ablate_tensor *features, const ablate_tensor *out, ablate_error *error) {
  const nearest *self = me;
  const learning *base = &self->base;
  uint64_t n = (uint64_t)features->shape[0], width = base->width, classes = base->classes;
  double *x = learning_rows(base, features, error), *z = x ? malloc(classes * sizeof *z) : NULL;
  if (!x) return error->code;
  if (!z) return free(x), learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  const double *count = self->means + classes * width + 1;
  double variance = fmax(count[-1], 1e-12); /* rows that equal their means: as sure as doubles allow */
  float *answer = (float *)((char *)out->data + out->byte_offset);
  for (uint64_t i = 0; i < n; i++) {
    for (uint64_t k = 0; k < classes; k++)
      z[k] = count[k] ? -distance(x + i * width, self->means + k * width, width) / (2 * variance) : -1e300;
    learning_log_softmax(z, classes, answer + i * classes);
  }
  free(x), free(z);
  return ABLATE_OK;
}

static ablate_status save(void *me, ablate_write write, void *stream, ablate_error *error) {
  const nearest *self = me;
  uint64_t n = numbers(&self->base, self->base.width, self->base.classes);
  return learning_save(&self->base, "nearest1", self->means, n, write, stream, error);
}

static ablate_status load(void *me, ablate_read read, void *stream, ablate_error *error) {
  nearest *self = me;
  free(self->means);
  self->means = learning_load(&self->base, "nearest1", numbers, read, stream, error);
  return self->means ? ABLATE_OK : error->code;
}

LEARNING_PLUGIN("nearest-mean")
