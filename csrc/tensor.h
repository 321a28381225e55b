// Views of the caller's memory: this side allocates nothing that it returns.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#    define UP_HOST_DEVICE __host__ __device__
#else
#    define UP_HOST_DEVICE
#endif

namespace unrealperson {

// Row-major [rows, cols]; a row's elements are adjacent, rows lie `stride` elements apart.
template <class T>
struct Matrix {
    T* data;
    int64_t rows, cols, stride;

    UP_HOST_DEVICE T* row(int64_t i) const { return data + i * stride; }
};

// Storage of the two 16-bit floats; arithmetic happens in float32.
struct Float16 {
    uint16_t bits;
};
struct BFloat16 {
    uint16_t bits;
};

}  // namespace unrealperson
