#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "distance.h"
#include "dot.h"
#include "half.h"
#include "parallel.h"
#include "simd.h"

#if defined(__x86_64__)
#    include <immintrin.h>
#endif

namespace unrealperson {
namespace {

UP_INLINE void norms_body(Matrix<const float> x, int64_t begin, int64_t end, float* norm2) {
    for (int64_t i = begin; i < end; ++i) norm2[i] = dot_body(x.row(i), x.row(i), x.cols);
}

// A gallery row as float32: itself, or widened into `room`, which stays in the cache. Exact, so every path agrees.
void widen_scalar(const Float16* row, int64_t n, float* room) {
    for (int64_t i = 0; i < n; ++i) {
        // Subnormal numbers by a difference, as a machine may take long to multiply them.
        const uint32_t magnitude = (row[i].bits & 0x7fffu) << 13, sign = (row[i].bits & 0x8000u) << 16;
        const bool subnormal = magnitude < (1u << 23), special = magnitude >= (31u << 23);
        const float tiny = float_of_bits(magnitude + (113u << 23)) - float_of_bits(113u << 23);
        const uint32_t normal = magnitude + (special ? 224u << 23 : 112u << 23);
        room[i] = float_of_bits((subnormal ? bits_of_float(tiny) : normal) | sign);
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2,f16c"))) void widen_avx2(const Float16* row, int64_t n, float* room) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(room + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i))));
    widen_scalar(row + i, n - i, room + i);
}

__attribute__((target("avx512f"))) void widen_avx512(const Float16* row, int64_t n, float* room) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i));
        _mm512_storeu_ps(room + i, _mm512_maskz_cvtph_ps(0xffff, half));
    }
    widen_scalar(row + i, n - i, room + i);
}
#endif

typedef void (*WidenHalf)(const Float16*, int64_t, float*);

template <WidenHalf widen>
UP_INLINE const float* widened(const float* row, int64_t, float*) {
    return row;
}

template <WidenHalf widen>
UP_INLINE const float* widened(const Float16* row, int64_t n, float* room) {
    widen(row, n, room);
    return room;
}

template <WidenHalf widen>
UP_INLINE const float* widened(const int8_t* row, int64_t n, float* room) {
    for (int64_t i = 0; i < n; ++i) room[i] = row[i];
    return room;
}

// out[i, j] = q_i . g_j, norm2[j] = |g_j|^2; each gallery row is read from memory once.
template <WidenHalf widen, class T>
UP_INLINE void products_body(Matrix<const float> q, Matrix<const T> g, Matrix<float> out, float* norm2, float* room) {
    constexpr int64_t ahead = 4, line = 64 / sizeof(T);
    for (int64_t j = 0; j < g.rows; ++j) {
        for (int64_t i = 0; i < g.cols; i += line) __builtin_prefetch(g.row(j + ahead) + i);
        const float* row = widened<widen>(g.row(j), g.cols, room);
        const float* rows[2] = {row, q.row(0)};
        float dots[2];
        dots_body<2>(rows, row, g.cols, dots);
        norm2[j] = dots[0];
        out.row(0)[j] = dots[1];
        int64_t i = 1;
        for (; i + 2 <= q.rows; i += 2) {
            const float* pair[2] = {q.row(i), q.row(i + 1)};
            dots_body<2>(pair, row, g.cols, dots);
            out.row(i)[j] = dots[0];
            out.row(i + 1)[j] = dots[1];
        }
        if (i < q.rows) out.row(i)[j] = dot_body(q.row(i), row, g.cols);
    }
}

template <Metric metric>
UP_INLINE void values_row(float* row, int64_t n, const float* scale, const float* bias, float query_norm2) {
    for (int64_t j = 0; j < n; ++j) row[j] = value_of(metric, bias[j] + scale[j] * row[j], query_norm2);
}

UP_INLINE void values_body(float* row, int64_t n, const float* scale, const float* bias, float query_norm2,
                           Metric metric) {
    if (metric == Metric::sqeuclidean) return values_row<Metric::sqeuclidean>(row, n, scale, bias, query_norm2);
    if (metric == Metric::cosine) return values_row<Metric::cosine>(row, n, scale, bias, query_norm2);
    values_row<Metric::inner_product>(row, n, scale, bias, query_norm2);
}

bool nearer(const Candidate& a, const Candidate& b) { return a.key < b.key || (a.key == b.key && a.index < b.index); }

struct Shortlist {
    Candidate* pool;
    int64_t k, capacity, count;
    float threshold;

    // Later columns have higher indices: a key equal to the threshold can no longer enter.
    void push(float key, int64_t index) {
        if (!(key < threshold)) return;
        pool[count++] = {key, index};
        if (count < capacity) return;
        std::nth_element(pool, pool + k - 1, pool + count, nearer);
        count = k;
        threshold = pool[k - 1].key;
    }
};

