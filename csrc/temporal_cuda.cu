#include "launch.h"
#include "temporal.cuh"

using namespace unrealperson;

namespace {

bool wide_rows(const float* data, int64_t stride) {
    return reinterpret_cast<uintptr_t>(data) % sizeof(float4) == 0 && stride % kPerThread == 0;
}

}  // namespace

extern "C" {

int64_t up_cuda_joint_topk_limit() { return kListLength; }

int up_cuda_sightings(const int64_t* camera, const int64_t* frame, int64_t n, int64_t cameras, int64_t bin_frames,
                      int64_t* slot, int32_t* place, int64_t* bad_row, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(n, kJointThreads);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    UP_LAUNCH(sightings_kernel, static_cast<unsigned>(blocks), kJointThreads, 0, static_cast<cudaStream_t>(stream),
              camera, frame, n, cameras, bin_frames, slot, place, reinterpret_cast<unsigned long long*>(bad_row));
    return cudaGetLastError();
}

int up_cuda_joint_distances(Matrix<const float> similarity, Sightings query, Sightings gallery, TemporalTable table,
                            Fusion fusion, bool keys, Matrix<float> out, int64_t* bad_row, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(similarity.rows, kRowsPerBlock) *
                           ceil_div(similarity.cols, static_cast<int64_t>(kJointThreads) * kPerThread);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    const bool wide = wide_rows(similarity.data, similarity.stride) && wide_rows(out.data, out.stride);
    const auto kernel = wide ? joint_distances_kernel<true> : joint_distances_kernel<false>;
    UP_LAUNCH(kernel, static_cast<unsigned>(blocks), kJointThreads, 0, static_cast<cudaStream_t>(stream), similarity,
              query, gallery, table, fusion, keys, out, reinterpret_cast<unsigned long long*>(bad_row));
    return cudaGetLastError();
}

int up_cuda_joint_topk(Matrix<const float> similarity, Sightings query, Sightings gallery, TemporalTable table,
                       Fusion fusion, int64_t first, bool fresh, int64_t k, float* keys, int64_t* indices,
                       int64_t* bad_row, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(similarity.rows, kJointThreads / kJointWarp);
    if (!fits_grid(blocks) || k < 1 || k > kListLength) return cudaErrorInvalidConfiguration;
    UP_LAUNCH(joint_topk_kernel, static_cast<unsigned>(blocks), kJointThreads, 0, static_cast<cudaStream_t>(stream),
              similarity, query, gallery, table, fusion, first, fresh, static_cast<int>(k), keys, indices,
              reinterpret_cast<unsigned long long*>(bad_row));
    return cudaGetLastError();
}

}  // extern "C"
