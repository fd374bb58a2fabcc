/* What this machine can do: multiply-add rates of its vector and matrix units, memory bandwidth with small and huge pages, and what
 * oneDNN reaches of it. Best of several short runs, on all threads of the team (OMP_NUM_THREADS); the load is printed beside.
 *
 *   cc -O3 -march=native -fopenmp ceilings.c -ldnnl -o ceilings && ./ceilings */
#include <dnnl.h>
#include <immintrin.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs `work`, which returns how much it did, on every thread; the best rate of `runs`, in 1e9 a second. */
static double best(double (*work)(void), int runs) {
  double rate = 0;
  for (int run = 0; run < runs; run++) {
    double done = 0;
    const double start = now();
#pragma omp parallel reduction(+ : done)
    done += work();
    const double seconds = now() - start;
    if (done / seconds > rate) rate = done / seconds;
  }
  return rate / 1e9;
}

enum { STEPS = 10000000, CHAINS = 12 };

static double fma_f32(void) {
  __m512 sums[CHAINS], x = _mm512_set1_ps(1.0f), y = _mm512_set1_ps(1e-9f);
  for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_fmadd_ps(x, y, sums[c]);
    __asm__ volatile("" : "+v"(x)); /* no closed form for the whole loop */
  }
  float total = 0;
  for (int c = 0; c < CHAINS; c++) total += _mm512_reduce_add_ps(sums[c]);
  return total > 1e30f ? 0 : 2.0 * 16 * CHAINS * STEPS;
}

#ifdef __AVX512BF16__
static double dot_bf16(void) {
  __m512 sums[CHAINS];
  __m512bh x = (__m512bh)_mm512_set1_epi16(0x3f80), y = (__m512bh)_mm512_set1_epi16(0x3080);
  for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_dpbf16_ps(sums[c], x, y);
    __asm__ volatile("" : "+v"(x));
  }
  float total = 0;
  for (int c = 0; c < CHAINS; c++) total += _mm512_reduce_add_ps(sums[c]);
  return total > 1e30f ? 0 : 2.0 * 32 * CHAINS * STEPS;
}
#endif

