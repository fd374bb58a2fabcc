/* ablate_plugin.h: the plugin ABI of Ablate. This file is all that a plugin author needs.
 *
 * Version 1, frozen: what is built with it loads in every later host that speaks major 1. A later minor only appends; what it
 * appends bears its number here.
 *
 * The header is a C11 subset that Swift, C++, Rust, Zig and cffi import: fixed-width integers, no enums, bit-fields, bool,
 * varargs or unions, no struct passed by value, no implicit padding (checked with -Wpadded).
 *
 * Rules
 *  1 Structs grow only at the end, in steps of 8 bytes. struct_size says how far the writer knew, and arrays are walked in
 *    steps of the writer's struct_size. ablate_tensor never grows.
 *  2 A NULL function means "absent". Only create, destroy and plan are required.
 *  3 Whoever allocates frees. A pointer given to a call dies when the call returns, unless said otherwise here.
 *  4 All strings are UTF-8 and end in NUL.
 *  5 Nothing unwinds across the border: no C++ exception, no Rust panic, no longjmp.
 *  6 Pad fields are zero and stay so. Unknown flag bits and operations are refused where a plugin sets them, and to be ignored
 *    where the host does.
 *  7 The host checks every field from the first release on.
 *
 * Words
 *  item   one example: image, prompt, labels.       condition  the list of plugins under which an item is run.
 *  lane   one item under one condition, in flight.  row        one token position of a lane, absolute in its sequence.
 *  step   0 in the prefill, n at the n-th generated token.
 *
 * Life of an instance
 *  create -> plan(NULL) -> [ plan(item) -> begin_lane -> on_event* -> end_lane ]* -> destroy
 */
#ifndef ABLATE_PLUGIN_H
#define ABLATE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ABLATE_ABI_MAJOR 1u /* a breaking change renames the entry symbol */
#define ABLATE_ABI_MINOR 0u /* an appended field, a new flag, a new extension id */
#define ABLATE_EXPORT __attribute__((visibility("default")))

/* ---- status and error --------------------------------------------------------------------------------------------- */

typedef int32_t ablate_status;
#define ABLATE_OK 0
#define ABLATE_E_INVALID (-1)     /* bad parameter or manifest */
#define ABLATE_E_UNSUPPORTED (-2) /* a model, dtype, edit op or facility that this plugin cannot work with */
#define ABLATE_E_STATE (-3)       /* a call out of order, or from a forbidden thread */
#define ABLATE_E_MEMORY (-4)
#define ABLATE_E_CANCELLED (-5)
#define ABLATE_E_INTERNAL (-6)

/* Filled by the callee. The caller owns `message`, `capacity` bytes; write at most that many, the NUL included. */
typedef struct ablate_error {
  uint32_t struct_size;
  ablate_status code;
  char *message;
  uint64_t capacity;
} ablate_error;

/* ---- tensor view -------------------------------------------------------------------------------------------------- */

#define ABLATE_READ 1u
#define ABLATE_WRITE 2u

/* The first 48 bytes are, bit for bit, a DLPack v1 DLTensor. Every view is f32, dense and on the CPU, unless the plan's access
 * asks for something else by a flag of a later minor. */
typedef struct ablate_tensor {
  void *data;
  int32_t device_type; /* kDLCPU = 1 */
  int32_t device_id;
  int32_t ndim;
  uint8_t dtype_code; /* kDLFloat = 2 */
  uint8_t dtype_bits;
  uint16_t dtype_lanes;
  const int64_t *shape;
  const int64_t *strides; /* in elements, never NULL */
  uint64_t byte_offset;
  uint64_t size_bytes; /* the only bytes that may be touched, from data + byte_offset */
  uint32_t access;     /* ABLATE_READ | ABLATE_WRITE */
  uint32_t _pad;
} ablate_tensor;

/* ---- parameters: mirror plugin.json; the host checks that both agree ----------------------------------------------- */