// Whether any key of the next columns is below the threshold: the sign of a difference tells, as differences of unequal
// floats do not vanish.
template <int64_t columns>
UP_INLINE bool any_below(const float* row, const float* scale, const float* bias, float threshold) {
    LaneMask signs{};
    for (int64_t i = 0; i < columns; i += kLanes) {
        const Lanes difference = lanes(bias + i) + lanes(scale + i) * lanes(row + i) - threshold;
        signs |= (LaneMask)difference;
    }
    uint64_t words[kLanes / 2], any = 0;
    std::memcpy(words, &signs, sizeof words);
    for (uint64_t word : words) any |= word;
    return (any & 0x8000000080000000u) != 0;
}

UP_INLINE void shortlist_body(const float* row, int64_t n, const float* scale, const float* bias, int64_t first,
                              Shortlist& list) {
    constexpr int64_t kStep = 4 * kLanes;
    int64_t j = 0;
    for (; j + kStep <= n; j += kStep) {
        if (!any_below<kStep>(row + j, scale + j, bias + j, list.threshold)) continue;
        for (int64_t part = j; part < j + kStep; part += kLanes) {
            if (!any_below<kLanes>(row + part, scale + part, bias + part, list.threshold)) continue;
            for (int64_t i = part; i < part + kLanes; ++i) list.push(bias[i] + scale[i] * row[i], first + i);
        }
    }
    for (; j < n; ++j) list.push(bias[j] + scale[j] * row[j], first + j);
}

struct Kernels {
    void (*norms)(Matrix<const float>, int64_t, int64_t, float*);
    void (*products)(Matrix<const float>, Matrix<const float>, Matrix<float>, float*, float*);
    void (*products_f16)(Matrix<const float>, Matrix<const Float16>, Matrix<float>, float*, float*);
    void (*products_i8)(Matrix<const float>, Matrix<const int8_t>, Matrix<float>, float*, float*);
    void (*values)(float*, int64_t, const float*, const float*, float, Metric);
    void (*shortlist)(const float*, int64_t, const float*, const float*, int64_t, Shortlist&);
};

#define UP_KERNELS(isa, attribute)                                                                                     \
    attribute void norms_##isa(Matrix<const float> x, int64_t begin, int64_t end, float* norm2) {                      \
        norms_body(x, begin, end, norm2);                                                                              \
    }                                                                                                                  \
    attribute void products_##isa(Matrix<const float> q, Matrix<const float> g, Matrix<float> out, float* norm2,       \
                                  float* room) {                                                                       \
        products_body<widen_##isa>(q, g, out, norm2, room);                                                            \
    }                                                                                                                  \
    attribute void products_f16_##isa(Matrix<const float> q, Matrix<const Float16> g, Matrix<float> out, float* norm2, \
                                      float* room) {                                                                   \
        products_body<widen_##isa>(q, g, out, norm2, room);                                                            \
    }                                                                                                                  \
    attribute void products_i8_##isa(Matrix<const float> q, Matrix<const int8_t> g, Matrix<float> out, float* norm2,   \
                                     float* room) {                                                                    \
        products_body<widen_##isa>(q, g, out, norm2, room);                                                            \
    }                                                                                                                  \
    attribute void values_##isa(float* row, int64_t n, const float* scale, const float* bias, float query_norm2,       \
                                Metric metric) {                                                                       \
        values_body(row, n, scale, bias, query_norm2, metric);                                                         \
    }                                                                                                                  \
    attribute void shortlist_##isa(const float* row, int64_t n, const float* scale, const float* bias, int64_t first,  \
                                   Shortlist& list) {                                                                  \
        shortlist_body(row, n, scale, bias, first, list);                                                              \
    }                                                                                                                  \
    constexpr Kernels kernels_##isa{norms_##isa,       products_##isa, products_f16_##isa,                             \
                                    products_i8_##isa, values_##isa,   shortlist_##isa};

UP_EACH_ISA(UP_KERNELS)

struct alignas(64) CacheLine {
    float lanes[kLanes];
};

// Rows that are worth a thread: about 32 KiB of work.
int64_t row_grain(int64_t cols) { return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, cols)); }

void multiply(const Kernels& kernel, Matrix<const float> q, Matrix<const float> g, Matrix<float> out, float* norm2,
              float* room) {
    kernel.products(q, g, out, norm2, room);
}

void multiply(const Kernels& kernel, Matrix<const float> q, Matrix<const Float16> g, Matrix<float> out, float* norm2,
              float* room) {
    kernel.products_f16(q, g, out, norm2, room);
}

void multiply(const Kernels& kernel, Matrix<const float> q, Matrix<const int8_t> g, Matrix<float> out, float* norm2,
              float* room) {
    kernel.products_i8(q, g, out, norm2, room);
}

}  // namespace

int64_t first_unusable(const float* norm2, int64_t n) {
    for (int64_t i = 0; i < n; ++i)
        if (!(norm2[i] <= kLargestNorm2)) return i;
    return -1;
}

int64_t row_norms(Matrix<const float> x, float* norm2, int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    parallel_for(x.rows, row_grain(x.cols), threads,
                 [&](int64_t begin, int64_t end) { kernel.norms(x, begin, end, norm2); });
    return first_unusable(norm2, x.rows);
}

