/* tuned-lens: the logit lens behind an affine map per hook point, which learns what the later layers make of a row (Belrose et
 * al. 2023, arXiv 2303.08112). With h' = h + A h + b it minimises
 *   sum over rows of KL(model's own words || words read at h') + l2 / 2 |A|^2        (b is not penalised)
 * from A = 0, b = 0, where it is the logit lens, to which l2 holds it. The host reads words, and knows the gradient at h'. */
#include "minimize.h"

typedef struct tuned {
  searching search;
  const ablate_ext_lens *lens;
  char with_last[TEXT + 4]; /* layers, and the last one */
  float *memory;        /* while it learns: h', finals, gradient [rows, width], divergence [rows] */
} tuned;

static const char *const sites[] = {"text.resid_pre", "text.resid_mid", "text.resid_post"};
static const char *const forms[] = {"spaced", "bare", "capital", "plural"};   /* ABLATE_FORM_*, bit by bit */
static const char *const pieces[] = {"exclude", "first", "min", "mean"};      /* ABLATE_PIECES_* */
static const char *const ties[] = {"mean", "best"};                           /* ABLATE_TIES_* */
#define CHOICES(LIST) .choices = LIST, .n_choices = sizeof LIST / sizeof *LIST

static const ablate_param params[] = {
    LEARNING_PARAM(.id = "sites", .type = ABLATE_T_STRV, CHOICES(sites)),
    LEARNING_PARAM(.id = "layers", .type = ABLATE_T_SELECTOR, .def_str = "all"),
    LEARNING_PARAM(.id = "tokens", .type = ABLATE_T_SELECTOR),
    LEARNING_PARAM(.id = "labels", .type = ABLATE_T_STR, .def_str = "part"),
    LEARNING_PARAM(.id = "vocabulary", .type = ABLATE_T_STR, .def_str = "known"),
    LEARNING_PARAM(.id = "forms", .type = ABLATE_T_STRV, CHOICES(forms)),
    LEARNING_PARAM(.id = "pieces", .type = ABLATE_T_STR, .def_str = "exclude", CHOICES(pieces)),
    LEARNING_PARAM(.id = "ties", .type = ABLATE_T_STR, .def_str = "mean", CHOICES(ties)),
    LEARNING_PARAM(.id = "words", .type = ABLATE_T_I64, .max = 20),
    SEARCH_PARAMS(1, 500),
};

static uint32_t place(const char *const *list, const char *text) {
  uint32_t i = 0;
  while (strcmp(list[i], text)) i++; /* the host has checked the choice */
  return i;
}

/* known, all, or ids such as 0-31999. 0, or -1. */
static int read_vocabulary(const char *text, const ablate_model *model, ablate_reading *reading) {
  long long first = 0, last = -1;
  int end = 0;
  if (!strcmp(text, "known")) last = model->known_vocabulary - 1;
  else if (strcmp(text, "all") &&
           (sscanf(text, "%lld-%lld%n", &first, &last, &end) != 2 || text[end] || first < 0 || last < first))
    return -1;
  reading->vocabulary_first = first, reading->vocabulary_count = last - first + 1;
  return 0;
}

/* How the host reads, said at every capture. 0, or -1. */
static int read_settings(learning *base, const ablate_model *model, const ablate_value *values, uint64_t n) {
  const ablate_value *given = learning_find(values, n, "forms");
  uint32_t spelled = 0;
  for (uint64_t i = 0; given && i < given->n; i++) spelled |= 1u << place(forms, given->sv[i]);
  for (uint64_t i = 0; i < base->n_readings; i++) {
    ablate_reading *reading = base->readings + i;
    if (read_vocabulary(learning_find(values, n, "vocabulary")->s, model, reading)) return -1;
    reading->normed = 1, reading->forms = spelled;
    reading->pieces = place(pieces, learning_find(values, n, "pieces")->s);
    reading->ties = place(ties, learning_find(values, n, "ties")->s);
    reading->top = (uint32_t)learning_find(values, n, "words")->i;
  }
  return 0;
}

/* What it learns to foretell is captured too: resid_post of the last layer. There are at most as many sites as choices. */
static void add_last_layer(tuned *self) {
  learning *base = &self->search.base;
  uint64_t post = 0;
  while (post < base->n_readings && strcmp(base->readings[post].site, "resid_post")) post++;
  if (post == base->n_readings) {
    base->readings[base->n_readings++] = base->readings[0];
    base->readings[post].site = "resid_post", base->readings[post].layers = "-1";
  } else if (strcmp(base->layers, "all")) {
    snprintf(self->with_last, sizeof self->with_last, "%s,-1", base->layers);
    base->readings[post].layers = self->with_last;
  }
}