#define ABLATE_T_BOOL 1u     /* value.i */
#define ABLATE_T_I64 2u      /* value.i */
#define ABLATE_T_F64 3u      /* value.f */
#define ABLATE_T_STR 4u      /* value.s; must be one of `choices` where these are given */
#define ABLATE_T_I64V 5u     /* value.iv, value.n: integers, e.g. heads */
#define ABLATE_T_STRV 6u     /* value.sv, value.n */
#define ABLATE_T_SELECTOR 7u /* value.s: a token or layer selector of the published grammar (docs/selectors.md) */
#define ABLATE_T_TENSOR 8u   /* value.tensor: f32, from a file */

#define ABLATE_PARAM_REQUIRED 1u

typedef struct ablate_param {
  uint32_t struct_size;
  uint32_t type;
  const char *id;
  const char *doc;
  const char *unit;
  double min;
  double max; /* min == max == 0: unbounded */
  double def;
  int64_t def_int;
  const char *def_str;
  const char *const *choices;
  uint64_t n_choices;
  uint32_t flags;
  uint32_t _pad;
} ablate_param;

typedef struct ablate_value {
  uint32_t struct_size;
  uint32_t type;
  const char *id;
  int64_t i;
  double f;
  const char *s;
  const int64_t *iv;
  const char *const *sv;
  uint64_t n;
  const ablate_tensor *tensor;
} ablate_value;

/* ---- what a plugin asks for ----------------------------------------------------------------------------------------
 * Towers: "vision", "projector", "text". Sites: the table in docs/hook-points.md. Layers: layer_first..layer_last,
 * inclusive, negative from the end (-1 = last); or a layer selector in `layers` ("all", "0-3,-1", "12~9"), which then stands
 * in their place. Heads: NULL = all. Tokens: a selector string or an index list, not both; a NULL string
 * without a list means "all". */

/* Rows that on_event wants to see (READ) or change (WRITE). */
typedef struct ablate_access {
  uint32_t struct_size;
  uint32_t access;
  const char *tower;
  const char *site;
  int32_t layer_first;
  int32_t layer_last;
  const int32_t *heads;
  uint64_t n_heads;
  const char *tokens;
  const int32_t *token_index;
  uint64_t n_token_index;
  uint32_t flags;
  uint32_t _pad;
  const char *layers;
} ablate_access;

/* Edits: an ablation said as data, which the host compiles into the pass. At one hook point the ops run in the order of
 * the condition. Dropped edges are applied last, and again after any write to attn_scores: a blocked edge stays blocked. */
#define ABLATE_EDGE_DROP 1u      /* queries may not attend to keys: minus infinity before the softmax */
#define ABLATE_EDGE_KEEP_ONLY 2u /* of these queries' edges only those to keys survive (several: their union) */
#define ABLATE_EDGE_BIAS 3u      /* attn_scores += value on these edges */
#define ABLATE_EDGE_ZERO 4u      /* pattern = 0 on these edges after the softmax, not renormalised */
#define ABLATE_SITE_SCALE 5u     /* activation *= value */
#define ABLATE_SITE_SET 6u       /* activation = vector (its width, or one value), e.g. mean ablation */
#define ABLATE_SITE_ADD 7u       /* activation += value * vector (steering) */
#define ABLATE_SITE_PATCH 8u     /* activation = the same site of another run */

/* The other run of a patch is the one that the plugin's step in the manifest names with `from`: a condition, and the same
 * item or another one. source_condition and source_item are NULL, or these very names. The tokens are selected in both
 * items and must be as many. The source's layer is the patched one, or with this flag source_layer. */
#define ABLATE_EDIT_SOURCE_LAYER 1u

#define ABLATE_EMPTY_ERROR 0u /* a query that may attend to nothing is an error, */
#define ABLATE_EMPTY_SELF 1u  /* attends to itself, */
#define ABLATE_EMPTY_ZERO 2u  /* or mixes nothing: its pattern and z are zero */

