// The GPU twin of distance.h: the same keys, values and order of rows. Kernels only; distance_cuda.cu launches them.
#pragma once

#include <cstdint>

#include "distance.h"
#include "tensor.h"

namespace unrealperson {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kThreads = 256;
constexpr int kDepth = 16;  // dimensions staged at once
constexpr int kTopkLimit = 100;
constexpr int kMaxParts = kWarp;
constexpr int64_t kNoIndex = INT64_MAX;

// A tile of Q x G products, each thread holding PerQ x PerG of them.
template <int Q, int G, int PerQ, int PerG>
struct Tile {
    static constexpr int kQueries = Q, kGallery = G, kPerQ = PerQ, kPerG = PerG;
    static constexpr int kColumnThreads = G / PerG, kRowThreads = Q / PerQ;
    static constexpr int kStaging = kDepth * (Q + 1 + G + 1);  // floats; one spare a row avoids bank conflicts
    static_assert(kColumnThreads * kRowThreads == kThreads, "a tile needs exactly kThreads threads");
};
using MatrixTile = Tile<128, 128, 8, 8>;
using TopkTile = Tile<32, 128, 4, 4>;

// One warp a row. bad_row starts as all ones, which is -1 as a signed number and the largest as an unsigned one.
__global__ void row_norms_kernel(Matrix<const float> x, float* norm2, unsigned long long* bad_row) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
    if (row >= x.rows) return;
    const int lane = threadIdx.x % kWarp;
    float sum = 0.0f;
    for (int64_t c = lane; c < x.cols; c += kWarp) sum += x.row(row)[c] * x.row(row)[c];
    for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_down_sync(kAllLanes, sum, step);
    if (lane != 0) return;
    norm2[row] = sum;
    if (!(sum <= kLargestNorm2)) atomicMin(bad_row, static_cast<unsigned long long>(row));
}

// product[i][j] = q[q0 + i * kRowThreads + row thread] . g[g0 + j * kColumnThreads + column thread]; rows beyond the
// end count as zero. Ends with a barrier, after which `staging` is free.
template <class T>
__device__ void product_tile(Matrix<const float> q, Matrix<const float> g, int64_t q0, int64_t g0, float* staging,
                             float (&product)[T::kPerQ][T::kPerG]) {
    float* q_staged = staging;                               // [kDepth, kQueries + 1]
    float* g_staged = staging + kDepth * (T::kQueries + 1);  // [kDepth, kGallery + 1]
    const int column = threadIdx.x % T::kColumnThreads, row = threadIdx.x / T::kColumnThreads;
    for (int i = 0; i < T::kPerQ; ++i)
        for (int j = 0; j < T::kPerG; ++j) product[i][j] = 0.0f;
    for (int64_t c0 = 0; c0 < q.cols; c0 += kDepth) {
        for (int e = threadIdx.x; e < kDepth * T::kQueries; e += kThreads) {
            const int c = e % kDepth, r = e / kDepth;
            const bool inside = q0 + r < q.rows && c0 + c < q.cols;
            q_staged[c * (T::kQueries + 1) + r] = inside ? q.row(q0 + r)[c0 + c] : 0.0f;
        }
        for (int e = threadIdx.x; e < kDepth * T::kGallery; e += kThreads) {
            const int c = e % kDepth, r = e / kDepth;
            const bool inside = g0 + r < g.rows && c0 + c < g.cols;
            g_staged[c * (T::kGallery + 1) + r] = inside ? g.row(g0 + r)[c0 + c] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int c = 0; c < kDepth; ++c) {
            float q_part[T::kPerQ], g_part[T::kPerG];
#pragma unroll
            for (int i = 0; i < T::kPerQ; ++i) q_part[i] = q_staged[c * (T::kQueries + 1) + i * T::kRowThreads + row];
#pragma unroll
            for (int j = 0; j < T::kPerG; ++j)
                g_part[j] = g_staged[c * (T::kGallery + 1) + j * T::kColumnThreads + column];
#pragma unroll
            for (int i = 0; i < T::kPerQ; ++i)
#pragma unroll
                for (int j = 0; j < T::kPerG; ++j) product[i][j] += q_part[i] * g_part[j];
        }
        __syncthreads();
    }
}