void key_terms(Metric metric, const float* norm2, int64_t n, float* scale, float* bias) {
    for (int64_t i = 0; i < n; ++i) {
        scale[i] = key_scale(metric, norm2[i]);
        bias[i] = key_bias(metric, norm2[i]);
    }
}

void products_to_values(Matrix<float> block, const float* scale, const float* bias, const float* query_norm2,
                        Metric metric, int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    parallel_for(block.rows, row_grain(block.cols), threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            kernel.values(block.row(i), block.cols, scale, bias, query_norm2[i], metric);
    });
}

Nearest::Nearest(int64_t rows, int64_t k)
    : rows_(rows),
      k_(k),
      capacity_(2 * k + 16),
      pool_(new Candidate[static_cast<size_t>(rows * capacity_)]),
      count_(static_cast<size_t>(rows), 0),
      threshold_(static_cast<size_t>(rows), std::numeric_limits<float>::infinity()) {}

void Nearest::add(Matrix<const float> products, const float* scale, const float* bias, int64_t first, int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    parallel_for(rows_, row_grain(products.cols), threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            Shortlist list{pool_.get() + i * capacity_, k_, capacity_, count_[i], threshold_[i]};
            kernel.shortlist(products.row(i), products.cols, scale, bias, first, list);
            count_[i] = list.count;
            threshold_[i] = list.threshold;
        }
    });
    seen_ += products.cols;
}

template <class T>
int64_t Nearest::add_rows(Matrix<const float> q, Matrix<const T> g, Metric metric, int64_t first, int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    const int64_t chunk = 16 * row_grain(g.cols), chunks = (g.rows + chunk - 1) / chunk;
    const int64_t workers = std::min<int64_t>(usable_threads(threads), chunks);
    std::vector<Nearest> found;
    for (int64_t worker = 0; worker < workers; ++worker) found.emplace_back(rows_, k_);
    std::atomic<int64_t> next{0}, unusable{g.rows};
    parallel_for(workers, 1, threads, [&](int64_t worker, int64_t) {
        std::vector<float> products(static_cast<size_t>(q.rows * chunk)), norm2(static_cast<size_t>(chunk)),
            scale(norm2.size()), bias(norm2.size());
        std::vector<CacheLine> room(static_cast<size_t>(g.cols / 16 + 1));
        for (int64_t begin; (begin = chunk * next.fetch_add(1, std::memory_order_relaxed)) < g.rows;) {
            const int64_t count = std::min(chunk, g.rows - begin);
            const Matrix<float> block{products.data(), q.rows, count, chunk};
            multiply(kernel, q, {g.row(begin), count, g.cols, g.stride}, block, norm2.data(), room[0].lanes);
            const int64_t bad = first_unusable(norm2.data(), count);
            for (int64_t least = unusable; bad >= 0 && begin + bad < least;)
                if (unusable.compare_exchange_weak(least, begin + bad)) break;
            key_terms(metric, norm2.data(), count, scale.data(), bias.data());
            found[static_cast<size_t>(worker)].add({block.data, block.rows, count, chunk}, scale.data(), bias.data(),
                                                   first + begin, 1);
        }
    });
    for (const Nearest& part : found) take(part);
    seen_ += g.rows;
    return unusable < g.rows ? unusable.load() : -1;
}

template int64_t Nearest::add_rows(Matrix<const float>, Matrix<const float>, Metric, int64_t, int);
template int64_t Nearest::add_rows(Matrix<const float>, Matrix<const Float16>, Metric, int64_t, int);
template int64_t Nearest::add_rows(Matrix<const float>, Matrix<const int8_t>, Metric, int64_t, int);

void Nearest::take(const Nearest& part) {
    std::vector<Candidate> both(static_cast<size_t>(2 * capacity_));
    for (int64_t i = 0; i < rows_; ++i) {
        Candidate *own = pool_.get() + i * capacity_, *other = part.pool_.get() + i * capacity_;
        const auto middle = std::copy(own, own + count_[i], both.begin());
        const auto end = std::copy(other, other + part.count_[i], middle);
        count_[i] = std::min<int64_t>(k_, end - both.begin());
        std::partial_sort(both.begin(), both.begin() + count_[i], end, nearer);
        std::copy(both.begin(), both.begin() + count_[i], own);
        if (count_[i] == k_) threshold_[i] = own[k_ - 1].key;
    }
}

void Nearest::finish(const float* query_norm2, Metric metric, Matrix<float> values, Matrix<int64_t> indices,
                     int threads) {
    parallel_for(rows_, row_grain(16 * k_), threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            Candidate* pool = pool_.get() + i * capacity_;
            std::partial_sort(pool, pool + k_, pool + count_[i], nearer);
            for (int64_t r = 0; r < k_; ++r) {
                values.row(i)[r] = value_of(metric, pool[r].key, query_norm2[i]);
                indices.row(i)[r] = pool[r].index;
            }
        }
    });
}

}  // namespace unrealperson