static void *create(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                    ablate_error *error) {
  tuned *self = search_create(sizeof *self, host, values, n, error);
  if (!self) return NULL;
  if (host->extension) self->lens = host->extension(host->ctx, ABLATE_EXT_LENS);
  if (read_settings(&self->search.base, model, values, n)) {
    learning_fail(error, ABLATE_E_INVALID, "vocabulary: write known, all, or ids such as 0-31999");
    return learning_destroy(self), NULL;
  }
  add_last_layer(self);
  return self;
}

/* A [width, width], h' = h + h A + b, then b. It answers with as many numbers as it is asked with: other bytes are not its own. */
static uint64_t size(const learning *self, uint64_t width, uint64_t classes) {
  return classes == width ? (width + 1) * width : UINT64_MAX;
}

static int translate(const double *w, const double *h, uint64_t rows, uint64_t width, double *out) {
  for (uint64_t i = 0; i < rows * width; i++) out[i] = h[i] + w[width * width + i % width];
  return multiply(h, width, 1, w, out, rows, width, width);
}

static int answer(const learning *self, const double *x, uint64_t rows, double *z) {
  return translate(self->w, x, rows, self->width, z);
}

static void as_floats(const double *z, uint64_t n, float *out) {
  for (uint64_t k = 0; k < n; k++) out[k] = (float)z[k];
}

static ablate_tensor view(float *data, const int64_t *shape, const int64_t *strides, int32_t ndim, uint32_t access) {
  uint64_t n = (uint64_t)(ndim == 2 ? shape[0] * shape[1] : shape[0]);
  return (ablate_tensor){.data = data, .device_type = 1, .ndim = ndim, .dtype_code = 2, .dtype_bits = 32, .dtype_lanes = 1,
                         .shape = shape, .strides = strides, .size_bytes = n * sizeof *data, .access = access};
}

/* The mean over rows of what is minimised. */
static double loss(void *problem, const double *w, double *gradient) {
  const tuned *self = problem;
  const learning *base = &self->search.base;
  uint64_t n = base->rows, width = base->width, weights = width * width;
  float *now = self->memory, *finals = now + n * width, *slope = finals + n * width, *each = slope + n * width;
  double *h = malloc(n * width * sizeof *h), sum = 0, penalty = 0;
  if (!h || translate(w, base->x, n, width, h)) return free(h), NAN;
  as_floats(h, n * width, now);
  const int64_t shape[] = {(int64_t)n, (int64_t)width}, strides[] = {(int64_t)width, 1}, one[] = {1};
  ablate_tensor tensors[] = {view(now, shape, strides, 2, ABLATE_READ), view(finals, shape, strides, 2, ABLATE_READ),
                             view(each, shape, one, 1, ABLATE_WRITE), view(slope, shape, strides, 2, ABLATE_WRITE)};
  if (self->lens->divergence(self->lens->ctx, tensors, tensors + 1, tensors + 2, tensors + 3)) return free(h), NAN;
  memset(gradient, 0, (weights + width) * sizeof *gradient);
  for (uint64_t i = 0; i < n * width; i++) h[i] = slope[i], gradient[weights + i % width] += slope[i];
  int short_of_memory = multiply(base->x, 1, width, h, gradient, width, n, width);
  free(h);
  if (short_of_memory) return NAN;
  for (uint64_t i = 0; i < n; i++) sum += each[i];
  for (uint64_t i = 0; i < weights; i++) penalty += w[i] * w[i], gradient[i] += self->search.l2 * w[i];
  for (uint64_t i = 0; i < weights + width; i++) gradient[i] /= (double)n;
  return (sum + self->search.l2 / 2 * penalty) / (double)n;
}

static ablate_status end(void *me, ablate_error *error) {
  tuned *self = me;
  uint64_t n = self->search.base.rows, count = n * self->search.base.width;
  if (!self->lens) return learning_fail(error, ABLATE_E_UNSUPPORTED, "this host has no extension ablate.lens/1");
  ablate_status status = search_begin(&self->search, size, error);
  if (status) return status;
  free(self->memory);
  self->memory = malloc((3 * count + n) * sizeof *self->memory);
  if (!self->memory) return learning_fail(error, ABLATE_E_MEMORY, "out of memory");
  as_floats(self->search.base.finals, count, self->memory + count);
  status = search_end(&self->search, loss, size, error);
  free(self->memory);
  self->memory = NULL;
  return status;
}

LEARNING_PLUGIN("tuned-lens", "tuned  1", .batch_finals = learning_batch_finals, as_floats)