typedef struct ablate_edit {
  uint32_t struct_size;
  uint32_t op;
  const char *tower;
  const char *site; /* NULL for edges */
  int32_t layer_first;
  int32_t layer_last;
  const int32_t *heads;
  uint64_t n_heads;
  const char *queries; /* for site ops: the tokens */
  const char *keys;
  const int32_t *query_index;
  uint64_t n_query_index;
  const int32_t *key_index;
  uint64_t n_key_index;
  double value;
  const ablate_tensor *vector;
  const char *source_condition;
  const char *source_item;
  int32_t source_layer;
  uint32_t keep_self; /* the edge from a token to itself survives */
  uint32_t on_empty;
  uint32_t flags;
  const char *layers;
} ablate_edit;

/* Readings: a probe's question said as data; the host answers it in the pass. */
#define ABLATE_READ_LENS 1u    /* rank, logit and log-probability of labels through final norm and unembedding */
#define ABLATE_READ_MASS 2u    /* attention mass from tokens to keys, per head, at "pattern" */
#define ABLATE_READ_CAPTURE 3u /* the activation itself, for a probe that learns: see ablate_ext_fit */

#define ABLATE_TIES_MEAN 0u /* rank = 1 + above + ties / 2 */
#define ABLATE_TIES_BEST 1u /* rank = 1 + above */

#define ABLATE_FORM_SPACED 1u  /* as inside a text, behind a space: the piece "\u2581tail" or "\u0120tail" */
#define ABLATE_FORM_BARE 2u    /* the piece "tail", where the vocabulary has it */
#define ABLATE_FORM_CAPITAL 4u /* "Tail" behind a space */
#define ABLATE_FORM_PLURAL 8u  /* "tails" behind a space, by the regular rule of English */

#define ABLATE_PIECES_EXCLUDE 0u /* a spelling of several pieces is left out */
#define ABLATE_PIECES_FIRST 1u   /* its first piece stands for it, */
#define ABLATE_PIECES_MIN 2u     /* the piece of the best rank, */
#define ABLATE_PIECES_MEAN 3u    /* or the mean over its pieces, of each number */

#define ABLATE_SCORE_EMBEDDING 1u /* a word's score is the product with its input embedding, not with its unembedding */
#define ABLATE_SCORE_COSINE 2u    /* and of both vectors only the direction counts */

typedef struct ablate_reading {
  uint32_t struct_size;
  uint32_t op;
  const char *tower; /* the lens reads "text" resid_* sites and "projector" "out"; a capture any site with rows of one width */
  const char *site;
  int32_t layer_first;
  int32_t layer_last;
  const char *tokens; /* of a capture NULL: of each label the mask of its name */
  const char *keys;
  const char *labels;  /* a label field of the item: exact, or "part" for every field below "part/" */
  uint32_t normed;     /* 1: through the final norm (the usual lens) */
  uint32_t ties;
  int64_t vocabulary_first; /* rank among these ids; count 0 = the whole vocabulary */
  int64_t vocabulary_count;
  const char *layers;
  uint32_t forms;  /* how the label may be spelled, ABLATE_FORM_* together; the best one counts. 0 = spaced */
  uint32_t pieces; /* ABLATE_PIECES_* */
  uint32_t top;    /* of a lens, how many of the words that it reads first at each row are answered too; at most 64 */
  uint32_t scores; /* of a lens, ABLATE_SCORE_* together; 0 = the unembedding */
} ablate_reading;

#define ABLATE_PLAN_PER_ITEM 1u /* ask again for every item */

/* The arrays live until the next plan or destroy on this instance; the host copies them at once. */
typedef struct ablate_plan {
  uint32_t struct_size;
  uint32_t flags;
  const ablate_access *accesses;
  uint64_t n_accesses;
  const ablate_edit *edits;
  uint64_t n_edits;
  const ablate_reading *readings;
  uint64_t n_readings;
} ablate_plan;

/* ---- facts about the model, the run and the item ------------------------------------------------------------------ */

