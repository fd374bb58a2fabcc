/* minimize.h: what probes that learn by gradients need: a product of matrices and L-BFGS, in double, in one order, so that
 * equal input gives equal bits. */
#ifndef MINIMIZE_H
#define MINIMIZE_H

#include "learning.h"

/* The same loops for three kinds of processor; the loader picks. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_SEVERAL_CPUS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_SEVERAL_CPUS
#endif

typedef double eight __attribute__((vector_size(64), aligned(8)));
enum { ROWS = 4, COLUMNS = 16 };

/* c[rows of a, columns] += a b for up to ROWS rows of a and COLUMNS columns of b, which lie in `panel`, [p, COLUMNS]. */
FOR_SEVERAL_CPUS
static void multiply_tile(const double *a, uint64_t a_row, uint64_t a_column, const double *panel, double *c, uint64_t p,
                          uint64_t n, uint64_t rows, uint64_t columns) {
  eight sum[ROWS][2] = {{{0}}};
  const double *row[ROWS];
  for (uint64_t r = 0; r < ROWS; r++) row[r] = a + (r < rows ? r : 0) * a_row;
  for (uint64_t j = 0; j < p; j++) {
    const eight left = *(const eight *)(panel + j * COLUMNS), right = *(const eight *)(panel + j * COLUMNS + 8);
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
      sum[r][0] += row[r][j * a_column] * left;
      sum[r][1] += row[r][j * a_column] * right;
    }
  }
  for (uint64_t r = 0; r < rows; r++)
    for (uint64_t k = 0; k < columns; k++) c[r * n + k] += sum[r][k / 8][k % 8];
}

/* c[m, n] += a[m, p] b[p, n], rows of b and c dense; a's element (i, j) is at a[i * a_row + j * a_column]. 0, or -1 without
 * memory. */
static inline int multiply(const double *a, uint64_t a_row, uint64_t a_column, const double *b, double *c, uint64_t m,
                           uint64_t p, uint64_t n) {
  double *panel = malloc((p * COLUMNS + 1) * sizeof *panel);
  if (!panel) return -1;
  for (uint64_t k = 0; k < n; k += COLUMNS) {
    uint64_t columns = n - k < COLUMNS ? n - k : COLUMNS;
    for (uint64_t j = 0; j < p; j++)
      for (uint64_t s = 0; s < COLUMNS; s++) panel[j * COLUMNS + s] = s < columns ? b[j * n + k + s] : 0;
    for (uint64_t i = 0; i < m; i += ROWS)
      multiply_tile(a + i * a_row, a_row, a_column, panel, c + i * n + k, p, n, m - i < ROWS ? m - i : ROWS, columns);
  }
  free(panel);
  return 0;
}

/* z[rows, classes] becomes softmax(z) - onehot(y); gives the sum of -log p(y). */
static inline double softmax_residual(double *z, const int32_t *y, uint64_t rows, uint64_t classes) {
  double loss = 0;
  for (uint64_t i = 0; i < rows; i++, z += classes) {
    double top = z[0], sum = 0, right = z[y[i]];
    for (uint64_t k = 1; k < classes; k++) top = fmax(top, z[k]);
    for (uint64_t k = 0; k < classes; k++) sum += z[k] = exp(z[k] - top);
    for (uint64_t k = 0; k < classes; k++) z[k] /= sum;
    z[y[i]] -= 1;
    loss += log(sum) + top - right;
  }
  return loss;
}

/* f(w) and its gradient; NAN where there is no memory for it. */
typedef double (*objective)(void *problem, const double *w, double *gradient);

