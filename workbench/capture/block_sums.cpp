// Sums of attention probabilities by blocks, in one pass over tiles of scores that never leave the cache.
//
// The same numbers as block_sums.py computes with PyTorch, for one head in float32. Written with the vector types of
// GCC and Clang, so it compiles for any processor: eight lanes, or sixteen with AVX-512.

#include <algorithm>
#include <cmath>
#include <cstdint>

#if defined(__AVX512F__)
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
enum { ROWS = 6, PARTS = 4, PANEL = 2 * LANES, WIDEST = 1024 };
enum { CACHED = 32768 };  // floats of keys that stay in the second cache

typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef float Unaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline Floats load(const float *from) { return *(const Unaligned *)from; }
static inline void store(float *to, Floats value) { *(Unaligned *)to = value; }
static inline Floats splat(float value) { return value - (Floats){}; }

// 2^x for -126 <= x <= 127, relative error below 3e-7: the fraction by a polynomial, the whole part by its exponent.
static inline Floats exp2(Floats x) {
  const Floats magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to a whole number in the low bits
  const Floats shifted = x + magic;
  const Floats part = x - (shifted - magic);
  Floats value = splat(1.5403530e-4f);
  value = value * part + 1.3333558e-3f;
  value = value * part + 9.6181291e-3f;
  value = value * part + 5.5504109e-2f;
  value = value * part + 2.4022651e-1f;
  value = value * part + 6.9314718e-1f;
  value = value * part + 1.f;
  return (Floats)((Ints)value + ((Ints)shifted << 23));
}

// Scores of R queries (R, size) with one panel of keys (size, PANEL).
template <int R>
static inline void score(const float *query, int64_t size, const float *panel, float *out) {
  Floats sum[R][2];
  for (int r = 0; r < R; r++) sum[r][0] = sum[r][1] = splat(0.f);
  for (int64_t i = 0; i < size; i++) {
    const Floats left = load(panel + i * PANEL), right = load(panel + i * PANEL + LANES);
    for (int r = 0; r < R; r++) {
      const float q = query[r * size + i];
      sum[r][0] += q * left;
      sum[r][1] += q * right;
    }
  }
  for (int r = 0; r < R; r++) {
    store(out + r * WIDEST, sum[r][0]);
    store(out + r * WIDEST + LANES, sum[r][1]);
  }
}

// Adds R rows of scores to the column sums `mass` and to sum p log2 p, and raises `peak` (log2 p) where it is given.
template <int R, bool PEAK>
static inline Floats reduce(const float *scores, const float *lse, int64_t width, float *mass, float *peak) {
  const Floats least = splat(-126.f);
  Floats plogp = splat(0.f);
  for (int64_t j = 0; j < width; j += LANES) {
    Floats sum = load(mass + j), best = PEAK ? load(peak + j) : least;
    for (int r = 0; r < R; r++) {
      Floats x = load(scores + r * WIDEST + j) - lse[r];
      x = x < least ? least : x;  // a NaN stays one
      const Floats p = exp2(x);
      sum += p;
      plogp += p * x;
      if (PEAK) best = x > best ? x : best;
    }
    store(mass + j, sum);
    if (PEAK) store(peak + j, best);
  }
  return plogp;
}

template <int R>
static inline Floats reduce(const float *scores, const float *lse, int64_t width, float *mass, float *peak) {
  return peak ? reduce<R, true>(scores, lse, width, mass, peak) : reduce<R, false>(scores, lse, width, mass, peak);
}

static inline float across(Floats values) {
  float sum = 0.f;
  for (int i = 0; i < LANES; i++) sum += values[i];
  return sum;
}

static inline float total(const float *values, int64_t count) {
  Floats sums = splat(0.f);
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) sums += load(values + i);
  float sum = across(sums);
  for (; i < count; i++) sum += values[i];
  return sum;
}

// The sum of values[i] * (start + i).
static inline float first_moment(const float *values, int64_t count, float start) {
  Floats sums = splat(0.f), at;
  for (int i = 0; i < LANES; i++) at[i] = start + (float)i;
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES, at += (float)LANES) sums += load(values + i) * at;
  float sum = across(sums);
  for (; i < count; i++) sum += values[i] * (start + (float)i);
  return sum;
}

#define FOR_ROWS(rows, call)  \
  switch (rows) {             \
    case 6: call(6); break;   \
    case 5: call(5); break;   \
    case 4: call(4); break;   \
    case 3: call(3); break;   \
    case 2: call(2); break;   \
    default: call(1);         \
  }

extern "C" int block_sums_panel() { return PANEL; }