typedef struct ablate_model {
  uint32_t struct_size;
  uint32_t compute_dtype; /* DLPack code << 8 | bits: 0x220 = f32 */
  const char *family;     /* "llava" */
  const char *digest;
  int32_t text_layers;
  int32_t text_heads;
  int32_t text_kv_heads;
  int32_t text_head_width;
  int32_t text_width;
  int32_t text_mlp_width;
  int32_t vision_layers; /* those that the projector's input depends on */
  int32_t vision_heads;
  int32_t vision_head_width;
  int32_t vision_width;
  int32_t patch_rows;
  int32_t patch_cols;
  int32_t image_size;
  int32_t feature_layer;
  int32_t vocabulary;       /* rows of the unembedding; padded ones too */
  int32_t known_vocabulary; /* the first ids, those that the tokenizer has pieces for */
} ablate_model;

#define ABLATE_SEGMENT_PREFIX 0u
#define ABLATE_SEGMENT_IMAGE 1u
#define ABLATE_SEGMENT_QUESTION 2u
#define ABLATE_SEGMENT_GENERATED 3u

/* A run of rows in the text tower; for an image its patch grid and the box that it covers in source pixels. */
typedef struct ablate_segment {
  uint32_t struct_size;
  uint32_t kind;
  int32_t first;
  int32_t count;
  int32_t image;
  int32_t tile;
  int32_t rows;
  int32_t cols;
  float left;
  float top;
  float right;
  float bottom;
} ablate_segment;

/* A word to look for: its field ("part/tail") pairs it with the mask of the same name. */
typedef struct ablate_label {
  uint32_t struct_size;
  uint32_t _pad;
  const char *field;
  const char *text;
  const int32_t *ids;
  uint64_t n_ids;
} ablate_label;

/* A named set of image rows of the text tower. */
typedef struct ablate_mask {
  uint32_t struct_size;
  uint32_t _pad;
  const char *name;
  const int32_t *rows;
  const float *coverage;
  uint64_t n;
} ablate_mask;

typedef struct ablate_item {
  uint32_t struct_size;
  uint32_t flags;
  uint64_t index;
  const char *id;
  const char *condition;
  const int32_t *tokens;
  uint64_t n_tokens;
  const ablate_segment *segments;
  uint64_t n_segments;
  const ablate_label *labels;
  uint64_t n_labels;
  const ablate_mask *masks;
  uint64_t n_masks;
  const char *meta_json;
} ablate_item;

/* ---- the hot call ---------------------------------------------------------------------------------------------------
 * One event per (tower, layer, site, step), with a slice per lane and declared access. Rows of one lane may come in
 * several events, in order; the last bears LAST_BLOCK. Views are dense f32:
 *   resid_* *_out mlp_* embed final_norm in mid out   [rows, width]
 *   q k v rot_q rot_k z                               [rows, heads, head_width]   (k, v, rot_k: key-value heads)
 *   attn_scores pattern                               [heads, rows, keys]         (scaled and masked; blocked = -inf)
 *   logits                                            [rows, vocabulary] */
#define ABLATE_LAST_BLOCK 1u

typedef struct ablate_slice {
  uint32_t struct_size;
  uint32_t lane;
  uint32_t access_index; /* in the plan's accesses */
  uint32_t flags;
  ablate_tensor *view;
  const int32_t *rows;
  uint64_t n_rows;
  const int32_t *heads;
  uint64_t n_heads;
  int32_t key_first;
  int32_t n_keys;
} ablate_slice;

#define ABLATE_PHASE_VISION 0u
#define ABLATE_PHASE_PROJECTOR 1u
#define ABLATE_PHASE_PREFILL 2u
#define ABLATE_PHASE_DECODE 3u

typedef struct ablate_event {
  uint32_t struct_size;
  uint32_t phase;
  int32_t layer; /* -1 at sites without a layer */
  int32_t step;
  const char *tower;
  const char *site;
  const ablate_slice *slices;
  uint64_t n_slices;
} ablate_event;

