#include "launch.h"
#include "rerank.cuh"

using namespace unrealperson;
using namespace unrealperson::rerank;

namespace {

constexpr int64_t kSharedBytes = 48 << 10;  // without asking for more

// Launches on the caller's device and stream, if the grid allows it.
template <class Launch>
int on_device(int device, int64_t blocks, const Launch& launch) {
    if (blocks == 0) return cudaSuccess;
    if (!fits_grid(blocks)) return cudaErrorInvalidConfiguration;
    const OnDevice guard(device);
    if (guard.status() != cudaSuccess) return guard.status();
    launch(static_cast<unsigned>(blocks));
    return cudaGetLastError();
}

}  // namespace

extern "C" {

int up_cuda_half_sets(const int32_t* lists, int64_t rows, int64_t width, int64_t half, int32_t* sets, int device,
                      void* stream) {
    return on_device(device, ceil_div(rows, kWarps), [&](unsigned blocks) {
        UP_LAUNCH(half_sets_kernel, blocks, kThreads, 0, static_cast<cudaStream_t>(stream),
                  RankedLists{lists, nullptr, rows, width}, static_cast<int>(half), sets);
    });
}

bool up_cuda_weights_fit(int64_t forward, int64_t half) {
    return members_shared(forward, half) * static_cast<int64_t>(sizeof(int32_t)) <= kSharedBytes - 64;
}

int up_cuda_weights(const int32_t* lists, const float* distances, int64_t rows, int64_t width, int64_t forward,
                    int64_t half, const int32_t* half_sets, Matrix<const float> q, Matrix<const float> g,
                    const float* scale, const int64_t* offset, int64_t* counts, int32_t* index, float* value,
                    int device, void* stream) {
    if (!up_cuda_weights_fit(forward, half)) return cudaErrorInvalidConfiguration;
    return on_device(device, rows, [&](unsigned blocks) {
        const auto bytes = static_cast<size_t>(members_shared(forward, half)) * sizeof(int32_t);
        UP_LAUNCH(weights_kernel, blocks, kThreads, bytes, static_cast<cudaStream_t>(stream),
                  RankedLists{lists, distances, rows, width}, static_cast<int>(forward), static_cast<int>(half),
                  half_sets, Features{q, g}, scale, offset, counts, index, value);
    });
}

int up_cuda_expand(const int32_t* lists, int64_t rows, int64_t width, int64_t k2, const int64_t* weights_offset,
                   const int32_t* weights_index, const float* weights_value, const int64_t* offset, int64_t* counts,
                   int32_t* index, float* value, int device, void* stream) {
    return on_device(device, rows, [&](unsigned blocks) {
        UP_LAUNCH(expand_kernel, blocks, kThreads, 0, static_cast<cudaStream_t>(stream),
                  RankedLists{lists, nullptr, rows, width}, static_cast<int>(k2),
                  Rows{weights_offset, weights_index, weights_value}, offset, counts, index, value);
    });
}

int up_cuda_count_columns(const int32_t* index, int64_t entries, int64_t* counts, int device, void* stream) {
    return on_device(device, ceil_div(entries, kThreads), [&](unsigned blocks) {
        UP_LAUNCH(count_columns_kernel, blocks, kThreads, 0, static_cast<cudaStream_t>(stream), index, entries,
                  reinterpret_cast<unsigned long long*>(counts));
    });
}

int up_cuda_fill_columns(const int64_t* offset, const int32_t* index, const float* value, int64_t rows, int64_t* next,
                         int32_t* column_index, float* column_value, int device, void* stream) {
    return on_device(device, ceil_div(rows, kWarps), [&](unsigned blocks) {
        UP_LAUNCH(fill_columns_kernel, blocks, kThreads, 0, static_cast<cudaStream_t>(stream),
                  Rows{offset, index, value}, rows, reinterpret_cast<unsigned long long*>(next), column_index,
                  column_value);
    });
}

int up_cuda_blend(const int64_t* offset, const int32_t* index, const float* value, const int64_t* column_offset,
                  const int32_t* column_index, const float* column_value, int64_t rows, int32_t* sums, int64_t workers,
                  Matrix<float> out, int64_t first, const float* scale, float lambda, int device, void* stream) {
    return on_device(device, workers < out.rows ? workers : out.rows, [&](unsigned blocks) {
        UP_LAUNCH(blend_kernel, blocks, kThreads, 0, static_cast<cudaStream_t>(stream), Rows{offset, index, value},
                  Rows{column_offset, column_index, column_value}, rows, reinterpret_cast<unsigned*>(sums), out, first,
                  scale, lambda);
    });
}

int up_cuda_graph(const int64_t* offset, const int32_t* index, const float* value, const int64_t* column_offset,
                  const int32_t* column_index, const float* column_value, int64_t rows, int32_t* sums, int32_t* met,
                  int64_t workers, float eps, const int64_t* graph_offset, int64_t* counts, int32_t* graph_index,
                  float* graph_distance, int device, void* stream) {
    return on_device(device, workers < rows ? workers : rows, [&](unsigned blocks) {
        UP_LAUNCH(graph_kernel, blocks, kThreads, 0, static_cast<cudaStream_t>(stream), Rows{offset, index, value},
                  Rows{column_offset, column_index, column_value}, rows, reinterpret_cast<unsigned*>(sums), met, eps,
                  graph_offset, counts, graph_index, graph_distance);
    });
}

int up_cuda_sort_rows(const int64_t* offset, const int32_t* index, const float* distance, int64_t rows,
                      int32_t* sorted_index, float* sorted_distance, int device, void* stream) {
    return on_device(device, rows, [&](unsigned blocks) {
        UP_LAUNCH(sort_rows_kernel, blocks, kThreads, 0, static_cast<cudaStream_t>(stream),
                  Rows{offset, index, distance}, sorted_index, sorted_distance);
    });
}

}  // extern "C"
