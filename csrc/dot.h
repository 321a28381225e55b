// The float32 product of two rows that every path of an operation shares, so that they agree to the bit.
#pragma once

#include <cstring>

#include "simd.h"

namespace unrealperson {

// Halves added to halves, until one element is left.
UP_INLINE float tree_sum(const Lanes& x) {
    typedef float Eight __attribute__((vector_size(32)));
    typedef float Four __attribute__((vector_size(16)));
    const Eight eight = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    const Four four =
        __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

// out[i] = a[i] . b, each in two sets of 16 partial sums and a fixed tree, whatever their number.
template <int count>
UP_INLINE void dots_body(const float* const* a, const float* b, int64_t n, float* out) {
    Lanes even[count] = {}, odd[count] = {};
    int64_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        const Lanes b_even = lanes(b + i), b_odd = lanes(b + i + kLanes);
#pragma GCC unroll 4
        for (int r = 0; r < count; ++r) {
            even[r] += lanes(a[r] + i) * b_even;
            odd[r] += lanes(a[r] + i + kLanes) * b_odd;
        }
    }
    if (i + kLanes <= n) {
#pragma GCC unroll 4
        for (int r = 0; r < count; ++r) even[r] += lanes(a[r] + i) * lanes(b + i);
        i += kLanes;
    }
    if (i < n) {
        Lanes tail_b{};
        std::memcpy(&tail_b, b + i, (n - i) * sizeof(float));
#pragma GCC unroll 4
        for (int r = 0; r < count; ++r) {
            Lanes tail_a{};
            std::memcpy(&tail_a, a[r] + i, (n - i) * sizeof(float));
            odd[r] += tail_a * tail_b;
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < count; ++r) out[r] = tree_sum(even[r] + odd[r]);
}

UP_INLINE float dot_body(const float* a, const float* b, int64_t n) {
    float product;
    dots_body<1>(&a, b, n, &product);
    return product;
}

}  // namespace unrealperson
