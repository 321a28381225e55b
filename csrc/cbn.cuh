// The GPU twin of cbn.h. Kernels only; cbn_cuda.cu launches them.
//
// A warp takes a run of one image: positions of one channel (planes), or rows of adjacent channels (rows), V adjacent
// elements a lane and load. What a run adds up to goes to scratch memory [parts, N, C]; a second kernel merges the runs
// in a fixed order, so results do not depend on the schedule.
#pragma once

#include <cstdint>

#include "cbn.h"
#include "half.h"

namespace unrealperson {

constexpr int kCbnWarp = 32, kCbnThreads = 256;
constexpr unsigned kCbnLanes = 0xffffffffu;
constexpr int64_t kPlaneRun = 2048, kRowRun = 64;  // positions of a run
constexpr int kMergers = kCbnThreads / kCbnWarp;   // threads that share the runs of a channel

// How a kernel's warps divide x.
struct Runs {
    int64_t images, channels, positions;
    int64_t run, parts;  // positions of a run, runs of an image
    int columns;         // rows: lanes side by side in a row, a power of two; planes: 0
    int64_t tiles;       // warps side by side: channels, or groups of columns * V channels

    UP_HOST_DEVICE int64_t warps() const { return parts * images * tiles; }
};

// What a lane works on. Lanes without work of their own still take part in their warp's exchanges.
struct LaneRun {
    int64_t part, n, c;
    int64_t begin, end, step;  // positions
    bool inside;

    template <int V, bool kRows>
    __device__ static LaneRun here(const Runs& runs) {
        const int64_t warp = static_cast<int64_t>(blockIdx.x) * (kCbnThreads / kCbnWarp) + threadIdx.x / kCbnWarp;
        const int lane = threadIdx.x % kCbnWarp;
        const int64_t tile = warp % runs.tiles, run = warp / runs.tiles;
        LaneRun own;
        own.part = run / runs.images;
        own.n = run % runs.images;
        own.inside = own.part < runs.parts;
        const int64_t first = own.part * runs.run, limit = first + runs.run;
        own.end = limit < runs.positions ? limit : runs.positions;
        if constexpr (kRows) {
            own.c = (tile * runs.columns + lane % runs.columns) * V;
            own.begin = first + lane / runs.columns;
            own.step = kCbnWarp / runs.columns;
            own.inside = own.inside && own.c < runs.channels;
        } else {
            own.c = tile;
            own.begin = first + lane * V;
            own.step = kCbnWarp * V;
        }
        if (!own.inside) own.end = own.begin;
        return own;
    }

    template <bool kRows, class T>
    __device__ T* at(const Activation<T>& x, int64_t s) const {
        if constexpr (kRows) return x.row(n, s) + c;
        return x.plane(n, c) + s;
    }
};

// V elements in one access of V * sizeof(T) bytes, to which the address is aligned.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
    T element[V];

    __device__ static Pack load(const T* p) { return *reinterpret_cast<const Pack*>(p); }
    __device__ void store(T* p) const { *reinterpret_cast<Pack*>(p) = *this; }
};

struct GpuMoments {
    float count, mean, m2;

    __device__ void merge(float n, float other_mean, float other_m2) {
        const float total = count + n;
        if (total == 0.0f) return;
        const float delta = other_mean - mean, share = n / total;
        mean += delta * share;
        m2 += other_m2 + delta * delta * (count * share);
        count = total;
    }
};

