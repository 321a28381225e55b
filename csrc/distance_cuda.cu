#include "distance.cuh"
#include "launch.h"

using namespace unrealperson;

extern "C" {

int64_t up_cuda_topk_limit() { return kTopkLimit; }

int64_t up_cuda_select_limit() { return kSelectLimit; }

int up_cuda_row_norms(Matrix<const float> x, float* norm2, int64_t* bad_row, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const auto queue = static_cast<cudaStream_t>(stream);
    const int64_t blocks = ceil_div(x.rows, kThreads / kWarp);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    const cudaError_t status = cudaMemsetAsync(bad_row, 0xff, sizeof *bad_row, queue);
    if (status != cudaSuccess) return status;
    UP_LAUNCH(row_norms_kernel, static_cast<unsigned>(blocks), kThreads, 0, queue, x, norm2,
              reinterpret_cast<unsigned long long*>(bad_row));
    return cudaGetLastError();
}

int up_cuda_distance_matrix(Matrix<const float> q, Matrix<const float> g, const float* query_norm2,
                            const float* gallery_norm2, Matrix<float> out, int metric, bool keys, int device,
                            void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(q.rows, MatrixTile::kQueries) * ceil_div(g.rows, MatrixTile::kGallery);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    UP_LAUNCH(distance_matrix_kernel, static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream), q,
              g, query_norm2, gallery_norm2, out, static_cast<Metric>(metric), keys);
    return cudaGetLastError();
}

int up_cuda_distance_topk(Matrix<const float> q, Matrix<const float> g, const float* query_norm2,
                          const float* gallery_norm2, int metric, int64_t k, int64_t parts, float* part_keys,
                          int64_t* part_indices, float* values, int64_t* indices, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(q.rows, TopkTile::kQueries) * parts;
    const int64_t merge_blocks = ceil_div(q.rows, kThreads / kWarp);
    // A part counts its rows in 32 bits, one tile of slack included.
    const int64_t part_rows = ceil_div(g.rows, parts);
    if (!fits_grid(blocks) || parts > kMaxParts || k > kTopkLimit || part_rows > INT32_MAX - TopkTile::kGallery)
        return cudaErrorInvalidConfiguration;
    const auto queue = static_cast<cudaStream_t>(stream);
    const auto kind = static_cast<Metric>(metric);
    UP_LAUNCH(topk_part_kernel, static_cast<unsigned>(blocks), kThreads, 0, queue, q, g, gallery_norm2, kind,
              static_cast<int>(k), parts, part_rows, part_keys, part_indices);
    const cudaError_t status = cudaGetLastError();
    if (status != cudaSuccess) return status;
    UP_LAUNCH(topk_merge_kernel, static_cast<unsigned>(merge_blocks), kThreads, 0, queue, q.rows, static_cast<int>(k),
              static_cast<int>(parts), part_keys, part_indices, query_norm2, kind, values, indices);
    return cudaGetLastError();
}

int up_cuda_distance_select(Matrix<const float> q, Matrix<const float> g, const float* query_norm2,
                            const float* gallery_norm2, int metric, int64_t k, Matrix<float> keys, int64_t* best,
                            float* values, int64_t* indices, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t value_blocks = ceil_div(q.rows * k, kThreads);
    if (!fits_grid(q.rows) || !fits_grid(value_blocks) || k > kSelectLimit || k > g.rows || g.rows > UINT32_MAX)
        return cudaErrorInvalidConfiguration;
    const auto queue = static_cast<cudaStream_t>(stream);
    auto* places = reinterpret_cast<uint64_t*>(best);
    for (int64_t first = 0; first < g.rows; first += keys.cols) {
        const int64_t columns = keys.cols < g.rows - first ? keys.cols : g.rows - first;
        const Matrix<const float> chunk{g.row(first), columns, g.cols, g.stride};
        const Matrix<float> filled{keys.data, q.rows, columns, keys.stride};
        const int status =
            up_cuda_distance_matrix(q, chunk, query_norm2, gallery_norm2 + first, filled, metric, true, device, stream);
        if (status != cudaSuccess) return status;
        UP_LAUNCH(select_kernel, static_cast<unsigned>(q.rows), kThreads, 0, queue,
                  Matrix<const float>{filled.data, q.rows, columns, filled.stride}, first, static_cast<int>(k), places);
        const cudaError_t selected = cudaGetLastError();
        if (selected != cudaSuccess) return selected;
    }
    UP_LAUNCH(selected_kernel, static_cast<unsigned>(value_blocks), kThreads, 0, queue, q.rows, static_cast<int>(k),
              places, query_norm2, static_cast<Metric>(metric), values, indices);
    return cudaGetLastError();
}

}  // extern "C"