/* ---- typed rows, column by column -----------------------------------------------------------------------------------
 * BOOL, I64: int64_t. F64: double. STR: UTF-8 bytes with offsets[n_rows + 1].
 * end_lane gets the answers to the plan's readings: "reading" (index), "layer", "row", "head" (-1: none), "label" (index
 * of the item's labels, -1: none) as I64; "rank", "logit", "logprob", "mass" as F64, NaN where they do not apply. Where a
 * lens asked for `top` words there are as many more rows per row of it, best first: "word" (STR, else empty) is the word,
 * "rank" its place from 1, "label" -1.
 * emit: the columns named "layer", "row", "head" (I64), "site" and "label" (STR) are keys; every other BOOL,
 * I64 and F64 column is a metric, every other STR column a reading in words. `valid` is one byte per row:
 * where it is 0 there is no value. */
typedef struct ablate_column {
  uint32_t struct_size;
  uint32_t type;
  const char *name;
  const void *data;
  const int32_t *offsets;
  const uint8_t *valid; /* NULL: all are */
} ablate_column;

/* ---- host ------------------------------------------------------------------------------------------------------------
 * The table lives until destroy. Only log, cancelled and extension may be called from a plugin's own threads; the rest
 * only from inside a call. */
typedef struct ablate_host {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t _pad;
  uint64_t edit_ops; /* bit n: edit op n is understood */
  uint64_t reading_ops;
  void *ctx;
  const char *name;
  const char *version;
  const void *(*extension)(void *ctx, const char *id);
  void (*log)(void *ctx, int32_t level, const char *utf8); /* 0 debug, 1 info, 2 warning, 3 error */
  void *(*alloc)(void *ctx, uint64_t bytes, uint64_t align);
  void (*release)(void *ctx, void *p);
  /* Counter-based: n 32-bit words of the lane's stream from word `first` on; the same for any order of calls. */
  ablate_status (*random)(void *ctx, uint32_t lane, uint64_t stream, uint64_t first, uint32_t *out, uint64_t n);
  ablate_status (*emit)(void *ctx, uint32_t lane, const char *table, const ablate_column *columns, uint64_t n_columns,
                        uint64_t n_rows);
  int32_t (*cancelled)(void *ctx);
  /* Inside plan(item) and begin_lane only. The item's rows that a selector names in a tower, sorted: how many there are, of
   * which at most `capacity` are written. -1: the selector is wrong; the call that asked fails with the reason. */
  int64_t (*select)(void *ctx, const char *tower, const char *selector, int32_t *rows, uint64_t capacity);
} ablate_host;

/* ---- probes that learn ------------------------------------------------------------------------------------------------
 * A plugin's extension "ablate.fit/1". Its plan says with ABLATE_READ_CAPTURE what is learned from: of every label that the
 * reading names, the rows of its tokens, one example each, whose class is the label's text. The host keeps the
 * activations, chooses classes, splits by image and calls an instance that runs no lanes:
 *
 *   create -> [ begin -> batch+ -> end | load ] -> predict* , save* -> destroy        begin and load forget what was learned
 *
 * Each hook point and each split is a fit of its own. Calls come one at a time, from one thread; pointers die with the call.
 * Equal batches in equal order give equal bits. host->random gives in all of them, as lane 0, a stream that belongs to the fit.
 * host->log at level 2 is told as a caveat of the result ("did not converge").
 *
 * A lens that learns has batch_finals in the place of batch. It learns to say of a row what the last layer will make
 * of it; its answer to predict is again a hidden state, which the host reads through final norm and unembedding. Its plan
 * captures text.resid_post of the last layer too; normed, vocabulary, forms, pieces, ties and top of its first capture say
 * how is read. */
#define ABLATE_EXT_FIT "ablate.fit/1"

/* Writes n bytes to the host. 0, or an error that save hands on. */
typedef ablate_status (*ablate_write)(void *stream, const void *bytes, uint64_t n);
/* Reads at most n bytes; says how many there were, 0 at the end. */
typedef uint64_t (*ablate_read)(void *stream, void *bytes, uint64_t n);