// part_mean, part_m2 [parts, N, C]
template <class T, int V, bool kRows>
__global__ void moments_kernel(Activation<const T> x, Runs runs, float* part_mean, float* part_m2) {
    constexpr int kKept = kRows ? V : 1;  // channels of a lane
    const LaneRun own = LaneRun::here<V, kRows>(runs);
    GpuMoments moments[kKept];
#pragma unroll
    for (int k = 0; k < kKept; ++k) moments[k] = {0.0f, 0.0f, 0.0f};
    for (int64_t s = own.begin; s < own.end; s += own.step) {
        const auto pack = Pack<T, V>::load(own.at<kRows>(x, s));
        if constexpr (kRows) {
            const float share = 1.0f / (moments[0].count + 1.0f);
#pragma unroll
            for (int k = 0; k < V; ++k) {
                const float value = to_float(pack.element[k]), delta = value - moments[k].mean;
                moments[k].mean += delta * share;
                moments[k].m2 += delta * (value - moments[k].mean);
                moments[k].count += 1.0f;
            }
        } else {
            float sum = 0.0f, m2 = 0.0f;
#pragma unroll
            for (int k = 0; k < V; ++k) sum += to_float(pack.element[k]);
            const float mean = sum * (1.0f / V);
#pragma unroll
            for (int k = 0; k < V; ++k) {
                const float d = to_float(pack.element[k]) - mean;
                m2 += d * d;
            }
            moments[0].merge(V, mean, m2);
        }
    }
    const int lanes = kRows ? runs.columns : 1;
    for (int step = kCbnWarp / 2; step >= lanes; step /= 2)
#pragma unroll
        for (int k = 0; k < kKept; ++k) {
            const float count = __shfl_xor_sync(kCbnLanes, moments[k].count, step);
            const float mean = __shfl_xor_sync(kCbnLanes, moments[k].mean, step);
            const float m2 = __shfl_xor_sync(kCbnLanes, moments[k].m2, step);
            moments[k].merge(count, mean, m2);
        }
    if (!own.inside || static_cast<int>(threadIdx.x % kCbnWarp) >= lanes) return;
    const int64_t place = (own.part * runs.images + own.n) * runs.channels + own.c;
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
        part_mean[place + k] = moments[k].mean;
        part_m2[place + k] = moments[k].m2;
    }
}

// part_dy, part_dy_x [parts, N, C]: sums of dy and of dy * (x - mean).
template <class T, int V, bool kRows>
__global__ void sums_kernel(Activation<const T> x, Activation<const T> dy, Runs runs, Cameras cameras,
                            const float* mean, float* part_dy, float* part_dy_x) {
    constexpr int kKept = kRows ? V : 1;
    const LaneRun own = LaneRun::here<V, kRows>(runs);
    float center[kKept], sum[kKept], sum_x[kKept];
    const int64_t row = own.inside ? cameras.row(own.n) * runs.channels + own.c : 0;
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
        center[k] = own.inside ? mean[row + k] : 0.0f;
        sum[k] = sum_x[k] = 0.0f;
    }
    for (int64_t s = own.begin; s < own.end; s += own.step) {
        const auto value = Pack<T, V>::load(own.at<kRows>(x, s)), grad = Pack<T, V>::load(own.at<kRows>(dy, s));
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const float g = to_float(grad.element[k]);
            sum[kRows ? k : 0] += g;
            sum_x[kRows ? k : 0] += g * (to_float(value.element[k]) - center[kRows ? k : 0]);
        }
    }
    const int lanes = kRows ? runs.columns : 1;
    for (int step = kCbnWarp / 2; step >= lanes; step /= 2)
#pragma unroll
        for (int k = 0; k < kKept; ++k) {
            sum[k] += __shfl_xor_sync(kCbnLanes, sum[k], step);
            sum_x[k] += __shfl_xor_sync(kCbnLanes, sum_x[k], step);
        }
    if (!own.inside || static_cast<int>(threadIdx.x % kCbnWarp) >= lanes) return;
    const int64_t place = (own.part * runs.images + own.n) * runs.channels + own.c;
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
        part_dy[place + k] = sum[k];
        part_dy_x[place + k] = sum_x[k];
    }
}

template <class T, int V, bool kRows>
__global__ void normalise_kernel(Activation<const T> x, Runs runs, Cameras cameras, Statistics<const float> statistics,
                                 const float* weight, const float* bias, float eps, Activation<T> y) {
    constexpr int kKept = kRows ? V : 1;
    const LaneRun own = LaneRun::here<V, kRows>(runs);
    if (!own.inside) return;
    const int64_t row = cameras.row(own.n) * runs.channels + own.c;
    float center[kKept], scale[kKept], shift[kKept];
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
        center[k] = statistics.mean[row + k];
        scale[k] = row_scale(statistics.var[row + k], weight[own.c + k], eps);
        shift[k] = bias[own.c + k];
    }
    for (int64_t s = own.begin; s < own.end; s += own.step) {
        const auto value = Pack<T, V>::load(own.at<kRows>(x, s));
        Pack<T, V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const int j = kRows ? k : 0;
            out.element[k] = from_float<T>((to_float(value.element[k]) - center[j]) * scale[j] + shift[j]);
        }
        out.store(own.at<kRows>(y, s));
    }
}