__device__ inline float key_of(Metric metric, float product, float gallery_norm2) {
    return key_bias(metric, gallery_norm2) + key_scale(metric, gallery_norm2) * product;
}

// One block a tile of `out`, tiles numbered along the gallery first.
__global__ void distance_matrix_kernel(Matrix<const float> q, Matrix<const float> g, const float* query_norm2,
                                       const float* gallery_norm2, Matrix<float> out, Metric metric, bool keys) {
    using T = MatrixTile;
    __shared__ float staging[T::kStaging];
    const int64_t tiles = (g.rows + T::kGallery - 1) / T::kGallery;
    const int64_t q0 = blockIdx.x / tiles * T::kQueries, g0 = blockIdx.x % tiles * T::kGallery;
    float product[T::kPerQ][T::kPerG];
    product_tile<T>(q, g, q0, g0, staging, product);
#pragma unroll
    for (int j = 0; j < T::kPerG; ++j) {
        const int64_t column = g0 + j * T::kColumnThreads + threadIdx.x % T::kColumnThreads;
        if (column >= g.rows) continue;
#pragma unroll
        for (int i = 0; i < T::kPerQ; ++i) {
            const int64_t row = q0 + i * T::kRowThreads + threadIdx.x / T::kColumnThreads;
            if (row >= q.rows) continue;
            const float key = key_of(metric, product[i][j], gallery_norm2[column]);
            out.row(row)[column] = keys ? key : value_of(metric, key, query_norm2[row]);
        }
    }
}

// Puts a candidate into a sorted list of `count` <= k entries, behind its equals; all lanes of one warp call it
// together.
__device__ inline int insert_sorted(float* list_key, int* list_column, int count, int k, float key, int column) {
    const int lane = threadIdx.x % kWarp;
    int place = 0;
    for (int base = 0; base < count; base += kWarp) {
        const bool before = base + lane < count && list_key[base + lane] <= key;
        place += __popc(__ballot_sync(kAllLanes, before));
    }
    __syncwarp();  // a ballot orders no memory: every lane has read before any writes
    const int moved_end = count < k ? count : k - 1;
    for (int base = (moved_end - 1) / kWarp * kWarp; moved_end > place && base + kWarp > place; base -= kWarp) {
        const int i = base + lane;
        const bool moves = i >= place && i < moved_end;
        const float moved_key = moves ? list_key[i] : 0.0f;
        const int moved_column = moves ? list_column[i] : 0;
        __syncwarp();
        if (moves) {
            list_key[i + 1] = moved_key;
            list_column[i + 1] = moved_column;
        }
        __syncwarp();
    }
    if (lane == 0) {
        list_key[place] = key;
        list_column[place] = column;
    }
    __syncwarp();
    return count < k ? count + 1 : k;
}

