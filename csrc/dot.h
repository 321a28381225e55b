// The float32 product of two rows that every path of an operation shares, so that they agree to the bit.
#pragma once

#include <cstring>

#include "simd.h"

namespace unrealperson {

// Two sets of 16 partial sums, then a fixed tree.
UP_INLINE float dot_body(const float* a, const float* b, int64_t n) {
    Lanes even{}, odd{};
    int64_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        even += lanes(a + i) * lanes(b + i);
        odd += lanes(a + i + kLanes) * lanes(b + i + kLanes);
    }
    if (i + kLanes <= n) {
        even += lanes(a + i) * lanes(b + i);
        i += kLanes;
    }
    if (i < n) {
        Lanes tail_a{}, tail_b{};
        std::memcpy(&tail_a, a + i, (n - i) * sizeof(float));
        std::memcpy(&tail_b, b + i, (n - i) * sizeof(float));
        odd += tail_a * tail_b;
    }
    even += odd;
    float sum[kLanes];
    std::memcpy(sum, &even, sizeof sum);
    for (int half = kLanes / 2; half > 0; half /= 2)
        for (int j = 0; j < half; ++j) sum[j] += sum[j + half];
    return sum[0];
}

}  // namespace unrealperson
