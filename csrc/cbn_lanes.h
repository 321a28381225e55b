// The arithmetic of cbn_cpu.cpp on one plane, or on the rows of one image: compiled once for each instruction set.
#pragma once

#include <algorithm>
#include <cstring>
#include <tuple>

#include "cbn.h"
#include "half.h"
#include "memory.h"
#include "simd.h"

namespace unrealperson {
namespace {

constexpr int64_t kRun = 4096;                  // adjacent values summed in one go, while L1 holds them
constexpr int64_t kTile = 512, kTileRows = 64;  // channels and positions of rows summed in one go, while L2 holds them

template <class A>
struct Vector {
    typedef A type __attribute__((vector_size(sizeof(A) * kLanes)));
    typedef A unaligned __attribute__((vector_size(sizeof(A) * kLanes), aligned(sizeof(A)), may_alias));
};
template <class A>
using Vec = typename Vector<A>::type;

template <class T>
UP_INLINE Compute<T> value_of(T x) {
    if constexpr (std::is_same_v<T, Compute<T>>)
        return x;
    else
        return to_float(x);
}

template <class T>
UP_INLINE T element_of(Compute<T> x) {
    if constexpr (std::is_same_v<T, Compute<T>>)
        return x;
    else
        return from_float<T>(x);
}

template <class T>
UP_INLINE Vec<Compute<T>> load(const T* p) {
    using A = Compute<T>;
    if constexpr (std::is_same_v<T, A>) {
        return *reinterpret_cast<const typename Vector<A>::unaligned*>(p);
    } else {
        A value[kLanes];
        for (int i = 0; i < kLanes; ++i) value[i] = to_float(p[i]);
        return load(value);
    }
}

template <class T>
UP_INLINE void store(T* p, Vec<Compute<T>> value, bool streamed) {
    alignas(64) T element[kLanes];
    for (int i = 0; i < kLanes; ++i) element[i] = element_of<T>(value[i]);
    if (streamed)
        stream(p, element, sizeof element);
    else
        std::memcpy(p, element, sizeof element);
}

template <class A>
UP_INLINE A fold(Vec<A> v) {
    A sum[kLanes];
    std::memcpy(sum, &v, sizeof sum);
    for (int half = kLanes / 2; half > 0; half /= 2)
        for (int j = 0; j < half; ++j) sum[j] += sum[j + half];
    return sum[0];
}

// Sums over n pairs of values. add(part, x, dy) takes vectors or single numbers; four parts let additions overlap.
template <int Count, class T, class Add>
UP_INLINE void sum_run(const T* x, const T* dy, int64_t n, Compute<T> (&total)[Count], const Add& add) {
    using A = Compute<T>;
    Vec<A> part[4][Count] = {};
    A rest[Count] = {};
    int64_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes)
        for (int k = 0; k < 4; ++k) add(part[k], load(x + i + k * kLanes), load(dy + i + k * kLanes));
    for (; i + kLanes <= n; i += kLanes) add(part[0], load(x + i), load(dy + i));
    for (; i < n; ++i) add(rest, value_of(x[i]), value_of(dy[i]));
    for (int j = 0; j < Count; ++j) total[j] = fold<A>((part[0][j] + part[1][j]) + (part[2][j] + part[3][j])) + rest[j];
}

// to[i] = map(x[i], dy[i])
template <class T, class Map>
UP_INLINE void map_run(const T* x, const T* dy, int64_t n, T* to, bool streamed, const Map& map) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(to + i, map(load(x + i), load(dy + i)), streamed);
    for (; i < n; ++i) to[i] = element_of<T>(map(value_of(x[i]), value_of(dy[i])));
}

// Mean and sum of squared deviations, of `seen` values and of n more.
UP_INLINE void merge_moments(double seen, double& mean, double& m2, double n, double other_mean, double other_m2) {
    const double delta = other_mean - mean, share = n / (seen + n);
    mean += delta * share;
    m2 += other_m2 + delta * delta * (seen * share);
}

// Deviations are summed as well as their squares, which corrects what rounding left in the first mean.
template <class T>
UP_INLINE void plane_moments_body(const T* x, int64_t n, double& mean, double& m2) {
    using A = Compute<T>;
    mean = m2 = 0.0;
    for (int64_t begin = 0; begin < n; begin += kRun, x += kRun) {
        const int64_t length = std::min(kRun, n - begin);
        A sum[1], by[2];
        sum_run(x, x, length, sum, [](auto& part, auto v, auto) __attribute__((always_inline)) { part[0] += v; });
        const A first = sum[0] / static_cast<A>(length);
        sum_run(x, x, length, by, [first](auto& part, auto v, auto) __attribute__((always_inline)) {
            const auto d = v - first;
            part[0] += d;
            part[1] += d * d;
        });
        const double count = static_cast<double>(length), shift = by[0] / count;
        merge_moments(static_cast<double>(begin), mean, m2, count, first + shift,
                      std::max(0.0, by[1] - shift * shift * count));
    }
}