#ifdef __AMX_BF16__
static double tile_bf16(void) {
  syscall(SYS_arch_prctl, 0x1023, 18); /* ask for the tile registers */
  struct { uint8_t palette, row, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } tiles = {.palette = 1};
  for (int t = 0; t < 8; t++) tiles.bytes[t] = 64, tiles.rows[t] = 16;
  __asm__ volatile("" ::: "memory"); /* the compiler takes the configuration for a pointer and drops the rest */
  _tile_loadconfig(&tiles);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
  const int steps = STEPS / 4;
  for (int i = 0; i < steps; i++) {
    _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 4 * 16 * 16 * 32 * steps;
}
#endif

static const size_t BYTES = (size_t)512 << 20;
static float *memory[2];

static double read_all(void) {
  const size_t n = BYTES / sizeof(float), me = (size_t)omp_get_thread_num(), all = (size_t)omp_get_num_threads();
  __m512 sums[4] = {0};
  const float *x = memory[0] + n / all * me;
  for (size_t i = 0; i + 64 <= n / all; i += 64)
    for (int c = 0; c < 4; c++) sums[c] = _mm512_add_ps(sums[c], _mm512_loadu_ps(x + i + 16 * (size_t)c));
  const float total = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
  return total > 1e30f ? 0 : (double)(n / all * sizeof(float));
}

static double copy_all(void) {
  const size_t share = BYTES / (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
  memcpy((char *)memory[1] + share * me, (char *)memory[0] + share * me, share);
  return 2.0 * (double)share;
}

static void bandwidth(const char *pages, int advice) {
  for (int i = 0; i < 2; i++) {
    memory[i] = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(memory[i], BYTES, advice);
    memset(memory[i], 0, BYTES);
  }
  printf("memory, %s pages: read %.1f GB/s, copy (read + write) %.1f GB/s\n", pages, best(read_all, 5), best(copy_all, 5));
  for (int i = 0; i < 2; i++) munmap(memory[i], BYTES);
}

/* y [m, n] = x [m, k] W^T with W packed as oneDNN likes it. */
static void product(int64_t m, int64_t n, int64_t k, dnnl_data_type_t type, const char *name) {
  dnnl_engine_t engine; dnnl_stream_t stream;
  dnnl_engine_create(&engine, dnnl_cpu, 0);
  dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  dnnl_memory_desc_t a, b, c;
  dnnl_memory_desc_init_by_tag(&a, 2, (dnnl_dims_t){m, k}, type, dnnl_ab);
  dnnl_memory_desc_init_by_tag(&b, 2, (dnnl_dims_t){k, n}, type, dnnl_format_tag_any);
  dnnl_memory_desc_init_by_tag(&c, 2, (dnnl_dims_t){m, n}, dnnl_f32, dnnl_ab);
  dnnl_matmul_desc_t operation; dnnl_primitive_desc_t description; dnnl_primitive_t primitive;
  dnnl_matmul_desc_init(&operation, &a, &b, NULL, &c);
  if (dnnl_primitive_desc_create(&description, &operation, NULL, engine, NULL) != dnnl_success) {
    printf("oneDNN %s %ld x %ld x %ld: not supported\n", name, m, n, k);
    return;
  }
  const char *kernel = "";
  dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &kernel);
  const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
  dnnl_memory_t memories[3];
  dnnl_memory_create(&memories[0], &a, engine, DNNL_MEMORY_ALLOCATE);
  dnnl_memory_create(&memories[1], packed, engine, DNNL_MEMORY_ALLOCATE);
  dnnl_memory_create(&memories[2], &c, engine, DNNL_MEMORY_ALLOCATE);
  for (int i = 0; i < 2; i++) {
    void *data;
    dnnl_memory_get_data_handle(memories[i], &data);
    memset(data, 0x3c, dnnl_memory_desc_get_size(i ? packed : &a));
  }
  dnnl_primitive_create(&primitive, description);
  const dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_SRC, memories[0]}, {DNNL_ARG_WEIGHTS, memories[1]}, {DNNL_ARG_DST, memories[2]}};
  double fastest = 1e9;
  for (int run = 0; run < 7; run++) {
    const double start = now();
    dnnl_primitive_execute(primitive, stream, 3, arguments);
    dnnl_stream_wait(stream);
    if (now() - start < fastest) fastest = now() - start;
  }
  printf("oneDNN %s %ld x %ld x %ld: %.0f GFLOP/s, %.2f ms (%s)\n", name, m, n, k, 2e-9 * (double)(m * n * k) / fastest,
         fastest * 1e3, kernel);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  double load[3];
  getloadavg(load, 3);
  printf("%d threads, load %.1f\n", omp_get_max_threads(), load[0]);
  printf("f32 multiply-adds   %.0f GFLOP/s\n", best(fma_f32, 7));
#ifdef __AVX512BF16__
  printf("bf16 vector dots    %.0f GFLOP/s\n", best(dot_bf16, 7));
#endif
#ifdef __AMX_BF16__
  printf("bf16 tiles (AMX)    %.0f GFLOP/s\n", best(tile_bf16, 7));
#endif
  bandwidth("small", MADV_NOHUGEPAGE);
  bandwidth("huge", MADV_HUGEPAGE);
  const int64_t shapes[][3] = {{596, 4096, 4096}, {596, 11008, 4096}, {596, 4096, 11008}, {577, 4096, 1024},
                               {596, 2048, 2048}, {80, 512, 128},     {1, 4096, 4096}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    product(shapes[i][0], shapes[i][1], shapes[i][2], dnnl_f32, "f32 ");
    product(shapes[i][0], shapes[i][1], shapes[i][2], dnnl_bf16, "bf16");
  }
  getloadavg(load, 3);
  printf("load %.1f\n", load[0]);
  return 0;
}