typedef struct ablate_ext_fit {
  uint32_t struct_size;
  uint32_t flags;
  ablate_status (*begin)(void *self, uint64_t n_features, uint64_t n_classes, ablate_error *error);
  /* features [rows, n_features], finite; classes[rows], 0 to n_classes - 1, of which some may have no row; clusters[rows]: the
   * image, by number. */
  ablate_status (*batch)(void *self, const ablate_tensor *features, const int32_t *classes, const uint64_t *clusters,
                         ablate_error *error);
  ablate_status (*end)(void *self, ablate_error *error);
  /* Fills log_probabilities [rows, n_classes]: natural logarithms; the host checks that each row's probabilities sum to 1. */
  ablate_status (*predict)(void *self, const ablate_tensor *features, const ablate_tensor *log_probabilities,
                           ablate_error *error);
  ablate_status (*save)(void *self, ablate_write write, void *stream, ablate_error *error);
  /* Must survive any bytes: what save did not write is an error. */
  ablate_status (*load)(void *self, ablate_read read, void *stream, ablate_error *error);
  /* Of a lens, whose begin is told 0 classes and whose predict fills hidden states [rows, n_features]. finals [rows, n_features]:
   * resid_post of the last layer, of the same rows. */
  ablate_status (*batch_finals)(void *self, const ablate_tensor *features, const ablate_tensor *finals,
                                const uint64_t *clusters, ablate_error *error);
} ablate_ext_fit;

/* What a lens is trained by: host->extension(host->ctx, ABLATE_EXT_LENS), in the calls of a fit; else NULL. */
#define ABLATE_EXT_LENS "ablate.lens/1"

typedef struct ablate_ext_lens {
  uint32_t struct_size;
  uint32_t _pad;
  void *ctx;
  /* How far what is read at hidden is from what is read at finals, [rows, width] both: fills divergence [rows] with
   * KL(finals || hidden) in nats, over the reading's vocabulary, and gradient [rows, width] with its gradient at hidden. */
  ablate_status (*divergence)(void *ctx, const ablate_tensor *hidden, const ablate_tensor *finals,
                              const ablate_tensor *divergence, const ablate_tensor *gradient);
} ablate_ext_lens;

/* ---- plugin ---------------------------------------------------------------------------------------------------------- */

#define ABLATE_INTERVENTION 1u
#define ABLATE_PROBE 2u /* may only read; the host enforces it */

#define ABLATE_EXPECTS_NO_CHANGE 1u /* flags: changing nothing is not worth a warning (a control) */

typedef struct ablate_plugin {
  uint32_t struct_size;
  uint32_t kind;
  const char *id;
  const char *version;
  uint32_t max_lanes;   /* open at once per instance; 0 = any number */
  uint32_t threading;   /* 0 serial, 1 on_event re-entrant, 2 one fixed thread */
  uint32_t determinism; /* 0 none, 1 bit-identical for equal input, parameters and seed, 2 also for any thread count */
  uint32_t flags;
  const ablate_param *params;
  uint64_t n_params;
  void *(*create)(const ablate_host *host, const ablate_model *model, const ablate_value *values, uint64_t n,
                  ablate_error *error);
  void (*destroy)(void *self);
  /* item NULL: once per instance, before anything runs. The plan must not depend on anything but parameters and item. */
  ablate_status (*plan)(void *self, const ablate_item *item, ablate_plan *out, ablate_error *error);
  ablate_status (*begin_lane)(void *self, uint32_t lane, const ablate_item *item, ablate_error *error);
  ablate_status (*on_event)(void *self, const ablate_event *event, ablate_error *error);
  ablate_status (*end_lane)(void *self, uint32_t lane, const ablate_column *readings, uint64_t n_columns, uint64_t n_rows,
                            ablate_error *error);
  const void *(*extension)(void *self, const char *id);
} ablate_plugin;

typedef struct ablate_library {
  uint32_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor;
  uint32_t pointer_bits;
  const ablate_plugin *const *plugins;
  uint64_t n_plugins;
} ablate_library;

/* The only symbol. Returns static data: no work, no threads, no I/O here. NULL and an error = refuses this host. */
ABLATE_EXPORT const ablate_library *ablate_plugin_entry_v1(uint32_t host_minor, ablate_error *error);

#ifdef __cplusplus
}
#endif
#endif