template <class T>
UP_INLINE void plane_sums_body(const T* x, const T* dy, int64_t n, Compute<T> mean, double& sum_dy, double& sum_dy_x) {
    sum_dy = sum_dy_x = 0.0;
    for (int64_t begin = 0; begin < n; begin += kRun) {
        Compute<T> sum[2];
        sum_run(x + begin, dy + begin, std::min(kRun, n - begin), sum,
                [mean](auto& part, auto v, auto g) __attribute__((always_inline)) {
                    part[0] += g;
                    part[1] += g * (v - mean);
                });
        sum_dy += sum[0];
        sum_dy_x += sum[1];
    }
}

template <class T>
UP_INLINE void plane_normalise_body(const T* x, int64_t n, Compute<T> mean, Compute<T> scale, Compute<T> bias, T* y,
                                    bool streamed) {
    map_run(x, x, n, y, streamed,
            [=](auto v, auto) __attribute__((always_inline)) { return (v - mean) * scale + bias; });
}

template <class T>
UP_INLINE void plane_gradient_body(const T* x, const T* dy, int64_t n, Compute<T> mean, GradientTerms<Compute<T>> terms,
                                   T* dx, bool streamed) {
    map_run(x, dy, n, dx, streamed, [=](auto v, auto g) __attribute__((always_inline)) {
        return terms.dy * g + (terms.x * (v - mean) + terms.one);
    });
}

// Moments of one image with adjacent channels, `mean` and `m2` [C]: tiles of channels and positions that L2 holds, so
// few positions that a plain sum over them stays accurate.
template <class T>
UP_INLINE void rows_moments_body(Activation<const T> x, int64_t n, double* mean, double* m2) {
    using A = Compute<T>;
    A first[kTile], shift[kTile], square[kTile];
    std::fill(mean, mean + x.channels, 0.0);
    std::fill(m2, m2 + x.channels, 0.0);
    for (int64_t c0 = 0; c0 < x.channels; c0 += kTile)
        for (int64_t begin = 0; begin < x.positions; begin += kTileRows) {
            const int64_t width = std::min(kTile, x.channels - c0), end = std::min(begin + kTileRows, x.positions);
            const A count = static_cast<A>(end - begin);
            std::fill(first, first + width, A(0));
            std::fill(shift, shift + width, A(0));
            std::fill(square, square + width, A(0));
            for (int64_t s = begin; s < end; ++s) {
                const T* row = x.row(n, s) + c0;
                for (int64_t c = 0; c < width; ++c) first[c] += value_of(row[c]);
            }
            for (int64_t c = 0; c < width; ++c) first[c] /= count;
            for (int64_t s = begin; s < end; ++s) {
                const T* row = x.row(n, s) + c0;
                for (int64_t c = 0; c < width; ++c) {
                    const A d = value_of(row[c]) - first[c];
                    shift[c] += d;
                    square[c] += d * d;
                }
            }
            for (int64_t c = 0; c < width; ++c) {
                const double by = shift[c] / static_cast<double>(count);
                merge_moments(static_cast<double>(begin), mean[c0 + c], m2[c0 + c], static_cast<double>(count),
                              first[c] + by, std::max(0.0, square[c] - by * by * static_cast<double>(count)));
            }
        }
}

// Sums of one image with adjacent channels, [C], by the same tiles.
template <class T>
UP_INLINE void rows_sums_body(Activation<const T> x, Activation<const T> dy, int64_t n, const Compute<T>* mean,
                              double* sum_dy, double* sum_dy_x) {
    using A = Compute<T>;
    A sum[kTile], sum_x[kTile];
    std::fill(sum_dy, sum_dy + x.channels, 0.0);
    std::fill(sum_dy_x, sum_dy_x + x.channels, 0.0);
    for (int64_t c0 = 0; c0 < x.channels; c0 += kTile)
        for (int64_t begin = 0; begin < x.positions; begin += kTileRows) {
            const int64_t width = std::min(kTile, x.channels - c0), end = std::min(begin + kTileRows, x.positions);
            std::fill(sum, sum + width, A(0));
            std::fill(sum_x, sum_x + width, A(0));
            for (int64_t s = begin; s < end; ++s) {
                const T *row = x.row(n, s) + c0, *dy_row = dy.row(n, s) + c0;
                for (int64_t c = 0; c < width; ++c) {
                    const A g = value_of(dy_row[c]);
                    sum[c] += g;
                    sum_x[c] += g * (value_of(row[c]) - mean[c0 + c]);
                }
            }
            for (int64_t c = 0; c < width; ++c) {
                sum_dy[c0 + c] += sum[c];
                sum_dy_x[c0 + c] += sum_x[c];
            }
        }
}

template <class T>
UP_INLINE void row_normalise_body(const T* x, int64_t channels, const Compute<T>* mean, const Compute<T>* scale,
                                  const Compute<T>* bias, T* y, bool streamed) {
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes)
        store(y + c, (load(x + c) - load(mean + c)) * load(scale + c) + load(bias + c), streamed);
    for (; c < channels; ++c) y[c] = element_of<T>((value_of(x[c]) - mean[c]) * scale[c] + bias[c]);
}

