#include "cbn.cuh"
#include "launch.h"

using namespace unrealperson;

namespace {

// `width` elements an access; a run's positions are a multiple of it.
Runs runs_of(const Activation<const void>& x, int width) {
    Runs runs{x.images, x.channels, x.positions, 0, 0, 0, x.channels};
    if (x.by_planes()) {
        runs.run = kPlaneRun;
    } else {
        runs.run = kRowRun;
        for (runs.columns = 1; runs.columns < kCbnWarp && runs.columns * width < x.channels;) runs.columns *= 2;
        runs.tiles = ceil_div(x.channels, runs.columns * width);
    }
    runs.parts = ceil_div(x.positions, runs.run);
    return runs;
}

template <class To, class From>
Activation<To> typed(const Activation<From>& x) {
    return {static_cast<To*>(x.data), x.images,         x.channels,       x.positions,
            x.image_stride,           x.channel_stride, x.position_stride};
}

// Whether every run of x can be read 16 bytes at a time.
bool wide(const Activation<const void>& x, bool planes, int width) {
    const int64_t across = planes ? x.channel_stride : x.position_stride;
    return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.image_stride % width == 0 && across % width == 0 &&
           (planes ? x.positions : x.channels) % width == 0;
}

bool wide(const Activation<void>& x, bool planes, int width) { return wide(typed<const void>(x), planes, width); }

// Calls body with the element type, the width of an access and the layout as compile-time constants.
template <class Body, class... Arrays>
cudaError_t dispatch(Element element, const Activation<const void>& x, const Body& body, const Arrays&... arrays) {
    const bool planes = x.by_planes();
    const auto with_type = [&](auto type) {
        using T = decltype(type);
        constexpr int width = 16 / sizeof(T);
        if (wide(x, planes, width) && (wide(arrays, planes, width) && ...))
            return planes ? body(T{}, std::integral_constant<int, width>{}, std::false_type{})
                          : body(T{}, std::integral_constant<int, width>{}, std::true_type{});
        return planes ? body(T{}, std::integral_constant<int, 1>{}, std::false_type{})
                      : body(T{}, std::integral_constant<int, 1>{}, std::true_type{});
    };
    if (element == Element::float16) return with_type(Float16{});
    if (element == Element::bfloat16) return with_type(BFloat16{});
    return with_type(float{});
}

int64_t merge_blocks(const Runs& runs, const Cameras& cameras) {
    return ceil_div(runs.channels, kCbnWarp) * cameras.rows();
}

}  // namespace

extern "C" {

int64_t up_cuda_cbn_scratch(Activation<const void> x) {
    return 2 * x.images * x.channels * ceil_div(x.positions, x.by_planes() ? kPlaneRun : kRowRun);
}

int up_cuda_cbn_count(const int64_t* camera, int64_t n, int64_t groups, int64_t* images, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const auto queue = static_cast<cudaStream_t>(stream);
    const int64_t blocks = ceil_div(n, kCbnThreads);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    const cudaError_t status = cudaMemsetAsync(images, 0, static_cast<size_t>(groups + 1) * sizeof *images, queue);
    if (status != cudaSuccess) return status;
    UP_LAUNCH(count_kernel, static_cast<unsigned>(blocks), kCbnThreads, 0, queue, camera, n, groups,
              reinterpret_cast<unsigned long long*>(images));
    return cudaGetLastError();
}

int up_cuda_cbn_statistics(Activation<const void> x, Element element, Cameras cameras, Statistics<float> statistics,
                           float* scratch, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const auto queue = static_cast<cudaStream_t>(stream);
    return dispatch(element, x, [&](auto type, auto width, auto rows) -> cudaError_t {
        using T = decltype(type);
        const Runs runs = runs_of(x, width);
        const int64_t blocks = ceil_div(runs.warps(), kMergers), merging = merge_blocks(runs, cameras);
        if (!fits_grid(blocks) || !fits_grid(merging)) return cudaErrorInvalidConfiguration;
        float* part_m2 = scratch + runs.parts * runs.images * runs.channels;
        UP_LAUNCH((moments_kernel<T, width(), rows()>), static_cast<unsigned>(blocks), kCbnThreads, 0, queue,
                  typed<const T>(x), runs, scratch, part_m2);
        const cudaError_t status = cudaGetLastError();
        if (status != cudaSuccess) return status;
        UP_LAUNCH(merge_moments_kernel, static_cast<unsigned>(merging), kCbnThreads, 0, queue, runs, cameras, scratch,
                  part_m2, statistics);
        return cudaGetLastError();
    });
}

int up_cuda_cbn_normalise(Activation<const void> x, Element element, Cameras cameras,
                          Statistics<const float> statistics, const float* weight, const float* bias, float eps,
                          Activation<void> y, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const auto launch = [&](auto type, auto width, auto rows) -> cudaError_t {
        using T = decltype(type);
        const Runs runs = runs_of(x, width);
        const int64_t blocks = ceil_div(runs.warps(), kMergers);
        if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
        UP_LAUNCH((normalise_kernel<T, width(), rows()>), static_cast<unsigned>(blocks), kCbnThreads, 0,
                  static_cast<cudaStream_t>(stream), typed<const T>(x), runs, cameras, statistics, weight, bias, eps,
                  typed<T>(y));
        return cudaGetLastError();
    };
    return dispatch(element, x, launch, y);
}

int up_cuda_cbn_sums(Activation<const void> x, Activation<const void> dy, Element element, Cameras cameras,
                     Statistics<const float> statistics, GradientSums<float> sums, float* scratch, int device,
                     void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const auto queue = static_cast<cudaStream_t>(stream);
    const auto launch = [&](auto type, auto width, auto rows) -> cudaError_t {
        using T = decltype(type);
        const Runs runs = runs_of(x, width);
        const int64_t blocks = ceil_div(runs.warps(), kMergers), merging = merge_blocks(runs, cameras);
        if (!fits_grid(blocks) || !fits_grid(merging)) return cudaErrorInvalidConfiguration;
        float* part_dy_x = scratch + runs.parts * runs.images * runs.channels;
        UP_LAUNCH((sums_kernel<T, width(), rows()>), static_cast<unsigned>(blocks), kCbnThreads, 0, queue,
                  typed<const T>(x), typed<const T>(dy), runs, cameras, statistics.mean, scratch, part_dy_x);
        const cudaError_t status = cudaGetLastError();
        if (status != cudaSuccess) return status;
        UP_LAUNCH(merge_sums_kernel, static_cast<unsigned>(merging), kCbnThreads, 0, queue, runs, cameras, scratch,
                  part_dy_x, sums);
        return cudaGetLastError();
    };
    return dispatch(element, x, launch, dy);
}

int up_cuda_cbn_gradient(Activation<const void> x, Activation<const void> dy, Element element, Cameras cameras,
                         Statistics<const float> statistics, GradientSums<const float> sums, const float* weight,
                         float eps, Activation<void> dx, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const auto launch = [&](auto type, auto width, auto rows) -> cudaError_t {
        using T = decltype(type);
        const Runs runs = runs_of(x, width);
        const int64_t blocks = ceil_div(runs.warps(), kMergers);
        if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
        UP_LAUNCH((gradient_kernel<T, width(), rows()>), static_cast<unsigned>(blocks), kCbnThreads, 0,
                  static_cast<cudaStream_t>(stream), typed<const T>(x), typed<const T>(dy), runs, cameras, statistics,
                  sums, weight, eps, typed<T>(dx));
        return cudaGetLastError();
    };
    return dispatch(element, x, launch, dy, dx);
}

}  // extern "C"
