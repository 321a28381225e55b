#include "distance.cuh"
#include "launch.h"

using namespace unrealperson;

namespace {

auto* unsigned_row(int64_t* bad_row) { return reinterpret_cast<unsigned long long*>(bad_row); }

}  // namespace

extern "C" {

int64_t up_cuda_few_queries() { return kFewQueries; }

int64_t up_cuda_nearest_limit() { return kNearestLimit; }

int up_cuda_row_norms(Matrix<const float> x, float* norm2, int64_t* bad_row, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(x.rows, kThreads / kWarp);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    UP_LAUNCH(row_norms_kernel, static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream), x, norm2,
              unsigned_row(bad_row));
    return cudaGetLastError();
}

int up_cuda_products(Matrix<const float> q, Matrix<const float> g, Matrix<float> out, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(q.rows, MatrixTile::kQueries) * ceil_div(g.rows, MatrixTile::kGallery);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    UP_LAUNCH(products_kernel, static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream), q, g,
              out);
    return cudaGetLastError();
}

int up_cuda_products_and_norms(Matrix<const float> q, Matrix<const float> g, int64_t first, Matrix<float> out,
                               float* norm2, int64_t* bad_row, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(g.rows, kThreads / kWarp * kRowsAtOnce);
    if (!fits_grid(blocks) || q.rows < 1 || q.rows > kFewQueries) return cudaErrorInvalidConfiguration;
    const auto kernel = q.rows == 1   ? products_and_norms_kernel<1>
                        : q.rows == 2 ? products_and_norms_kernel<2>
                        : q.rows <= 4 ? products_and_norms_kernel<4>
                                      : products_and_norms_kernel<kFewQueries>;
    UP_LAUNCH(kernel, static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream), q, g, first, out,
              norm2, unsigned_row(bad_row));
    return cudaGetLastError();
}

int up_cuda_products_to_values(Matrix<const float> products, const float* norm2, const float* query_norm2, int metric,
                               bool keys, Matrix<float> out, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = ceil_div(products.rows, kRowsPerBlock) * ceil_div(products.cols, kThreads);
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    UP_LAUNCH(products_to_values_kernel, static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream),
              products, norm2, query_norm2, static_cast<Metric>(metric), keys, out);
    return cudaGetLastError();
}

int up_cuda_nearest_add(Matrix<const float> products, const float* norm2, int64_t first, int metric, int64_t parts,
                        int64_t k, int64_t* lists, float* largest, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    const int64_t blocks = products.rows * parts;
    if (!fits_grid(blocks) || k < 1 || k > kNearestLimit || first + products.cols > UINT32_MAX)
        return cudaErrorInvalidConfiguration;
    const auto kernel = k <= kShortList ? nearest_add_kernel<kShortList> : nearest_add_kernel<kNearestLimit>;
    UP_LAUNCH(kernel, static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream), products, norm2,
              first, static_cast<Metric>(metric), static_cast<int>(parts), static_cast<int>(k),
              reinterpret_cast<uint64_t*>(lists), largest);
    return cudaGetLastError();
}

int up_cuda_nearest_finish(const int64_t* lists, int64_t queries, int64_t parts, int64_t k, const float* query_norm2,
                           int metric, float* values, int64_t* indices, int device, void* stream) {
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    if (!fits_grid(queries) || k < 1 || k > kNearestLimit) return cudaErrorInvalidConfiguration;
    const auto kernel = k <= kShortList ? nearest_finish_kernel<kShortList> : nearest_finish_kernel<kNearestLimit>;
    UP_LAUNCH(kernel, static_cast<unsigned>(queries), kThreads, 0, static_cast<cudaStream_t>(stream),
              reinterpret_cast<const uint64_t*>(lists), parts * k, static_cast<int>(k), query_norm2,
              static_cast<Metric>(metric), values, indices);
    return cudaGetLastError();
}

}  // extern "C"
