// CUDA's names for a host compiler: kernels and launchers compile against this header unchanged, and run simulated.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "monitor.h"
#include "runtime.h"
#include "simulator.h"
#include "vector_types.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#ifndef __restrict__
#    define __restrict__ __restrict
#endif
// One block runs at a time. Thread-local, because a library has a segment of its own for such objects: that is how the
// simulator finds all shared memory, to fill it with NaN, and the checker tells it from the rest.
#define __shared__ static thread_local
#define UP_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::unrealperson::sim::dynamic_shared())
#define UP_LAUNCH(kernel, blocks, threads, shared_bytes, queue, ...) \
    (static_cast<void>(queue),                                       \
     ::unrealperson::sim::launch((kernel), #kernel, (blocks), (threads), (shared_bytes), __VA_ARGS__))

#define threadIdx (::unrealperson::sim::here.thread)
#define blockIdx (::unrealperson::sim::here.block)
#define blockDim (::unrealperson::sim::here.block_size)
#define gridDim (::unrealperson::sim::here.grid_size)
inline constexpr int warpSize = 32;

// Default arguments see the line of the call.
#define UP_SIM_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace unrealperson::sim {

template <class T>
uint64_t to_bits(T value) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "a warp exchanges values of up to 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    return bits;
}

template <class To>
To from_bits(uint64_t bits) {
    To value;
    std::memcpy(&value, &bits, sizeof(To));
    return value;
}

template <class To, class From>
To bit_cast(From value) {
    static_assert(sizeof(To) == sizeof(From));
    return from_bits<To>(to_bits(value));
}

// A lane whose source would lie outside of its segment of `width` lanes keeps its own value.
template <class T>
T shuffle(unsigned mask, T value, unsigned source, bool inside, int width, Site site) {
    if (width < 1 || width > 32 || (width & (width - 1)) != 0) fail_at("bad width of a shuffle", site);
    return from_bits<T>(warp_collective({Collective::shuffle, mask, to_bits(value), inside ? source : lane(), site}));
}

inline unsigned segment_begin(int width) { return lane() & ~static_cast<unsigned>(width - 1); }

// The hook sees the access as atomic; uninstrumented, so that it is not seen as a plain one as well.
template <class T, class Change>
__attribute__((no_sanitize("thread"))) T update(T* address, Site site, Change change) {
    if (reinterpret_cast<uintptr_t>(address) % sizeof(T) != 0) fail_at("misaligned access", site);
    monitor::atomic_access(address, sizeof(T), __builtin_return_address(0));
    const T before = *address;
    *address = change(before);
    return before;
}

template <class T>
using Same = std::common_type_t<T>;  // not deduced: an int literal serves an atomic on unsigned

}  // namespace unrealperson::sim

