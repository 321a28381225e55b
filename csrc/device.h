// CUDA devices as the host sees them; defined in device_cuda.cu, where the build has CUDA.
#pragma once

#include <stdexcept>
#include <string>

extern "C" {
int up_cuda_device_count();
const char* up_cuda_error_string(int status);
}

namespace unrealperson {

// Throws where a launcher's status, a cudaError_t, is not success.
inline void check_cuda(int status, const char* what) {
    if (status != 0) throw std::runtime_error(std::string(what) + ": " + up_cuda_error_string(status));
}

}  // namespace unrealperson
