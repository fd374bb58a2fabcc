/* mlp-probe: one hidden layer of rectified linear units on activations. Minimises
 *   sum over rows of -log softmax(W2' relu(W1'x + b1) + b2)[class] + l2 / 2 (|W1|^2 + |W2|^2)
 * as scikit-learn's MLPClassifier does with alpha = l2 and solver "lbfgs", on standardised features. Weights begin as there,
 * uniform in +-sqrt(6 / (inputs + outputs)), drawn by the host. The loss has several minima: another seed is another probe. */
#include "minimize.h"

typedef struct mlp {
  searching search;
  int64_t hidden;
} mlp;

static const ablate_param params[] = {
    LEARNING_PARAMS,
    LEARNING_STANDARDIZE,
    LEARNING_PARAM(.id = "hidden", .type = ABLATE_T_I64, .min = 1, .max = 65536, .def_int = 64),
    SEARCH_PARAMS(1, 500),
};

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  mlp *self = search_create(sizeof *self, host, values, n, error);
  if (self) self->hidden = learning_find(values, n, "hidden")->i;
  return self;
}

/* W1[width, hidden], b1[hidden], W2[hidden, classes], b2[classes] */
static uint64_t size(const learning *base, uint64_t width, uint64_t classes) {
  uint64_t hidden = (uint64_t)((const mlp *)base)->hidden;
  return (width + 1) * hidden + (hidden + 1) * classes;
}

/* z[rows, outputs] = x W + b, b behind W. 0, or -1 without memory, here and below. */
static int layer(const double *w, const double *x, uint64_t rows, uint64_t inputs, uint64_t outputs, double *z) {
  for (uint64_t i = 0; i < rows; i++) memcpy(z + i * outputs, w + inputs * outputs, outputs * sizeof *z);
  return multiply(x, inputs, 1, w, z, rows, inputs, outputs);
}

/* h[rows, hidden] after the rectifier, z[rows, classes]. */
static int scores(const mlp *self, const double *w, const double *x, uint64_t rows, double *h, double *z) {
  uint64_t width = self->search.base.width, hidden = (uint64_t)self->hidden;
  if (layer(w, x, rows, width, hidden, h)) return -1;
  for (uint64_t i = 0; i < rows * hidden; i++) h[i] = h[i] > 0 ? h[i] : 0;
  return layer(w + (width + 1) * hidden, h, rows, hidden, self->search.base.classes, z);
}

static int answer(const learning *base, const double *x, uint64_t rows, double *z) {
  const mlp *self = (const mlp *)base;
  double *h = malloc((rows * (uint64_t)self->hidden + 1) * sizeof *h);
  int status = h ? scores(self, base->w, x, rows, h, z) : -1;
  free(h);
  return status;
}

/* The gradient of a layer, W and b behind it, from that of what it gives. */
static int layer_gradient(const double *x, const double *d, uint64_t rows, uint64_t inputs, uint64_t outputs,
                          double *gradient) {
  for (uint64_t i = 0; i < rows; i++)
    for (uint64_t k = 0; k < outputs; k++) gradient[inputs * outputs + k] += d[i * outputs + k];
  return multiply(x, 1, inputs, d, gradient, inputs, rows, outputs);
}

/* The mean over rows of what is minimised. */
static double loss(void *problem, const double *w, double *gradient) {
  const mlp *self = problem;
  const learning *base = &self->search.base;
  uint64_t n = base->rows, width = base->width, hidden = (uint64_t)self->hidden, classes = base->classes;
  uint64_t first = width * hidden, second = (width + 1) * hidden, all = size(base, width, classes);
  double *h = calloc(n * (2 * hidden + classes) + hidden * classes, sizeof *h);
  if (!h) return NAN;
  double *d = h + n * hidden, *z = d + n * hidden, *turned = z + n * classes, penalty = 0;
  if (scores(self, w, base->x, n, h, z)) return free(h), NAN;
  double sum = softmax_residual(z, base->y, n, classes);
  memset(gradient, 0, all * sizeof *gradient);
  int short_of_memory = layer_gradient(h, z, n, hidden, classes, gradient + second);
  for (uint64_t i = 0; i < hidden; i++)
    for (uint64_t k = 0; k < classes; k++) turned[k * hidden + i] = w[second + i * classes + k];
  short_of_memory |= multiply(z, classes, 1, turned, d, n, classes, hidden);
  for (uint64_t i = 0; i < n * hidden; i++) d[i] = h[i] > 0 ? d[i] : 0;
  short_of_memory |= layer_gradient(base->x, d, n, width, hidden, gradient);
  free(h);
  if (short_of_memory) return NAN;
  for (uint64_t i = 0; i < second + hidden * classes; i++)
    if (i < first || i >= second) penalty += w[i] * w[i], gradient[i] += self->search.l2 * w[i];
  for (uint64_t i = 0; i < all; i++) gradient[i] /= (double)n;
  return (sum + self->search.l2 / 2 * penalty) / (double)n;
}

/* One layer's weights and biases. */
static void draw(const ablate_host *host, uint64_t stream, uint64_t inputs, uint64_t outputs, double *w) {
  double bound = sqrt(6 / (double)(inputs + outputs));
  for (uint64_t i = 0; i < (inputs + 1) * outputs; i++) {
    uint32_t word;
    host->random(host->ctx, 0, stream, i, &word, 1);
    w[i] = bound * ((double)word * 0x1p-31 - 1);
  }
}

static ablate_status end(void *me, ablate_error *error) {
  mlp *self = me;
  learning *base = &self->search.base;
  uint64_t hidden = (uint64_t)self->hidden;
  ablate_status status = search_begin(&self->search, size, error);
  if (status) return status;
  draw(base->host, 0, base->width, hidden, base->w);
  draw(base->host, 1, hidden, base->classes, base->w + (base->width + 1) * hidden);
  return search_end(&self->search, loss, size, error);
}

LEARNING_PLUGIN("mlp-probe", "mlp-one1", .batch = learning_batch, learning_log_softmax)
