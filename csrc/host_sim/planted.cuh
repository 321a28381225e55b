// Kernels with one mistake each and, where Broken is false, their correct twins: what the simulator and its checker
// must tell apart. Every one runs on two warps a block and leaves something in out [threads of the grid]. Where a race
// is the mistake, the memory was written before: the race alone is left to find.
#pragma once

#include <cstdint>

#include "launch.h"

namespace unrealperson::planted {

constexpr int kThreads = 64;
constexpr unsigned kAllLanes = 0xffffffffu, kLowLanes = 0x0000ffffu;

__device__ inline int my_place() { return static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x); }

template <bool Broken>
__global__ void missing_barrier(float* out) {
    __shared__ float s[kThreads];
    s[threadIdx.x] = 0.5f;
    __syncthreads();
    s[threadIdx.x] = 1.0f;
    if (!Broken) __syncthreads();
    out[my_place()] = s[(threadIdx.x + 32) % kThreads];
}

template <bool Broken>
__global__ void missing_barrier_before_reuse(float* out) {
    __shared__ float s[kThreads];
    for (int round = 0; round < 3; ++round) {
        s[threadIdx.x] = static_cast<float>(round);
        __syncthreads();
        out[my_place()] = s[(threadIdx.x + 32) % kThreads];
        if (!Broken) __syncthreads();
    }
}

template <bool Broken>
__global__ void missing_syncwarp(float* out) {
    __shared__ float s[kThreads];
    s[threadIdx.x] = 0.5f;
    __syncthreads();
    s[threadIdx.x] = 1.0f;
    if (!Broken) __syncwarp();
    out[my_place()] = s[threadIdx.x ^ 1];
}

template <bool Broken>
__global__ void missing_syncwarp_before_write(float* out) {
    __shared__ float s[kThreads];
    s[threadIdx.x] = 1.0f;
    __syncwarp();
    const float neighbour = s[threadIdx.x ^ 1];
    if (!Broken) __syncwarp();
    s[threadIdx.x] = neighbour + 1.0f;
    __syncwarp();
    out[my_place()] = s[threadIdx.x ^ 1];
}

template <bool Broken>
__global__ void shuffle_for_order(float* out) {
    __shared__ float s[kThreads];
    s[threadIdx.x] = 0.5f;
    __syncthreads();
    s[threadIdx.x] = 1.0f;
    if (Broken)
        __shfl_sync(kAllLanes, 0, 0);
    else
        __syncwarp();
    out[my_place()] = s[threadIdx.x ^ 1];
}

template <bool Broken>
__global__ void order_beyond_the_mask(float* out) {
    __shared__ float s[kThreads];
    s[threadIdx.x] = 0.5f;
    __syncthreads();
    s[threadIdx.x] = 1.0f;
    __syncwarp(threadIdx.x % 32 < 16 ? kLowLanes : ~kLowLanes);
    out[my_place()] = s[threadIdx.x ^ (Broken ? 16 : 1)];
}

template <bool Broken>
__global__ void shared_byte(float* out) {
    __shared__ char s[kThreads];
    s[Broken ? threadIdx.x / 2 : threadIdx.x] = 1;
    __syncthreads();
    out[my_place()] = s[threadIdx.x / 2];
}

template <bool Broken>
__global__ void grid_race(float* out) {
    if (threadIdx.x == 0) out[Broken ? 0 : blockIdx.x] = 1.0f;
}

template <bool Broken>
__global__ void plain_counter(float* out) {
    if (Broken)
        *out += 1.0f;
    else
        atomicAdd(out, 1.0f);
}

// The block that comes last adds what the others left.
template <bool Broken>
__global__ void missing_fence(float* out) {
    __shared__ bool last;
    out[my_place()] = 1.0f;
    if (!Broken) __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        auto* tickets = reinterpret_cast<unsigned*>(out + kThreads * gridDim.x);
        __threadfence();
        last = atomicAdd(tickets, 1u) == gridDim.x - 1;
        if (!Broken) __threadfence();
    }
    __syncthreads();
    if (!last || threadIdx.x != 0) return;
    float sum = 0.0f;
    for (unsigned i = 0; i < kThreads * gridDim.x; ++i) sum += out[i];
    out[0] = sum;
}

