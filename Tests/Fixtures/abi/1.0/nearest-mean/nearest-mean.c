/* nearest-mean: the class whose mean is nearest to the activation, by Euclidean distance. As probabilities: classes are
 * Gaussian with one common spherical variance, the mean squared distance of a training row from its class's mean per feature,
 * and equally frequent. A class without a row is never nearest. Nothing is searched for: the floor under linear probes. */
#include "learning.h"

static const ablate_param params[] = {LEARNING_PARAMS, LEARNING_STANDARDIZE};

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  learning *self = calloc(1, sizeof *self);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  if (learning_create(self, host, values, n, error)) return learning_destroy(self), NULL;
  return self;
}

/* Means [classes, width], then the variance, then rows per class. */
static uint64_t size(const learning *self, uint64_t width, uint64_t classes) { return classes * width + 1 + classes; }

static double distance(const double *a, const double *b, uint64_t n) {
  double sum = 0;
  for (uint64_t i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

static ablate_status end(void *me, ablate_error *error) {
  learning *self = me;
  ablate_status status = learning_standardize(self, error);
  if (status) return status;
  uint64_t n = self->rows, width = self->width, classes = self->classes;
  free(self->w);
  double *means = self->w = calloc(size(self, width, classes), sizeof(double));
  if (!means) return learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  double *variance = means + classes * width, *count = variance + 1;
  for (uint64_t i = 0; i < n; i++) count[self->y[i]]++;
  for (uint64_t i = 0; i < n; i++)
    for (uint64_t j = 0; j < width; j++)
      means[(uint64_t)self->y[i] * width + j] += self->x[i * width + j] / count[self->y[i]];
  for (uint64_t i = 0; i < n; i++)
    *variance += distance(self->x + i * width, means + (uint64_t)self->y[i] * width, width) / (double)(n * width);
  learning_done(self);
  return ABLATE_OK;
}

static int answer(const learning *self, const double *x, uint64_t rows, double *z) {
  uint64_t width = self->width, classes = self->classes;
  const double *variance = self->w + classes * width, *count = variance + 1;
  double spread = 2 * fmax(*variance, 1e-12); /* rows that equal their means: as sure as doubles allow */
  for (uint64_t i = 0; i < rows; i++)
    for (uint64_t k = 0; k < classes; k++)
      z[i * classes + k] = count[k] ? -distance(x + i * width, self->w + k * width, width) / spread : -1e300;
  return 0;
}

LEARNING_PLUGIN("nearest-mean", "nearest1", .batch = learning_batch, learning_log_softmax)
