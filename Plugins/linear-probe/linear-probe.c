/* linear-probe: multinomial logistic regression on activations. Minimises
 *   sum over rows of -log softmax(W'x + b)[class] + l2 / 2 |W|^2        (b is not penalised)
 * as scikit-learn's LogisticRegression does with C = 1 / l2, on features standardised over the training rows. */
#include "learning.h"
#include "minimize.h"

typedef struct linear {
  learning base;
  double l2, tolerance;
  int64_t steps;
  double *w; /* [width + 1, classes], the last row b */
} linear;

static const ablate_param params[] = {
    LEARNING_PARAMS,
    LEARNING_PARAM(.id = "l2", .type = ABLATE_T_F64, .min = 0, .max = 1e9, .def = 1),
    LEARNING_PARAM(.id = "tolerance", .type = ABLATE_T_F64, .min = 1e-12, .max = 1, .def = 1e-4),
    LEARNING_PARAM(.id = "steps", .type = ABLATE_T_I64, .min = 1, .max = 100000, .def_int = 1000),
};

static void destroy(void *me) {
  linear *self = me;
  learning_forget(&self->base);
  free(self->w), free(self);
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  linear *self = calloc(1, sizeof *self);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  self->l2 = learning_find(values, n, "l2")->f;
  self->tolerance = learning_find(values, n, "tolerance")->f;
  self->steps = learning_find(values, n, "steps")->i;
  if (learning_create(&self->base, host, values, n, error)) return destroy(self), NULL;
  return self;
}

static uint64_t weights(const learning *base, uint64_t width, uint64_t classes) { return (width + 1) * classes; }

/* z[rows, classes] = x W + b. 0, or -1 without memory. */
static int scores(const double *w, const double *x, uint64_t rows, uint64_t width, uint64_t classes, double *z) {
  for (uint64_t i = 0; i < rows; i++) memcpy(z + i * classes, w + width * classes, classes * sizeof *z);
  return multiply(x, width, 1, w, z, rows, width, classes);
}

/* The mean over rows of what is minimised. */
static double loss(void *problem, const double *w, double *gradient) {
  const linear *self = problem;
  const learning *base = &self->base;
  uint64_t n = base->rows, width = base->width, classes = base->classes;
  double *z = malloc(n * classes * sizeof *z), penalty = 0;
  if (!z) return NAN;
  if (scores(w, base->x, n, width, classes, z)) return free(z), NAN;
  double sum = softmax_residual(z, base->y, n, classes);
  memset(gradient, 0, (width + 1) * classes * sizeof *gradient);
  if (multiply(base->x, 1, width, z, gradient, width, n, classes)) return free(z), NAN;
  for (uint64_t i = 0; i < n; i++)
    for (uint64_t k = 0; k < classes; k++) gradient[width * classes + k] += z[i * classes + k];
  free(z);
  for (uint64_t i = 0; i < width * classes; i++) penalty += w[i] * w[i], gradient[i] += self->l2 * w[i];
  for (uint64_t i = 0; i < (width + 1) * classes; i++) gradient[i] /= (double)n;
  return (sum + self->l2 / 2 * penalty) / (double)n;
}

static ablate_status end(void *me, ablate_error *error) {
  linear *self = me;
  learning *base = &self->base;
  ablate_status status = learning_standardize(base, error);
  if (status) return status;
  free(self->w);
  uint64_t n = weights(base, base->width, base->classes);
  if (!(self->w = calloc(n, sizeof(double)))) return learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  int steps = minimize(loss, self, self->w, n, (int)self->steps, self->tolerance);
  if (steps == -2) return learning_fail(error, ABLATE_E_MEMORY, "the loss is not finite, or memory is short");
  if (steps == -1) base->host->log(base->host->ctx, 2, "did not reach its tolerance; raise steps, tolerance or l2");
  learning_done(base);
  return ABLATE_OK;
}

static ablate_status predict(void *me, const ablate_tensor *features, const ablate_tensor *out, ablate_error *error) {
  const linear *self = me;
  const learning *base = &self->base;
  uint64_t n = (uint64_t)features->shape[0], classes = base->classes;
  double *x = learning_rows(base, features, error), *z = x ? malloc((n * classes + 1) * sizeof *z) : NULL;
  if (!x) return error->code;
  if (!z || scores(self->w, x, n, base->width, classes, z))
    return free(x), free(z), learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  float *answer = (float *)((char *)out->data + out->byte_offset);
  for (uint64_t i = 0; i < n; i++) learning_log_softmax(z + i * classes, classes, answer + i * classes);
  free(x), free(z);
  return ABLATE_OK;
}

static ablate_status save(void *me, ablate_write write, void *stream, ablate_error *error) {
  const linear *self = me;
  uint64_t n = weights(&self->base, self->base.width, self->base.classes);
  return learning_save(&self->base, "linear 1", self->w, n, write, stream, error);
}

static ablate_status load(void *me, ablate_read read, void *stream, ablate_error *error) {
  linear *self = me;
  free(self->w);
  self->w = learning_load(&self->base, "linear 1", weights, read, stream, error);
  return self->w ? ABLATE_OK : error->code;
}

LEARNING_PLUGIN("linear-probe")