// One head. query (n, size), scaled so that scores are in bits; lse (n,) in bits; place (n,) key index of each query's
// own key; part_of (n,) the part each query belongs to, ascending; panels (ceil(count / PANEL), size, PANEL) of `count`
// keys; window of keys a query sees, 0 for all. Key 0 is key number `offset` of its block of `block` keys. By part:
// origin, the key index distances count from; common, the first key index that counts as near; weight of its rows in
// `received`. Adds to pooled and, if not null, raises peak, both (parts, blocks); to received (count,); to plogp,
// moment and near (parts,).
extern "C" void block_sums(const float *query, const float *lse, const int64_t *place, const int64_t *part_of,
                           int64_t n, int64_t size, const float *panels, int64_t count, int64_t window, int64_t offset,
                           int64_t block, int64_t blocks, const int64_t *origin, const int64_t *common,
                           const float *weight, float *pooled, float *peak, float *received, double *plogp,
                           double *moment, double *near) {
  const int64_t padded = (count + PANEL - 1) / PANEL * PANEL;
  const int64_t width = std::max<int64_t>(PANEL, std::min<int64_t>(WIDEST, CACHED / size / PANEL * PANEL));
  alignas(64) float scores[ROWS * WIDEST], mass[PARTS][WIDEST], best[PARTS][WIDEST];
  for (int64_t from = 0, to; from < n; from = to) {
    int parts = 1;  // neighbouring parts are read together, so that small ones fill the rows of a product too
    for (to = from + 1; to < n && (part_of[to] == part_of[to - 1] || parts < PARTS); to++)
      parts += part_of[to] != part_of[to - 1];
    const int64_t nearest = *std::min_element(place + from, place + to);
    const int64_t seen_from = window > 0 ? std::max<int64_t>(0, nearest - window + 1) / PANEL * PANEL : 0;
    const int64_t seen_to = std::min(count, *std::max_element(place + from, place + to) + 1);
    for (int64_t first = seen_from; first < seen_to; first += width) {
      const int64_t end = std::min(std::min(padded, first + width), (seen_to + PANEL - 1) / PANEL * PANEL);
      for (int i = 0; i < parts; i++) std::fill(mass[i], mass[i] + (end - first), 0.f);
      for (int i = 0; peak && i < parts; i++) std::fill(best[i], best[i] + (end - first), -126.f);
      int local = 0;
      for (int64_t row = from; row < to; row += ROWS) {
        const int rows = (int)std::min<int64_t>(ROWS, to - row);
        for (int64_t j = first; j < end; j += PANEL) {
#define SCORE(R) score<R>(query + row * size, size, panels + j * size, scores + (j - first))
          FOR_ROWS(rows, SCORE)
        }
        for (int r = 0; r < rows; r++) {
          float *line = scores + r * WIDEST - first;
          const int64_t own = place[row + r];
          for (int64_t j = std::max(first, std::min(count, own + 1)); j < end; j++) line[j] = -INFINITY;
          if (window > 0)
            for (int64_t j = first; j < std::min(end, own - window + 1); j++) line[j] = -INFINITY;
        }
        for (int start = 0, stop; start < rows; start = stop) {
          const int64_t part = part_of[row + start];
          local += row + start > from && part != part_of[row + start - 1];
          for (stop = start + 1; stop < rows && part_of[row + stop] == part; stop++) {
          }
          const float *line = scores + start * WIDEST, *sums = lse + row + start;
          Floats bits;
#define REDUCE(R) bits = reduce<R>(line, sums, end - first, mass[local], peak ? best[local] : nullptr)
          FOR_ROWS(stop - start, REDUCE)
          plogp[part] += across(bits);
        }
      }
      const int64_t last = std::min(end, count);
      local = -1;
      for (int64_t row = from; row < to; row++) {
        const int64_t part = part_of[row];
        if (row > from && part == part_of[row - 1]) continue;
        const float *sums = mass[++local], *tops = best[local];
        for (int64_t j = first; j < last;) {
          const int64_t cell = (offset + j) / block, stop = std::min(last, (cell + 1) * block - offset);
          pooled[part * blocks + cell] += total(sums + (j - first), stop - j);
          if (peak) {
            float most = -126.f;
            for (int64_t i = j; i < stop; i++) most = std::max(most, tops[i - first]);
            peak[part * blocks + cell] = std::max(peak[part * blocks + cell], most);
          }
          j = stop;
        }
        const float share = weight[part];
        for (int64_t j = first; j < last; j++) received[j] += share * sums[j - first];
        moment[part] += first_moment(sums, last - first, (float)(first - origin[part]));
        const int64_t nearest_key = std::min(last, std::max(first, common[part]));
        near[part] += total(sums + (nearest_key - first), last - nearest_key);
      }
    }
  }
}