template <class T, int V, bool kRows>
__global__ void gradient_kernel(Activation<const T> x, Activation<const T> dy, Runs runs, Cameras cameras,
                                Statistics<const float> statistics, GradientSums<const float> sums, const float* weight,
                                float eps, Activation<T> dx) {
    constexpr int kKept = kRows ? V : 1;
    const LaneRun own = LaneRun::here<V, kRows>(runs);
    if (!own.inside) return;
    const int64_t e = cameras.row(own.n);
    float center[kKept];
    GradientTerms<float> terms[kKept];
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
        center[k] = statistics.mean[e * runs.channels + own.c + k];
        terms[k] = gradient_terms(cameras, statistics, sums, runs.positions, weight[own.c + k], eps, e, own.c + k);
    }
    for (int64_t s = own.begin; s < own.end; s += own.step) {
        const auto value = Pack<T, V>::load(own.at<kRows>(x, s)), grad = Pack<T, V>::load(own.at<kRows>(dy, s));
        Pack<T, V> out;
#pragma unroll
        for (int k = 0; k < V; ++k) {
            const int j = kRows ? k : 0;
            out.element[k] = from_float<T>(terms[j].dy * to_float(grad.element[k]) +
                                           (terms[j].x * (to_float(value.element[k]) - center[j]) + terms[j].one));
        }
        out.store(own.at<kRows>(dx, s));
    }
}

// One block: 32 channels of one row of the tables; its warps share the images.
__global__ void merge_moments_kernel(Runs runs, Cameras cameras, const float* part_mean, const float* part_m2,
                                     Statistics<float> statistics) {
    __shared__ GpuMoments merged[kMergers][kCbnWarp];
    const int64_t blocks = (runs.channels + kCbnWarp - 1) / kCbnWarp;
    const int64_t e = blockIdx.x / blocks;
    const int lane = threadIdx.x % kCbnWarp, warp = threadIdx.x / kCbnWarp;
    const int64_t c = blockIdx.x % blocks * kCbnWarp + lane;
    GpuMoments moments{0.0f, 0.0f, 0.0f};
    for (int64_t n = warp; n < runs.images && c < runs.channels; n += kMergers) {
        if (e != cameras.groups && cameras.camera[n] != e) continue;
        for (int64_t part = 0; part < runs.parts; ++part) {
            const int64_t rest = runs.positions - part * runs.run;
            const int64_t place = (part * runs.images + n) * runs.channels + c;
            moments.merge(static_cast<float>(rest < runs.run ? rest : runs.run), part_mean[place], part_m2[place]);
        }
    }
    merged[warp][lane] = moments;
    __syncthreads();
    if (warp != 0 || c >= runs.channels) return;
    for (int i = 1; i < kMergers; ++i) moments.merge(merged[i][lane].count, merged[i][lane].mean, merged[i][lane].m2);
    statistics.mean[e * runs.channels + c] = moments.mean;
    statistics.var[e * runs.channels + c] = moments.count > 0.0f ? moments.m2 / moments.count : 0.0f;
}

__global__ void merge_sums_kernel(Runs runs, Cameras cameras, const float* part_dy, const float* part_dy_x,
                                  GradientSums<float> sums) {
    __shared__ float merged[2][kMergers][kCbnWarp];
    const int64_t blocks = (runs.channels + kCbnWarp - 1) / kCbnWarp;
    const int64_t e = blockIdx.x / blocks;
    const int lane = threadIdx.x % kCbnWarp, warp = threadIdx.x / kCbnWarp;
    const int64_t c = blockIdx.x % blocks * kCbnWarp + lane;
    float sum = 0.0f, sum_x = 0.0f;
    for (int64_t n = warp; n < runs.images && c < runs.channels; n += kMergers) {
        if (cameras.row(n) != e) continue;
        for (int64_t part = 0; part < runs.parts; ++part) {
            const int64_t place = (part * runs.images + n) * runs.channels + c;
            sum += part_dy[place];
            sum_x += part_dy_x[place];
        }
    }
    merged[0][warp][lane] = sum;
    merged[1][warp][lane] = sum_x;
    __syncthreads();
    if (warp != 0 || c >= runs.channels) return;
    for (int i = 1; i < kMergers; ++i) {
        sum += merged[0][i][lane];
        sum_x += merged[1][i][lane];
    }
    sums.dy[e * runs.channels + c] = sum;
    sums.dy_x[e * runs.channels + c] = sum_x;
}

// images [groups + 1] starts as zeros.
__global__ void count_kernel(const int64_t* camera, int64_t n, int64_t groups, unsigned long long* images) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kCbnThreads + threadIdx.x;
    if (i >= n) return;
    const int64_t own = camera[i];
    if (own >= 0 && own < groups) atomicAdd(images + own, 1ull);
    if (i == 0) images[groups] = static_cast<unsigned long long>(n);
}

}  // namespace unrealperson