inline void __syncthreads(UP_SIM_SITE) {
    unrealperson::sim::block_barrier(unrealperson::sim::Vote::none, false, {file, line});
}
inline int __syncthreads_count(int predicate, UP_SIM_SITE) {
    return unrealperson::sim::block_barrier(unrealperson::sim::Vote::count, predicate != 0, {file, line});
}
inline int __syncthreads_and(int predicate, UP_SIM_SITE) {
    return unrealperson::sim::block_barrier(unrealperson::sim::Vote::all, predicate != 0, {file, line});
}
inline int __syncthreads_or(int predicate, UP_SIM_SITE) {
    return unrealperson::sim::block_barrier(unrealperson::sim::Vote::any, predicate != 0, {file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, UP_SIM_SITE) {
    unrealperson::sim::warp_collective({unrealperson::sim::Collective::sync, mask, 0, 0, {file, line}});
}
inline void __threadfence() { unrealperson::sim::monitor::fence(); }
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, UP_SIM_SITE) {
    const unsigned from = unrealperson::sim::segment_begin(width) | (static_cast<unsigned>(source) & (width - 1));
    return unrealperson::sim::shuffle(mask, value, from, true, width, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned step, int width = 32, UP_SIM_SITE) {
    const unsigned lane = unrealperson::sim::lane(), begin = unrealperson::sim::segment_begin(width);
    return unrealperson::sim::shuffle(mask, value, lane - step, lane >= begin + step, width, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned step, int width = 32, UP_SIM_SITE) {
    const unsigned from = unrealperson::sim::lane() + step, end = unrealperson::sim::segment_begin(width) + width;
    return unrealperson::sim::shuffle(mask, value, from, from < end, width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int flipped, int width = 32, UP_SIM_SITE) {
    const unsigned from = unrealperson::sim::lane() ^ static_cast<unsigned>(flipped);
    const unsigned end = unrealperson::sim::segment_begin(width) + width;
    return unrealperson::sim::shuffle(mask, value, from, from < end, width, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, UP_SIM_SITE) {
    const uint64_t vote = predicate != 0;
    return static_cast<unsigned>(
        unrealperson::sim::warp_collective({unrealperson::sim::Collective::ballot, mask, vote, 0, {file, line}}));
}
inline int __any_sync(unsigned mask, int predicate, UP_SIM_SITE) {
    return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, UP_SIM_SITE) {
    return __ballot_sync(mask, predicate == 0, file, line) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, UP_SIM_SITE) {
    return static_cast<unsigned>(unrealperson::sim::warp_collective(
        {unrealperson::sim::Collective::match, mask, unrealperson::sim::to_bits(value), 0, {file, line}}));
}

#define UP_SIM_ATOMIC(name, becomes)                                                                         \
    template <class T>                                                                                       \
    __forceinline__ T atomic##name(T* address, unrealperson::sim::Same<T> value, UP_SIM_SITE) {              \
        return unrealperson::sim::update(address, {file, line}, [value](T before) -> T { return becomes; }); \
    }
UP_SIM_ATOMIC(Add, static_cast<T>(before + value))
UP_SIM_ATOMIC(Sub, static_cast<T>(before - value))
UP_SIM_ATOMIC(Min, value < before ? value : before)
UP_SIM_ATOMIC(Max, before < value ? value : before)
UP_SIM_ATOMIC(And, before& value)
UP_SIM_ATOMIC(Or, before | value)
UP_SIM_ATOMIC(Xor, before ^ value)
UP_SIM_ATOMIC(Exch, (static_cast<void>(before), value))
UP_SIM_ATOMIC(Inc, before >= value ? T{0} : before + 1)
#undef UP_SIM_ATOMIC
template <class T>
__forceinline__ T atomicCAS(T* address, unrealperson::sim::Same<T> expected, unrealperson::sim::Same<T> value,
                            UP_SIM_SITE) {
    return unrealperson::sim::update(address, {file, line},
                                     [=](T before) -> T { return before == expected ? value : before; });
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline int __clzll(long long bits) { return bits == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(bits)); }
inline unsigned __brev(unsigned bits) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; ++i) reversed |= (bits >> i & 1u) << (31 - i);
    return reversed;
}
inline unsigned __float_as_uint(float value) { return unrealperson::sim::bit_cast<unsigned>(value); }
inline int __float_as_int(float value) { return unrealperson::sim::bit_cast<int>(value); }
inline float __uint_as_float(unsigned bits) { return unrealperson::sim::bit_cast<float>(bits); }
inline float __int_as_float(int bits) { return unrealperson::sim::bit_cast<float>(bits); }
inline long long __double_as_longlong(double value) { return unrealperson::sim::bit_cast<long long>(value); }
inline double __longlong_as_double(long long bits) { return unrealperson::sim::bit_cast<double>(bits); }

template <class T>
__forceinline__ T __ldg(const T* address) {
    return *address;
}
template <class T>
__forceinline__ T __ldcs(const T* address) {
    return *address;
}
template <class T>
__forceinline__ void __stcs(T* address, T value) {
    *address = value;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline int __dp4a(int a, int b, int sum) {
    for (int shift = 0; shift < 32; shift += 8)
        sum += static_cast<int8_t>(a >> shift) * static_cast<int8_t>(b >> shift);
    return sum;
}

#define UP_SIM_MIN_MAX(T)                            \
    inline T min(T a, T b) { return b < a ? b : a; } \
    inline T max(T a, T b) { return a < b ? b : a; }
UP_SIM_MIN_MAX(int)
UP_SIM_MIN_MAX(unsigned)
UP_SIM_MIN_MAX(long)
UP_SIM_MIN_MAX(unsigned long)
UP_SIM_MIN_MAX(long long)
UP_SIM_MIN_MAX(unsigned long long)
#undef UP_SIM_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }  // a number goes before NaN, as on a device
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
using std::isfinite;
using std::isinf;
using std::isnan;
