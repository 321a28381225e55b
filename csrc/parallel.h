// Splits a range over OpenMP threads.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(_OPENMP)
#    include <omp.h>
#    include <pthread.h>
#endif

namespace unrealperson {

// Threads that a call may use: `requested`, or OpenMP's own choice when it is 0.
inline int usable_threads(int requested) {
#if defined(_OPENMP)
    // GNU OpenMP hangs in a forked child whose parent has already started its threads.
    static bool forked = false;
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
    if (forked || registered != 0) return 1;
    return requested > 0 ? requested : omp_get_max_threads();
#else
    (void)requested;
    return 1;
#endif
}

// Calls body(begin, end) on disjoint parts of [0, n), none but the last shorter than `grain`. `body` must not throw.
template <class Body>
void parallel_for(int64_t n, int64_t grain, int threads, const Body& body) {
    if (n <= 0) return;
    const int64_t parts = std::min<int64_t>(usable_threads(threads), (n + grain - 1) / grain);
    if (parts <= 1) return body(int64_t{0}, n);
    const int64_t length = (n + parts - 1) / parts;
#if defined(_OPENMP)
#    pragma omp parallel for num_threads(static_cast<int>(parts)) schedule(static, 1)
#endif
    for (int64_t part = 0; part < parts; ++part) {
        const int64_t begin = part * length, end = std::min(n, begin + length);
        if (begin < end) body(begin, end);
    }
}

}  // namespace unrealperson
