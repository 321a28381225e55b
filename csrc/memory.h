// How large outputs are written: once, and long before anyone reads them.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#    include <emmintrin.h>
#endif
#if defined(__linux__)
#    include <sys/mman.h>
#endif

namespace unrealperson {

constexpr int64_t kHugeBytes = int64_t{4} << 20;
constexpr int64_t kStreamedBytes = int64_t{32} << 20;

// Asks for large pages behind an output that has yet to be touched: each saves 511 page faults, which otherwise take
// longer than the writing itself.
inline void prefer_huge_pages(void* begin, int64_t bytes) {
#if defined(__linux__)
    if (bytes < kHugeBytes) return;
    constexpr uintptr_t page = 4096;
    const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(begin) + static_cast<uintptr_t>(bytes)) / page * page;
    if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
    (void)begin, (void)bytes;
#endif
}

// Writes past the cache, to a place that is a multiple of 16 bytes; end_stream() makes it visible to other threads.
inline __attribute__((always_inline)) void stream(void* to, const void* from, size_t bytes) {
#if defined(__x86_64__)
    for (size_t i = 0; i < bytes / 16; ++i)
        _mm_stream_si128(static_cast<__m128i*>(to) + i, _mm_load_si128(static_cast<const __m128i*>(from) + i));
#else
    std::memcpy(to, from, bytes);
#endif
}

inline bool can_stream(const void* to) { return reinterpret_cast<uintptr_t>(to) % 16 == 0; }

inline void end_stream() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

}  // namespace unrealperson
