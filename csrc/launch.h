// What every launcher (*_cuda.cu) needs. Kernels (*.cuh) hold no launch syntax, so a host compiler takes them as well.
#pragma once

#include <cstdint>

#if defined(UP_HOST_SIM)
#    include "host_sim/cuda.h"
#else
#    include <cuda_runtime.h>
// A kernel with template arguments goes in parentheses: UP_LAUNCH((kernel<float, 4>), blocks, threads, 0, queue, x).
#    define UP_LAUNCH(kernel, blocks, threads, shared_bytes, queue, ...) \
        (kernel)<<<(blocks), (threads), (shared_bytes), (queue)>>>(__VA_ARGS__)
// Shared memory whose size the launch gives.
#    define UP_DYNAMIC_SHARED(T, name)                                \
        extern __shared__ __align__(16) unsigned char name##_bytes[]; \
        T* name = reinterpret_cast<T*>(name##_bytes)
#endif

namespace unrealperson {

// The caller's device while a launch runs; the one that was current comes back.
class OnDevice {
  public:
    explicit OnDevice(int device) {
        status_ = cudaGetDevice(&before_);
        if (status_ == cudaSuccess) status_ = cudaSetDevice(device);
    }
    ~OnDevice() {
        if (status_ == cudaSuccess) cudaSetDevice(before_);
    }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;
    cudaError_t status() const { return status_; }

  private:
    int before_ = 0;
    cudaError_t status_;
};

constexpr int64_t ceil_div(int64_t n, int64_t size) { return (n + size - 1) / size; }

constexpr bool fits_grid(int64_t blocks) { return blocks >= 1 && blocks <= INT32_MAX; }

}  // namespace unrealperson