template <bool Broken>
__global__ void divergent_barrier(float* out) {
    if (Broken && threadIdx.x % 2 == 1)
        __syncthreads();
    else
        __syncthreads();
    out[my_place()] = 1.0f;
}

template <bool Broken>
__global__ void early_exit(float* out) {
    if (Broken && threadIdx.x >= 40) return;
    __syncthreads();
    out[my_place()] = 1.0f;
}

template <bool Broken>
__global__ void mask_of_absent_lanes(float* out) {
    if (threadIdx.x % 32 >= 16) return;
    out[my_place()] = __shfl_sync(Broken ? kAllLanes : kLowLanes, 1.0f, 0);
}

template <bool Broken>
__global__ void mask_without_self(float* out) {
    out[my_place()] = __shfl_sync(Broken ? kAllLanes - 1 : kAllLanes, 1.0f, 1);
}

template <bool Broken>
__global__ void divergent_shuffle(float* out) {
    float one;
    if (Broken && threadIdx.x % 2 == 1)
        one = __shfl_sync(kAllLanes, 1.0f, 0);
    else
        one = __shfl_sync(kAllLanes, 1.0f, 1);
    out[my_place()] = one;
}

template <bool Broken>
__global__ void inactive_source(float* out) {
    out[my_place()] = 1.0f;
    if (threadIdx.x < 16) out[my_place()] = __shfl_sync(kLowLanes, 1.0f, Broken ? 20 : 3);
}

template <bool Broken>
__global__ void deadlock(float* out) {
    if (Broken && threadIdx.x < 16)
        __syncwarp();
    else
        __syncthreads();
    if (!Broken) __syncwarp();
    out[my_place()] = 1.0f;
}

template <bool Broken>
__global__ void unwritten_static(float* out) {
    __shared__ float s[kThreads];
    if (!Broken || threadIdx.x < 40) s[threadIdx.x] = 1.0f;
    __syncthreads();
    out[my_place()] = s[threadIdx.x];
}

template <bool Broken>
__global__ void unwritten_dynamic(float* out) {
    UP_DYNAMIC_SHARED(float, s);
    if (!Broken || threadIdx.x < 40) s[threadIdx.x] = 1.0f;
    __syncthreads();
    out[my_place()] = s[threadIdx.x];
}

template <bool Broken>
__global__ void unwritten_output(float* out) {
    if (!Broken) out[my_place()] = 0.5f;
    out[my_place()] += 0.5f;
}

template <bool Broken>
__global__ void write_beyond(float* out) {
    if (my_place() == 0) out[Broken ? (kThreads + 1) * gridDim.x : 0] = 1.0f;
}

template <bool Broken>
__global__ void read_before(float* out) {
    out[my_place()] = 1.0f;
    if (Broken && my_place() == 0) out[0] = out[-1];
}

template <bool Broken>
__global__ void beyond_dynamic(float* out) {
    UP_DYNAMIC_SHARED(float, s);
    s[threadIdx.x + (Broken ? 1 : 0)] = 1.0f;
    __syncwarp();
    out[my_place()] = s[threadIdx.x];
}

template <bool Broken>
__global__ void beyond_static(float* out) {
    __shared__ float s[kThreads];
    s[threadIdx.x] = 1.0f;
    __syncthreads();
    out[my_place()] = s[(threadIdx.x + 1) % (Broken ? kThreads + 1 : kThreads)];
}

template <bool Broken>
__global__ void misaligned_vector(float* out) {
    out[my_place()] = 1.0f;
    __syncthreads();
    if (threadIdx.x % 4 != 0 || my_place() > 8) return;
    const float4 four = *reinterpret_cast<const float4*>(out + my_place() + (Broken ? 1 : 0));
    out[my_place()] = four.w;
}

template <bool Broken>
__global__ void long_shift(float* out) {
    const int bits = static_cast<int>(threadIdx.x % 32) + (Broken ? 1 : 0);
    out[my_place()] = (kAllLanes >> bits) != 0 ? 1.0f : 2.0f;
}

template <bool Broken>
__global__ void large_static(float* out) {
    constexpr int kFloats = Broken ? (48 << 10) / 4 + 1 : kThreads;
    __shared__ float s[kFloats];
    for (int i = threadIdx.x; i < kFloats; i += kThreads) s[i] = 1.0f;
    out[my_place()] = s[threadIdx.x];
}

}  // namespace unrealperson::planted
