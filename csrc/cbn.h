// Batch norm with statistics per camera.
//
// An activation has N images, C channels and S positions. Each image names a camera, 0 ... G - 1. Tables of statistics
// are [G + 1, C], row g for camera g and row G for the batch as a whole; images [G + 1] counts each row's images.
// An image is normalised by row e: its camera's where that has at least `min_images` images, row G otherwise.
//
//   y = (x - mean[e]) * scale[e] + bias                      scale[e] = weight / sqrt(var[e] + eps)
//   dx = terms.dy * dy + terms.x * (x - mean[e]) + terms.one
//
// The gradient's terms follow from two sums for each row e, of dy and of dy * (x - mean[e]); see gradient_terms().
// Moments of a run of values come from a first mean and then from the deviations from it, and are merged by
// Chan et al., "Updating formulae and a pairwise algorithm for computing sample variances" (1979), in a fixed order:
// the bits depend on neither the instruction set nor the number of threads.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "tensor.h"

namespace unrealperson {

// x[n, c, s] with adjacent positions (planes: NCHW) or adjacent channels (rows: channels last); strides in elements.
template <class T>
struct Activation {
    T* data;
    int64_t images, channels, positions;
    int64_t image_stride, channel_stride, position_stride;

    UP_HOST_DEVICE T* plane(int64_t n, int64_t c) const { return data + n * image_stride + c * channel_stride; }
    UP_HOST_DEVICE T* row(int64_t n, int64_t s) const { return data + n * image_stride + s * position_stride; }
    bool has_planes() const { return position_stride == 1 || positions == 1; }
    bool has_rows() const { return channel_stride == 1 || channels == 1; }
    bool by_planes() const { return has_planes() && !(positions == 1 && has_rows()); }
};

// What computes and keeps the statistics of elements T.
template <class T>
using Compute = std::conditional_t<std::is_same_v<std::remove_const_t<T>, double>, double, float>;

// Which statistics each image takes.
struct Cameras {
    const int64_t* camera;  // [N] in [0, groups)
    int64_t groups;
    const int64_t* images;  // [groups + 1], or null in evaluation: then statistics are given, one row a camera
    int64_t min_images;

    UP_HOST_DEVICE int64_t rows() const { return images == nullptr ? groups : groups + 1; }
    UP_HOST_DEVICE int64_t row(int64_t n) const {
        const int64_t own = camera[n];
        if (own < 0 || own >= groups) return rows() - 1;
        return images == nullptr || images[own] >= min_images ? own : groups;
    }
};

// [rows, C]
template <class A>
struct Statistics {
    A *mean, *var;
    int64_t channels;
};

// Sums over the images that a row normalises, [rows, C].
template <class A>
struct GradientSums {
    A *dy, *dy_x;
};

template <class A>
struct GradientTerms {
    A dy, x, one;
};

template <class A>
UP_HOST_DEVICE inline A row_scale(A var, A weight, A eps) {
    return weight / std::sqrt(var + eps);
}

// The gradient of a value in row `e` and channel `c`. A row's statistics depend on all of its values; those of the
// whole batch matter to every image as soon as one image is normalised by them.
template <class A>
UP_HOST_DEVICE inline GradientTerms<A> gradient_terms(const Cameras& cameras, Statistics<const A> statistics,
                                                      GradientSums<const A> sums, int64_t positions, A weight, A eps,
                                                      int64_t e, int64_t c) {
    const int64_t own = e * statistics.channels + c;
    const A precision = A(1) / (statistics.var[own] + eps), scale = row_scale(statistics.var[own], weight, eps);
    GradientTerms<A> terms{scale, A(0), A(0)};
    if (cameras.images == nullptr) return terms;
    if (e != cameras.groups) {
        const A share = scale / static_cast<A>(cameras.images[e] * positions);
        terms.x -= share * precision * sums.dy_x[own];
        terms.one -= share * sums.dy[own];
    }
    const int64_t all = cameras.groups * statistics.channels + c;
    const A share_all =
        row_scale(statistics.var[all], weight, eps) / static_cast<A>(cameras.images[cameras.groups] * positions);
    const A slope = share_all * sums.dy_x[all] / (statistics.var[all] + eps);
    terms.x -= slope;
    terms.one -= share_all * sums.dy[all] + slope * (statistics.mean[own] - statistics.mean[all]);
    return terms;
}

// images [groups + 1] from camera [n]. Returns the first image whose camera is outside of [0, groups), or -1.
int64_t count_images(const int64_t* camera, int64_t n, int64_t groups, int64_t* images);

// Mean and variance (sum of squared deviations over their number) of every row; 0 in rows without images.
template <class T>
void camera_statistics(Activation<const T> x, Cameras cameras, Statistics<Compute<T>> statistics, int threads);

template <class T>
void camera_normalise(Activation<const T> x, Cameras cameras, Statistics<const Compute<T>> statistics,
                      const Compute<T>* weight, const Compute<T>* bias, Compute<T> eps, Activation<T> y, int threads);

template <class T>
void camera_gradient_sums(Activation<const T> x, Activation<const T> dy, Cameras cameras,
                          Statistics<const Compute<T>> statistics, GradientSums<Compute<T>> sums, int threads);

template <class T>
void camera_gradient(Activation<const T> x, Activation<const T> dy, Cameras cameras,
                     Statistics<const Compute<T>> statistics, GradientSums<const Compute<T>> sums,
                     const Compute<T>* weight, Compute<T> eps, Activation<T> dx, int threads);

// The first two in one go, and the last two: planes come from memory once.
template <class T>
void camera_norm(Activation<const T> x, Cameras cameras, Statistics<Compute<T>> statistics, const Compute<T>* weight,
                 const Compute<T>* bias, Compute<T> eps, Activation<T> y, int threads);

template <class T>
void camera_norm_backward(Activation<const T> x, Activation<const T> dy, Cameras cameras,
                          Statistics<const Compute<T>> statistics, GradientSums<Compute<T>> sums,
                          const Compute<T>* weight, Compute<T> eps, Activation<T> dx, int threads);

// The GPU twin (cbn_cuda.cu), for float32 and the 16-bit floats. Every entry but the first returns a cudaError_t, 0 for
// success, and works on `stream` of `device`.
enum class Element : int { float32 = 0, float16 = 1, bfloat16 = 2 };

extern "C" {
// Floats of scratch memory that statistics and sums of x need.
int64_t up_cuda_cbn_scratch(Activation<const void> x);
// images [groups + 1]; ids outside of [0, groups) count for the last entry alone.
int up_cuda_cbn_count(const int64_t* camera, int64_t n, int64_t groups, int64_t* images, int device, void* stream);
int up_cuda_cbn_statistics(Activation<const void> x, Element element, Cameras cameras, Statistics<float> statistics,
                           float* scratch, int device, void* stream);
int up_cuda_cbn_normalise(Activation<const void> x, Element element, Cameras cameras,
                          Statistics<const float> statistics, const float* weight, const float* bias, float eps,
                          Activation<void> y, int device, void* stream);
int up_cuda_cbn_sums(Activation<const void> x, Activation<const void> dy, Element element, Cameras cameras,
                     Statistics<const float> statistics, GradientSums<float> sums, float* scratch, int device,
                     void* stream);
int up_cuda_cbn_gradient(Activation<const void> x, Activation<const void> dy, Element element, Cameras cameras,
                         Statistics<const float> statistics, GradientSums<const float> sums, const float* weight,
                         float eps, Activation<void> dx, int device, void* stream);
}

}  // namespace unrealperson
