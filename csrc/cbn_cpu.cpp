#include <algorithm>
#include <vector>

#include "cbn.h"
#include "cbn_lanes.h"
#include "memory.h"
#include "parallel.h"

namespace unrealperson {
namespace {

constexpr int64_t kBlockBytes = 1 << 18;  // a block of channels: what comes from memory once and is used twice
constexpr int64_t kGrain = 16384;         // values worth a thread

// Whether an output is so large that it is streamed past the cache; all its runs must start at multiples of 16 bytes.
template <class T>
bool prepare_output(Activation<T> y) {
    const int64_t size = sizeof(T), bytes = y.images * y.channels * y.positions * size;
    if (y.image_stride == y.channels * y.positions) prefer_huge_pages(y.data, bytes);
    const int64_t across = (y.by_planes() ? y.channel_stride : y.position_stride) * size;
    return bytes >= kStreamedBytes && can_stream(y.data) && across % 16 == 0 && y.image_stride * size % 16 == 0;
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
            kernel.plane_normalise(x.plane(n, c), x.positions, statistics.mean[first + c],
                                   row_scale(statistics.var[first + c], weight[c], eps), bias[c], y.plane(n, c),
                                   streamed);
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
            kernel.plane_gradient(x.plane(n, c), dy.plane(n, c), x.positions, statistics.mean[e * x.channels + c],
                                  gradient_terms(cameras, statistics, sums, x.positions, weight[c], eps, e, c),
                                  dx.plane(n, c), streamed);
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