// One block takes kQueries queries through one part of the gallery and leaves each one's nearest k of it, sorted.
__global__ void topk_part_kernel(Matrix<const float> q, Matrix<const float> g, const float* gallery_norm2,
                                 Metric metric, int k, int64_t parts, int64_t part_rows, float* part_keys,
                                 int64_t* part_indices) {
    using T = TopkTile;
    constexpr int kRow = T::kGallery + 1;
    constexpr int kScratch = T::kQueries * kRow > T::kStaging ? T::kQueries * kRow : T::kStaging;
    constexpr int kWarps = kThreads / kWarp;
    __shared__ float scratch[kScratch];  // staging of a product, then its keys [kQueries, kRow]
    __shared__ float list_key[T::kQueries * kTopkLimit];
    __shared__ int list_column[T::kQueries * kTopkLimit];  // counted from the part's first row
    __shared__ int list_count[T::kQueries];
    const int64_t part = blockIdx.x % parts, q0 = blockIdx.x / parts * T::kQueries;
    const int64_t begin = part * part_rows;
    const int64_t end = begin + part_rows < g.rows ? begin + part_rows : g.rows;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    if (threadIdx.x < T::kQueries) list_count[threadIdx.x] = 0;
    for (int64_t g0 = begin; g0 < end; g0 += T::kGallery) {
        float product[T::kPerQ][T::kPerG];
        product_tile<T>(q, g, q0, g0, scratch, product);
#pragma unroll
        for (int j = 0; j < T::kPerG; ++j) {
            const int column = j * T::kColumnThreads + threadIdx.x % T::kColumnThreads;
            const float norm2 = g0 + column < end ? gallery_norm2[g0 + column] : 0.0f;
#pragma unroll
            for (int i = 0; i < T::kPerQ; ++i) {
                const int row = i * T::kRowThreads + threadIdx.x / T::kColumnThreads;
                scratch[row * kRow + column] = key_of(metric, product[i][j], norm2);
            }
        }
        __syncthreads();
        for (int row = warp; row < T::kQueries && q0 + row < q.rows; row += kWarps) {
            float* keys = list_key + row * kTopkLimit;
            int* columns = list_column + row * kTopkLimit;
            int count = list_count[row];
            for (int base = 0; base < T::kGallery; base += kWarp) {
                const float key = scratch[row * kRow + base + lane];
                const bool inside = g0 + base + lane < end;
                unsigned waiting = __ballot_sync(kAllLanes, inside && (count < k || key < keys[k - 1]));
                while (waiting != 0) {
                    const int source = __ffs(static_cast<int>(waiting)) - 1;
                    waiting &= waiting - 1;
                    const float candidate = __shfl_sync(kAllLanes, key, source);
                    if (count < k || candidate < keys[k - 1])
                        count = insert_sorted(keys, columns, count, k, candidate,
                                              static_cast<int>(g0 - begin) + base + source);
                }
            }
            __syncwarp();
            if (lane == 0) list_count[row] = count;
        }
        __syncthreads();
    }
    __syncthreads();
    for (int row = warp; row < T::kQueries && q0 + row < q.rows; row += kWarps)
        for (int r = lane; r < k; r += kWarp) {
            const int64_t place = (part * q.rows + q0 + row) * k + r;
            const bool filled = r < list_count[row];
            part_keys[place] = filled ? list_key[row * kTopkLimit + r] : INFINITY;
            part_indices[place] = filled ? begin + list_column[row * kTopkLimit + r] : kNoIndex;
        }
}

// One warp a query: lane p holds the head of part p's sorted list. Parts ascend through the gallery, so of equal heads
// the lower part has the lower index.
__global__ void topk_merge_kernel(int64_t queries, int k, int parts, const float* part_keys,
                                  const int64_t* part_indices, const float* query_norm2, Metric metric, float* values,
                                  int64_t* indices) {
    const int64_t query = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
    if (query >= queries) return;
    const int lane = threadIdx.x % kWarp;
    const int64_t list = (static_cast<int64_t>(lane) * queries + query) * k;
    int taken = 0;
    for (int r = 0; r < k; ++r) {
        const bool has = lane < parts && taken < k;
        float key = has ? part_keys[list + taken] : INFINITY;
        int64_t index = has ? part_indices[list + taken] : kNoIndex;
        const int64_t mine = index;
        for (int step = kWarp / 2; step > 0; step /= 2) {
            const float other_key = __shfl_xor_sync(kAllLanes, key, step);
            const int64_t other = __shfl_xor_sync(kAllLanes, static_cast<long long>(index), step);
            if (other_key < key || (other_key == key && other < index)) {
                key = other_key;
                index = other;
            }
        }
        if (index == mine && mine != kNoIndex) ++taken;
        if (lane == 0) {
            values[query * k + r] = value_of(metric, key, query_norm2[query]);
            indices[query * k + r] = index;
        }
    }
}

}  // namespace unrealperson
