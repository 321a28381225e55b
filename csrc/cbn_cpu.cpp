#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "cbn.h"
#include "half.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"

namespace unrealperson {
namespace {

constexpr int64_t kRun = 4096;  // adjacent values summed in one go, and their deviations while L1 holds them
constexpr int64_t kTile = 512, kTileRows = 64;  // channels and positions of an image with adjacent channels, for L2
constexpr int64_t kBlockBytes = 1 << 18;        // a block of channels: what comes from memory once and is used twice
constexpr int64_t kGrain = 16384;               // values worth a thread

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

// An output large enough to be streamed past the cache.
template <class T>
bool prepare_output(Activation<T> y) {
    const int64_t bytes = y.images * y.channels * y.positions * static_cast<int64_t>(sizeof(T));
    const bool dense = y.image_stride == y.channels * y.positions;
    if (dense) prefer_huge_pages(y.data, bytes);
    return bytes >= kStreamedBytes;
}

// Merges the moments of N equally many values, `stride` apart, into the rows of channel c.
template <class A>
void merge_images(const double* mean, const double* m2, int64_t stride, int64_t images, int64_t positions,
                  const Cameras& cameras, Statistics<A> statistics, int64_t c, std::vector<double>& work) {
    const int64_t groups = cameras.groups, channels = statistics.channels;
    const double values = static_cast<double>(positions);
    work.assign(2 * groups, 0.0);
    double *group_mean = work.data(), *group_m2 = work.data() + groups, all_mean = 0.0, all_m2 = 0.0;
    for (int64_t n = 0; n < images; ++n) group_mean[cameras.camera[n]] += mean[n * stride];
    for (int64_t g = 0; g < groups; ++g) {
        all_mean += group_mean[g];
        if (cameras.images[g] > 0) group_mean[g] /= static_cast<double>(cameras.images[g]);
    }
    all_mean /= static_cast<double>(images);
    for (int64_t n = 0; n < images; ++n) {
        const double d = mean[n * stride] - group_mean[cameras.camera[n]];
        group_m2[cameras.camera[n]] += m2[n * stride] + values * (d * d);
    }
    for (int64_t g = 0; g < groups; ++g) {
        const double count = static_cast<double>(cameras.images[g]) * values, d = group_mean[g] - all_mean;
        statistics.mean[g * channels + c] = static_cast<A>(group_mean[g]);
        statistics.var[g * channels + c] = static_cast<A>(count > 0.0 ? group_m2[g] / count : 0.0);
        if (count > 0.0) all_m2 += group_m2[g] + count * (d * d);
    }
    statistics.mean[groups * channels + c] = static_cast<A>(all_mean);
    statistics.var[groups * channels + c] = static_cast<A>(all_m2 / (static_cast<double>(images) * values));
}

// Adds up what N images gave, `stride` apart, in the rows of channel c that normalise them.
template <class A>
void sum_images(const double* dy, const double* dy_x, int64_t stride, int64_t images, const Cameras& cameras,
                GradientSums<A> sums, int64_t channels, int64_t c, std::vector<double>& work) {
    const int64_t rows = cameras.rows();
    work.assign(2 * rows, 0.0);
    for (int64_t n = 0; n < images; ++n) {
        const int64_t e = cameras.row(n);
        work[e] += dy[n * stride];
        work[rows + e] += dy_x[n * stride];
    }
    for (int64_t e = 0; e < rows; ++e) {
        sums.dy[e * channels + c] = static_cast<A>(work[e]);
        sums.dy_x[e * channels + c] = static_cast<A>(work[rows + e]);
    }
}

// Calls body(begin, end) on blocks of channels that a core's cache holds.
template <class T, class Body>
void each_block(Activation<const T> x, int threads, const Body& body) {
    const int64_t values = x.images * x.positions;
    const int64_t size = std::max<int64_t>(1, kBlockBytes / (values * static_cast<int64_t>(sizeof(T))));
    parallel_for(x.channels, std::max<int64_t>(1, kGrain / values), threads, [&](int64_t begin, int64_t end) {
        for (int64_t c = begin; c < end; c += size) body(c, std::min(c + size, end));
        end_stream();
    });
}

template <class T, class Body>
void each_rows(Activation<const T> x, int threads, const Body& body) {
    parallel_for(x.images * x.positions, std::max<int64_t>(1, kGrain / x.channels), threads,
                 [&](int64_t begin, int64_t end) {
                     while (begin < end) {
                         const int64_t n = begin / x.positions, s = begin % x.positions;
                         const int64_t count = std::min(x.positions - s, end - begin);
                         body(n, s, s + count);
                         begin += count;
                     }
                     end_stream();
                 });
}

template <class T>
void block_statistics(const Kernels<T>& kernel, Activation<const T> x, const Cameras& cameras,
                      Statistics<Compute<T>> statistics, int64_t begin, int64_t end) {
    const int64_t count = (end - begin) * x.images;
    std::vector<double> mean(count), m2(count), work;
    for (int64_t n = 0; n < x.images; ++n)
        for (int64_t c = begin; c < end; ++c) {
            const int64_t i = (c - begin) * x.images + n;
            kernel.plane_moments(x.plane(n, c), x.positions, mean[i], m2[i]);
        }
    for (int64_t c = begin; c < end; ++c) {
        const int64_t i = (c - begin) * x.images;
        merge_images(&mean[i], &m2[i], 1, x.images, x.positions, cameras, statistics, c, work);
    }
}

template <class T>
void block_normalise(const Kernels<T>& kernel, Activation<const T> x, const Cameras& cameras,
                     Statistics<const Compute<T>> statistics, const Compute<T>* weight, const Compute<T>* bias,
                     Compute<T> eps, Activation<T> y, bool streamed, int64_t begin, int64_t end) {
    for (int64_t n = 0; n < x.images; ++n) {
        const int64_t first = cameras.row(n) * x.channels;
        for (int64_t c = begin; c < end; ++c) {
            T* to = y.plane(n, c);
            kernel.plane_normalise(x.plane(n, c), x.positions, statistics.mean[first + c],
                                   row_scale(statistics.var[first + c], weight[c], eps), bias[c], to,
                                   streamed && can_stream(to));
        }
    }
}

template <class T>
void block_sums(const Kernels<T>& kernel, Activation<const T> x, Activation<const T> dy, const Cameras& cameras,
                Statistics<const Compute<T>> statistics, GradientSums<Compute<T>> sums, int64_t begin, int64_t end) {
    const int64_t count = (end - begin) * x.images;
    std::vector<double> sum(count), sum_x(count), work;
    for (int64_t n = 0; n < x.images; ++n) {
        const Compute<T>* mean = statistics.mean + cameras.row(n) * x.channels;
        for (int64_t c = begin; c < end; ++c) {
            const int64_t i = (c - begin) * x.images + n;
            kernel.plane_sums(x.plane(n, c), dy.plane(n, c), x.positions, mean[c], sum[i], sum_x[i]);
        }
    }
    for (int64_t c = begin; c < end; ++c) {
        const int64_t i = (c - begin) * x.images;
        sum_images(&sum[i], &sum_x[i], 1, x.images, cameras, sums, x.channels, c, work);
    }
}

template <class T>
void block_gradient(const Kernels<T>& kernel, Activation<const T> x, Activation<const T> dy, const Cameras& cameras,
                    Statistics<const Compute<T>> statistics, GradientSums<const Compute<T>> sums,
                    const Compute<T>* weight, Compute<T> eps, Activation<T> dx, bool streamed, int64_t begin,
                    int64_t end) {
    for (int64_t n = 0; n < x.images; ++n) {
        const int64_t e = cameras.row(n);
        for (int64_t c = begin; c < end; ++c) {
            T* to = dx.plane(n, c);
            kernel.plane_gradient(x.plane(n, c), dy.plane(n, c), x.positions, statistics.mean[e * x.channels + c],
                                  gradient_terms(cameras, statistics, sums, x.positions, weight[c], eps, e, c), to,
                                  streamed && can_stream(to));
        }
    }
}

template <class A>
Statistics<const A> constant(Statistics<A> s) {
    return {s.mean, s.var, s.channels};
}

template <class A>
GradientSums<const A> constant(GradientSums<A> s) {
    return {s.dy, s.dy_x};
}

template <class T>
const Kernels<T>& chosen_kernels() {
    return std::get<Kernels<T>>(UP_CHOSEN_ISA(kernels));
}

template <class T>
void rows_statistics(Activation<const T> x, const Cameras& cameras, Statistics<Compute<T>> statistics, int threads) {
    const Kernels<T>& kernel = chosen_kernels<T>();
    const int64_t channels = x.channels;
    std::vector<double> mean(x.images * channels), m2(x.images * channels);
    parallel_for(x.images, std::max<int64_t>(1, kGrain / (x.positions * channels)), threads,
                 [&](int64_t begin, int64_t end) {
                     for (int64_t n = begin; n < end; ++n)
                         kernel.rows_moments(x, n, &mean[n * channels], &m2[n * channels]);
                 });
    parallel_for(channels, std::max<int64_t>(1, kGrain / (16 * x.images)), threads, [&](int64_t begin, int64_t end) {
        std::vector<double> work;
        for (int64_t c = begin; c < end; ++c)
            merge_images(&mean[c], &m2[c], channels, x.images, x.positions, cameras, statistics, c, work);
    });
}

template <class T>
void rows_gradient_sums(Activation<const T> x, Activation<const T> dy, const Cameras& cameras,
                        Statistics<const Compute<T>> statistics, GradientSums<Compute<T>> sums, int threads) {
    const Kernels<T>& kernel = chosen_kernels<T>();
    const int64_t channels = x.channels;
    std::vector<double> sum(x.images * channels), sum_x(x.images * channels);
    parallel_for(x.images, std::max<int64_t>(1, kGrain / (x.positions * channels)), threads,
                 [&](int64_t begin, int64_t end) {
                     for (int64_t n = begin; n < end; ++n)
                         kernel.rows_sums(x, dy, n, statistics.mean + cameras.row(n) * channels, &sum[n * channels],
                                          &sum_x[n * channels]);
                 });
    parallel_for(channels, std::max<int64_t>(1, kGrain / (16 * x.images)), threads, [&](int64_t begin, int64_t end) {
        std::vector<double> work;
        for (int64_t c = begin; c < end; ++c)
            sum_images(&sum[c], &sum_x[c], channels, x.images, cameras, sums, channels, c, work);
    });
}

}  // namespace

int64_t count_images(const int64_t* camera, int64_t n, int64_t groups, int64_t* images) {
    std::fill(images, images + groups, 0);
    for (int64_t i = 0; i < n; ++i) {
        if (camera[i] < 0 || camera[i] >= groups) return i;
        ++images[camera[i]];
    }
    images[groups] = n;
    return -1;
}

template <class T>
void camera_statistics(Activation<const T> x, Cameras cameras, Statistics<Compute<T>> statistics, int threads) {
    if (!x.by_planes()) return rows_statistics(x, cameras, statistics, threads);
    each_block(x, threads, [&, &kernel = chosen_kernels<T>()](int64_t begin, int64_t end) {
        block_statistics(kernel, x, cameras, statistics, begin, end);
    });
}

template <class T>
void camera_normalise(Activation<const T> x, Cameras cameras, Statistics<const Compute<T>> statistics,
                      const Compute<T>* weight, const Compute<T>* bias, Compute<T> eps, Activation<T> y, int threads) {
    const Kernels<T>& kernel = chosen_kernels<T>();
    const bool streamed = prepare_output(y);
    if (x.by_planes())
        return each_block(x, threads, [&](int64_t begin, int64_t end) {
            block_normalise(kernel, x, cameras, statistics, weight, bias, eps, y, streamed, begin, end);
        });
    const int64_t channels = x.channels;
    std::vector<Compute<T>> scale(cameras.rows() * channels);
    for (int64_t e = 0; e < cameras.rows(); ++e)
        for (int64_t c = 0; c < channels; ++c)
            scale[e * channels + c] = row_scale(statistics.var[e * channels + c], weight[c], eps);
    each_rows(x, threads, [&](int64_t n, int64_t begin, int64_t end) {
        const int64_t first = cameras.row(n) * channels;
        kernel.rows_normalise(x, n, begin, end, statistics.mean + first, &scale[first], bias, y, streamed);
    });
}

template <class T>
void camera_gradient_sums(Activation<const T> x, Activation<const T> dy, Cameras cameras,
                          Statistics<const Compute<T>> statistics, GradientSums<Compute<T>> sums, int threads) {
    if (!x.by_planes()) return rows_gradient_sums(x, dy, cameras, statistics, sums, threads);
    each_block(x, threads, [&, &kernel = chosen_kernels<T>()](int64_t begin, int64_t end) {
        block_sums(kernel, x, dy, cameras, statistics, sums, begin, end);
    });
}

template <class T>
void camera_gradient(Activation<const T> x, Activation<const T> dy, Cameras cameras,
                     Statistics<const Compute<T>> statistics, GradientSums<const Compute<T>> sums,
                     const Compute<T>* weight, Compute<T> eps, Activation<T> dx, int threads) {
    const Kernels<T>& kernel = chosen_kernels<T>();
    const bool streamed = prepare_output(dx);
    if (x.by_planes())
        return each_block(x, threads, [&](int64_t begin, int64_t end) {
            block_gradient(kernel, x, dy, cameras, statistics, sums, weight, eps, dx, streamed, begin, end);
        });
    const int64_t channels = x.channels;
    std::vector<Compute<T>> terms(3 * cameras.rows() * channels);
    for (int64_t e = 0; e < cameras.rows(); ++e)
        for (int64_t c = 0; c < channels; ++c) {
            const auto found = gradient_terms(cameras, statistics, sums, x.positions, weight[c], eps, e, c);
            Compute<T>* to = &terms[3 * e * channels + c];
            to[0] = found.dy, to[channels] = found.x, to[2 * channels] = found.one;
        }
    each_rows(x, threads, [&](int64_t n, int64_t begin, int64_t end) {
        const int64_t e = cameras.row(n);
        kernel.rows_gradient(x, dy, n, begin, end, statistics.mean + e * channels, &terms[3 * e * channels], dx,
                             streamed);
    });
}

template <class T>
void camera_norm(Activation<const T> x, Cameras cameras, Statistics<Compute<T>> statistics, const Compute<T>* weight,
                 const Compute<T>* bias, Compute<T> eps, Activation<T> y, int threads) {
    if (!x.by_planes()) {
        camera_statistics(x, cameras, statistics, threads);
        return camera_normalise(x, cameras, constant(statistics), weight, bias, eps, y, threads);
    }
    const bool streamed = prepare_output(y);
    each_block(x, threads, [&, &kernel = chosen_kernels<T>()](int64_t begin, int64_t end) {
        block_statistics(kernel, x, cameras, statistics, begin, end);
        block_normalise(kernel, x, cameras, constant(statistics), weight, bias, eps, y, streamed, begin, end);
    });
}

template <class T>
void camera_norm_backward(Activation<const T> x, Activation<const T> dy, Cameras cameras,
                          Statistics<const Compute<T>> statistics, GradientSums<Compute<T>> sums,
                          const Compute<T>* weight, Compute<T> eps, Activation<T> dx, int threads) {
    if (!x.by_planes()) {
        camera_gradient_sums(x, dy, cameras, statistics, sums, threads);
        return camera_gradient(x, dy, cameras, statistics, constant(sums), weight, eps, dx, threads);
    }
    const bool streamed = prepare_output(dx);
    each_block(x, threads, [&, &kernel = chosen_kernels<T>()](int64_t begin, int64_t end) {
        block_sums(kernel, x, dy, cameras, statistics, sums, begin, end);
        block_gradient(kernel, x, dy, cameras, statistics, constant(sums), weight, eps, dx, streamed, begin, end);
    });
}

#define UP_INSTANTIATE(T)                                                                                             \
    template void camera_statistics<T>(Activation<const T>, Cameras, Statistics<Compute<T>>, int);                    \
    template void camera_normalise<T>(Activation<const T>, Cameras, Statistics<const Compute<T>>, const Compute<T>*,  \
                                      const Compute<T>*, Compute<T>, Activation<T>, int);                             \
    template void camera_norm<T>(Activation<const T>, Cameras, Statistics<Compute<T>>, const Compute<T>*,             \
                                 const Compute<T>*, Compute<T>, Activation<T>, int);                                  \
    template void camera_gradient_sums<T>(Activation<const T>, Activation<const T>, Cameras,                          \
                                          Statistics<const Compute<T>>, GradientSums<Compute<T>>, int);               \
    template void camera_gradient<T>(Activation<const T>, Activation<const T>, Cameras, Statistics<const Compute<T>>, \
                                     GradientSums<const Compute<T>>, const Compute<T>*, Compute<T>, Activation<T>,    \
                                     int);                                                                            \
    template void camera_norm_backward<T>(Activation<const T>, Activation<const T>, Cameras,                          \
                                          Statistics<const Compute<T>>, GradientSums<Compute<T>>, const Compute<T>*,  \
                                          Compute<T>, Activation<T>, int);

UP_INSTANTIATE(float)
UP_INSTANTIATE(double)
UP_INSTANTIATE(Float16)
UP_INSTANTIATE(BFloat16)

}  // namespace unrealperson