static inline double dot(const double *a, const double *b, uint64_t n) {
  double sum = 0;
  for (uint64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static inline double largest(const double *a, uint64_t n) {
  double top = 0;
  for (uint64_t i = 0; i < n; i++) top = fmax(top, fabs(a[i]));
  return top;
}

/* L-BFGS with a memory of 10 and a backtracking search (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 3.1).
 * w is where it begins and ends. Gives the steps that it took to bring the largest entry of the gradient to the tolerance,
 * -1 if it did not within `steps`, -2 without memory. */
static inline int minimize(objective f, void *problem, double *w, uint64_t n, int steps, double tolerance) {
  enum { MEMORY = 10 };
  double *block = calloc((2 * MEMORY + 4) * (n + 1), sizeof *block);
  if (!block) return -2;
  double *s = block, *y = s + MEMORY * n, *g = y + MEMORY * n, *next = g + n, *next_g = next + n, *d = next_g + n;
  double rho[MEMORY], alpha[MEMORY];
  int held = 0, result = -1;
  double value = f(problem, w, g);
  for (int step = 0; step <= steps; step++) {
    if (!isfinite(value)) { result = -2; break; }
    if (largest(g, n) <= tolerance) { result = step; break; }
    if (step == steps) break;
    for (uint64_t i = 0; i < n; i++) d[i] = -g[i];
    for (int m = held - 1; m >= 0; m--) {
      alpha[m] = rho[m] * dot(s + m * n, d, n);
      for (uint64_t i = 0; i < n; i++) d[i] -= alpha[m] * y[m * n + i];
    }
    if (held) {
      const double *last = y + (held - 1) * n;
      double scale = 1 / (rho[held - 1] * dot(last, last, n));
      for (uint64_t i = 0; i < n; i++) d[i] *= scale;
    }
    for (int m = 0; m < held; m++) {
      double beta = rho[m] * dot(y + m * n, d, n);
      for (uint64_t i = 0; i < n; i++) d[i] += (alpha[m] - beta) * s[m * n + i];
    }
    double slope = dot(g, d, n), length = held ? 1 : fmin(1, 1 / sqrt(dot(g, g, n))), there = NAN;
    for (int halvings = 0; halvings < 40; halvings++, length /= 2) {
      for (uint64_t i = 0; i < n; i++) next[i] = w[i] + length * d[i];
      there = f(problem, next, next_g);
      if (there <= value + 1e-4 * length * slope) break;
    }
    if (!(there <= value)) break; /* no way down is left that doubles can tell */
    if (held == MEMORY) {
      memmove(s, s + n, (MEMORY - 1) * n * sizeof *s);
      memmove(y, y + n, (MEMORY - 1) * n * sizeof *y);
      memmove(rho, rho + 1, (MEMORY - 1) * sizeof *rho);
      held--;
    }
    for (uint64_t i = 0; i < n; i++) s[held * n + i] = next[i] - w[i], y[held * n + i] = next_g[i] - g[i];
    double curvature = dot(s + held * n, y + held * n, n);
    if (curvature > 1e-12 * dot(y + held * n, y + held * n, n)) rho[held] = 1 / curvature, held++;
    memcpy(w, next, n * sizeof *w);
    memcpy(g, next_g, n * sizeof *g);
    value = there;
  }
  free(block);
  return result;
}

/* ---- a probe that searches for its minimum ----------------------------------------------------------------------------- */

#define SEARCH_PARAMS(L2, STEPS)                                                                       \
  LEARNING_PARAM(.id = "l2", .type = ABLATE_T_F64, .min = 0, .max = 1e9, .def = L2),                   \
      LEARNING_PARAM(.id = "tolerance", .type = ABLATE_T_F64, .min = 1e-12, .max = 1, .def = 1e-4),    \
      LEARNING_PARAM(.id = "steps", .type = ABLATE_T_I64, .min = 1, .max = 100000, .def_int = STEPS)

/* The first member of such a probe's own struct. */
typedef struct searching {
  learning base;
  double l2, tolerance;
  int64_t steps;
} searching;

/* A probe of `bytes`, which begin with a searching; NULL and an error where its parameters are wrong. */
static inline void *search_create(uint64_t bytes, const ablate_host *host, const ablate_value *values, uint64_t n,
                                  ablate_error *error) {
  searching *self = calloc(1, bytes);
  if (!self) return error->code = ABLATE_E_MEMORY, NULL;
  self->l2 = learning_find(values, n, "l2")->f;
  self->tolerance = learning_find(values, n, "tolerance")->f;
  self->steps = learning_find(values, n, "steps")->i;
  if (learning_create(&self->base, host, values, n, error)) return learning_destroy(self), NULL;
  return self;
}

/* Standardises, and makes room for n numbers, all zero: where a search begins. */
static inline ablate_status search_begin(searching *self, learning_size size, ablate_error *error) {
  learning *base = &self->base;
  ablate_status status = learning_standardize(base, error);
  if (status) return status;
  free(base->w);
  base->w = calloc(size(base, base->width, base->classes), sizeof(double));
  return base->w ? ABLATE_OK : learning_fail(error, ABLATE_E_MEMORY, "out of memory");
}

/* Lets what was learned fall to the minimum; a search that stops before is a warning. */
static inline ablate_status search_end(searching *self, objective loss, learning_size size, ablate_error *error) {
  learning *base = &self->base;
  uint64_t n = size(base, base->width, base->classes);
  int steps = minimize(loss, self, base->w, n, (int)self->steps, self->tolerance);
  if (steps == -2) return learning_fail(error, ABLATE_E_MEMORY, "the loss is not finite, or memory is short");
  if (steps == -1) base->host->log(base->host->ctx, 2, "did not reach its tolerance; raise steps, tolerance or l2");
  learning_done(base);
  return ABLATE_OK;
}

#endif