// `terms` holds the three terms of every channel, [3, C].
template <class T>
UP_INLINE void row_gradient_body(const T* x, const T* dy, int64_t channels, const Compute<T>* mean,
                                 const Compute<T>* terms, T* dx, bool streamed) {
    const Compute<T>*by_dy = terms, *by_x = terms + channels, *one = terms + 2 * channels;
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes)
        store(dx + c,
              load(by_dy + c) * load(dy + c) + (load(by_x + c) * (load(x + c) - load(mean + c)) + load(one + c)),
              streamed);
    for (; c < channels; ++c)
        dx[c] = element_of<T>(by_dy[c] * value_of(dy[c]) + (by_x[c] * (value_of(x[c]) - mean[c]) + one[c]));
}

template <class T>
struct Kernels {
    using A = Compute<T>;
    void (*plane_moments)(const T*, int64_t, double&, double&);
    void (*plane_normalise)(const T*, int64_t, A, A, A, T*, bool);
    void (*plane_sums)(const T*, const T*, int64_t, A, double&, double&);
    void (*plane_gradient)(const T*, const T*, int64_t, A, GradientTerms<A>, T*, bool);
    void (*rows_moments)(Activation<const T>, int64_t, double*, double*);
    void (*rows_normalise)(Activation<const T>, int64_t, int64_t, int64_t, const A*, const A*, const A*, Activation<T>,
                           bool);
    void (*rows_sums)(Activation<const T>, Activation<const T>, int64_t, const A*, double*, double*);
    void (*rows_gradient)(Activation<const T>, Activation<const T>, int64_t, int64_t, int64_t, const A*, const A*,
                          Activation<T>, bool);
};

using EveryType = std::tuple<Kernels<float>, Kernels<double>, Kernels<Float16>, Kernels<BFloat16>>;

#define UP_KERNELS(isa, attribute)                                                                                   \
    template <class T>                                                                                               \
    struct Of_##isa {                                                                                                \
        using A = Compute<T>;                                                                                        \
        attribute static void plane_moments(const T* x, int64_t n, double& mean, double& m2) {                       \
            plane_moments_body(x, n, mean, m2);                                                                      \
        }                                                                                                            \
        attribute static void plane_normalise(const T* x, int64_t n, A mean, A scale, A bias, T* y, bool streamed) { \
            plane_normalise_body(x, n, mean, scale, bias, y, streamed);                                              \
        }                                                                                                            \
        attribute static void plane_sums(const T* x, const T* dy, int64_t n, A mean, double& sum, double& sum_x) {   \
            plane_sums_body(x, dy, n, mean, sum, sum_x);                                                             \
        }                                                                                                            \
        attribute static void plane_gradient(const T* x, const T* dy, int64_t n, A mean, GradientTerms<A> terms,     \
                                             T* dx, bool streamed) {                                                 \
            plane_gradient_body(x, dy, n, mean, terms, dx, streamed);                                                \
        }                                                                                                            \
        attribute static void rows_moments(Activation<const T> x, int64_t n, double* mean, double* m2) {             \
            rows_moments_body(x, n, mean, m2);                                                                       \
        }                                                                                                            \
        attribute static void rows_normalise(Activation<const T> x, int64_t n, int64_t begin, int64_t end,           \
                                             const A* mean, const A* scale, const A* bias, Activation<T> y,          \
                                             bool streamed) {                                                        \
            for (int64_t s = begin; s < end; ++s)                                                                    \
                row_normalise_body(x.row(n, s), x.channels, mean, scale, bias, y.row(n, s), streamed);               \
        }                                                                                                            \
        attribute static void rows_sums(Activation<const T> x, Activation<const T> dy, int64_t n, const A* mean,     \
                                        double* sum, double* sum_x) {                                                \
            rows_sums_body(x, dy, n, mean, sum, sum_x);                                                              \
        }                                                                                                            \
        attribute static void rows_gradient(Activation<const T> x, Activation<const T> dy, int64_t n, int64_t begin, \
                                            int64_t end, const A* mean, const A* terms, Activation<T> dx,            \
                                            bool streamed) {                                                         \
            for (int64_t s = begin; s < end; ++s)                                                                    \
                row_gradient_body(x.row(n, s), dy.row(n, s), x.channels, mean, terms, dx.row(n, s), streamed);       \
        }                                                                                                            \
        static constexpr Kernels<T> table{plane_moments, plane_normalise, plane_sums, plane_gradient,                \
                                          rows_moments,  rows_normalise,  rows_sums,  rows_gradient};                \
    };                                                                                                               \
    constexpr EveryType kernels_##isa{Of_##isa<float>::table, Of_##isa<double>::table, Of_##isa<Float16>::table,     \
                                      Of_##isa<BFloat16>::table};

UP_EACH_ISA(UP_KERNELS)

}  // namespace
}  // namespace unrealperson
