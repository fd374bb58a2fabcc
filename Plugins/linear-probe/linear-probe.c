/* linear-probe: multinomial logistic regression on activations. Minimises
 *   sum over rows of -log softmax(W'x + b)[class] + l2 / 2 |W|^2        (b is not penalised)
 * as scikit-learn's LogisticRegression does with C = 1 / l2, on features standardised over the training rows. */
#include "minimize.h"

static const ablate_param params[] = {LEARNING_PARAMS, LEARNING_STANDARDIZE, SEARCH_PARAMS(1, 1000)};

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  return search_create(sizeof(searching), host, values, n, error);
}

/* W [width, classes], then b. */
static uint64_t size(const learning *self, uint64_t width, uint64_t classes) { return (width + 1) * classes; }

/* z[rows, classes] = x W + b. */
static int scores(const double *w, const double *x, uint64_t rows, uint64_t width, uint64_t classes, double *z) {
  for (uint64_t i = 0; i < rows; i++) memcpy(z + i * classes, w + width * classes, classes * sizeof *z);
  return multiply(x, width, 1, w, z, rows, width, classes);
}

static int answer(const learning *self, const double *x, uint64_t rows, double *z) {
  return scores(self->w, x, rows, self->width, self->classes, z);
}

/* The mean over rows of what is minimised. */
static double loss(void *problem, const double *w, double *gradient) {
  const searching *self = problem;
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
  ablate_status status = search_begin(me, size, error);
  return status ? status : search_end(me, loss, size, error);
}

LEARNING_PLUGIN("linear-probe", "linear 1", .batch = learning_batch, learning_log_softmax)
