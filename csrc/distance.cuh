// The GPU twin of distance.h: the same keys, values and order of rows. Kernels only; distance_cuda.cu launches them.
//
// What they must move, in bytes, and compute, in floating-point operations, for q queries, g gallery rows, d
// dimensions:
//
//   kernel            read                          written         operations
//   row_norms         4 n d                         4 n             2 n d
//   distance_matrix   d q g / 16                    4 q g           2 q g d
//   topk_part         d q g (1 / 8 + 1 / 32)        12 q k a part   2 q g d
//   topk_merge        12 q k a part                 12 q k
//   select            4 q g, 8,192 q a chunk        8,192 q a chunk
//   selected          8 q k                         12 q k
//
// A matrix is bound by arithmetic from d of about 64 on, a top-k of up to 32 queries by one pass over the gallery.
// Reads of a row beyond the first, by the tiles beside and below, come from the L2 cache where it holds the rows.
#pragma once

#include <cstdint>

#include "distance.h"
#include "launch.h"
#include "tensor.h"

namespace unrealperson {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kThreads = 256;
constexpr int kDepth = 16;  // dimensions staged at once
constexpr int kVector = 4;  // floats in one load of 16 bytes
constexpr int kTopkLimit = 100;
constexpr int kMaxParts = kWarp;
constexpr int kSelectLimit = 1024;
constexpr int64_t kNoIndex = INT64_MAX;
constexpr uint64_t kNoPlace = UINT64_MAX;  // behind every ranked key

// Whether every row starts on 16 bytes.
__device__ inline bool aligned_rows(Matrix<const float> x) {
    return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.stride % kVector == 0;
}

// Four dimensions of a row from c; beyond the end they count as zero.
__device__ inline float4 four_of(const float* row, int64_t c, int64_t cols, bool aligned) {
    if (aligned && c + kVector <= cols) return __ldg(reinterpret_cast<const float4*>(row + c));
    return make_float4(c < cols ? row[c] : 0.0f, c + 1 < cols ? row[c + 1] : 0.0f, c + 2 < cols ? row[c + 2] : 0.0f,
                       c + 3 < cols ? row[c + 3] : 0.0f);
}

// kDepth dimensions of Rows rows on their way to shared memory [kDepth, kPitch]: loaded into registers while the tile
// before is multiplied, stored after it.
template <int Rows>
class Stage {
  public:
    static constexpr int kPitch = Rows + kVector;  // the spare keeps rows aligned and spreads them over the banks

    __device__ void load(Matrix<const float> x, int64_t first, int64_t c0, bool aligned) {
#pragma unroll
        for (int l = 0; l < kLoads; ++l) {
            const int row = row_of(l);
            held_[l] = row < Rows && first + row < x.rows ? four_of(x.row(first + row), c0 + depth(), x.cols, aligned)
                                                          : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
    }

    __device__ void store(float* staged) const {
#pragma unroll
        for (int l = 0; l < kLoads; ++l) {
            const int row = row_of(l);
            if (row >= Rows) continue;
            float* to = staged + depth() * kPitch + row;
            to[0] = held_[l].x;
            to[kPitch] = held_[l].y;
            to[2 * kPitch] = held_[l].z;
            to[3 * kPitch] = held_[l].w;
        }
    }

  private:
    static constexpr int kLanesPerRow = kDepth / kVector;
    static constexpr int kLoads = (Rows * kLanesPerRow + kThreads - 1) / kThreads;
    float4 held_[kLoads];

    static __device__ int row_of(int l) { return (static_cast<int>(threadIdx.x) + l * kThreads) / kLanesPerRow; }
    static __device__ int depth() { return (static_cast<int>(threadIdx.x) % kLanesPerRow) * kVector; }
};

// A tile of Q x G products. A thread holds PerQ x PerG of them, in groups of 4 adjacent rows and columns.
template <int Q, int G, int PerQ, int PerG>
struct Tile {
    static constexpr int kQueries = Q, kGallery = G, kPerQ = PerQ, kPerG = PerG;
    static constexpr int kColumnThreads = G / PerG, kRowThreads = Q / PerQ;
    static constexpr int kHalf = kDepth * (Stage<Q>::kPitch + Stage<G>::kPitch);  // floats of one staging buffer
    static constexpr int kStaging = 2 * kHalf;
    static_assert(kColumnThreads * kRowThreads == kThreads, "a tile needs exactly kThreads threads");

    static __device__ int row(int i) {
        return i / kVector * kVector * kRowThreads + static_cast<int>(threadIdx.x) / kColumnThreads * kVector +
               i % kVector;
    }
    static __device__ int column(int j) {
        return j / kVector * kVector * kColumnThreads + static_cast<int>(threadIdx.x) % kColumnThreads * kVector +
               j % kVector;
    }
};
using MatrixTile = Tile<128, 128, 8, 8>;
using TopkTile = Tile<32, 128, 4, 4>;

// One warp a row. bad_row starts as all ones, which is -1 as a signed number and the largest as an unsigned one.
__global__ void row_norms_kernel(Matrix<const float> x, float* norm2, unsigned long long* bad_row) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
    if (row >= x.rows) return;
    const int lane = threadIdx.x % kWarp;
    const bool aligned = aligned_rows(x);
    float sum = 0.0f;
    for (int64_t c = lane * kVector; c < x.cols; c += kWarp * kVector) {
        const float4 part = four_of(x.row(row), c, x.cols, aligned);
        sum += part.x * part.x + part.y * part.y + (part.z * part.z + part.w * part.w);
    }
    for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_down_sync(kAllLanes, sum, step);
    if (lane != 0) return;
    norm2[row] = sum;
    if (!(sum <= kLargestNorm2)) atomicMin(bad_row, static_cast<unsigned long long>(row));
}

// One dimension of a thread's rows or columns: groups of 4 that lie 4 * Group apart.
template <int Count, int Group>
__device__ inline void factors_at(const float* staged, int first, float (&factors)[Count]) {
#pragma unroll
    for (int i = 0; i < Count; i += kVector) {
        const float4 four = *reinterpret_cast<const float4*>(staged + i * Group + first);
        factors[i] = four.x;
        factors[i + 1] = four.y;
        factors[i + 2] = four.z;
        factors[i + 3] = four.w;
    }
}

// product[i][j] = q[q0 + T::row(i)] . g[g0 + T::column(j)]; rows beyond the end count as zero. `staging` is aligned to
// 16 bytes. Ends with a barrier, after which it is free.
template <class T>
__device__ void product_tile(Matrix<const float> q, Matrix<const float> g, int64_t q0, int64_t g0, float* staging,
                             float (&product)[T::kPerQ][T::kPerG]) {
    using QStage = Stage<T::kQueries>;
    using GStage = Stage<T::kGallery>;
    constexpr int kGalleryAt = kDepth * QStage::kPitch;
    const bool q_aligned = aligned_rows(q), g_aligned = aligned_rows(g);
    QStage q_stage;
    GStage g_stage;
#pragma unroll
    for (int i = 0; i < T::kPerQ; ++i)
#pragma unroll
        for (int j = 0; j < T::kPerG; ++j) product[i][j] = 0.0f;
    q_stage.load(q, q0, 0, q_aligned);
    g_stage.load(g, g0, 0, g_aligned);
    q_stage.store(staging);
    g_stage.store(staging + kGalleryAt);
    __syncthreads();
    int half = 0;
    for (int64_t c0 = 0; c0 < q.cols; c0 += kDepth) {
        const bool more = c0 + kDepth < q.cols;
        if (more) {
            q_stage.load(q, q0, c0 + kDepth, q_aligned);
            g_stage.load(g, g0, c0 + kDepth, g_aligned);
        }
        const float* staged = staging + half * T::kHalf;
#pragma unroll
        for (int c = 0; c < kDepth; ++c) {
            float q_part[T::kPerQ], g_part[T::kPerG];
            factors_at<T::kPerQ, T::kRowThreads>(staged + c * QStage::kPitch, T::row(0), q_part);
            factors_at<T::kPerG, T::kColumnThreads>(staged + kGalleryAt + c * GStage::kPitch, T::column(0), g_part);
#pragma unroll
            for (int i = 0; i < T::kPerQ; ++i)
#pragma unroll
                for (int j = 0; j < T::kPerG; ++j) product[i][j] += q_part[i] * g_part[j];
        }
        half ^= 1;
        if (more) {
            q_stage.store(staging + half * T::kHalf);
            g_stage.store(staging + half * T::kHalf + kGalleryAt);
        }
        __syncthreads();
    }
}

// The two halves of the keys of 4 gallery rows; rows beyond the end get any.
struct Terms {
    float scale[kVector], bias[kVector];

    __device__ Terms(Metric metric, const float* norm2, int64_t first, int64_t rows) {
#pragma unroll
        for (int j = 0; j < kVector; ++j) {
            const float own = first + j < rows ? norm2[first + j] : 0.0f;
            scale[j] = key_scale(metric, own);
            bias[j] = key_bias(metric, own);
        }
    }
    __device__ float4 keys(const float* product) const {
        return make_float4(bias[0] + scale[0] * product[0], bias[1] + scale[1] * product[1],
                           bias[2] + scale[2] * product[2], bias[3] + scale[3] * product[3]);
    }
};

// One block a tile of `out`, tiles numbered along the gallery first. Two blocks an SM: at most 128 registers a thread.
__global__ void __launch_bounds__(kThreads, 2)
    distance_matrix_kernel(Matrix<const float> q, Matrix<const float> g, const float* query_norm2,
                           const float* gallery_norm2, Matrix<float> out, Metric metric, bool keys) {
    using T = MatrixTile;
    __shared__ __align__(16) float staging[T::kStaging];
    const int64_t tiles = (g.rows + T::kGallery - 1) / T::kGallery;
    const int64_t q0 = blockIdx.x / tiles * T::kQueries, g0 = blockIdx.x % tiles * T::kGallery;
    const bool aligned = aligned_rows({out.data, out.rows, out.cols, out.stride});
    float product[T::kPerQ][T::kPerG];
    product_tile<T>(q, g, q0, g0, staging, product);
#pragma unroll
    for (int j = 0; j < T::kPerG; j += kVector) {
        const int64_t column = g0 + T::column(j);
        const Terms terms(metric, gallery_norm2, column, g.rows);
#pragma unroll
        for (int i = 0; i < T::kPerQ; ++i) {
            const int64_t row = q0 + T::row(i);
            if (row >= q.rows) continue;
            float4 four = terms.keys(product[i] + j);
            if (!keys) {
                const float own = query_norm2[row];
                four = make_float4(value_of(metric, four.x, own), value_of(metric, four.y, own),
                                   value_of(metric, four.z, own), value_of(metric, four.w, own));
            }
            float* to = out.row(row) + column;
            if (aligned && column + kVector <= g.rows) {
                *reinterpret_cast<float4*>(to) = four;
            } else {
                if (column < g.rows) to[0] = four.x;
                if (column + 1 < g.rows) to[1] = four.y;
                if (column + 2 < g.rows) to[2] = four.z;
                if (column + 3 < g.rows) to[3] = four.w;
            }
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
        __syncwarp();  // the next round reads below what this one writes, so one in a round is enough
        if (moves) {
            list_key[i + 1] = moved_key;
            list_column[i + 1] = moved_column;
        }
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
    constexpr int kRow = T::kGallery + kVector;
    constexpr int kScratch = T::kQueries * kRow > T::kStaging ? T::kQueries * kRow : T::kStaging;
    constexpr int kWarps = kThreads / kWarp;
    __shared__ __align__(16) float scratch[kScratch];  // staging of a product, then its keys [kQueries, kRow]
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
        for (int j = 0; j < T::kPerG; j += kVector) {
            const Terms terms(metric, gallery_norm2, g0 + T::column(j), end);
#pragma unroll
            for (int i = 0; i < T::kPerQ; ++i)
                *reinterpret_cast<float4*>(scratch + T::row(i) * kRow + T::column(j)) = terms.keys(product[i] + j);
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

// Key and gallery row as one number of their order; a row's number takes the lower half.
__device__ inline uint64_t ranked(float key, uint32_t row) {
    const uint32_t bits = __float_as_uint(key + 0.0f);  // -0 is 0
    return static_cast<uint64_t>(bits >> 31 != 0 ? ~bits : bits | 0x80000000u) << 32 | row;
}

__device__ inline float key_of_ranked(uint64_t place) {
    const auto bits = static_cast<uint32_t>(place >> 32);
    return __uint_as_float(bits >> 31 != 0 ? bits & 0x7fffffffu : ~bits);
}

// Sorts sequences of `size`, a power of 2, each bitonic before, one way and the other in turn; all of a block call it.
__device__ inline void merge_bitonic(uint64_t* items, int count, int size) {
    for (int step = size / 2; step > 0; step /= 2) {
        for (int pair = threadIdx.x; pair < count / 2; pair += kThreads) {
            const int low = 2 * pair - (pair & (step - 1));
            const uint64_t a = items[low], b = items[low + step];
            if ((a > b) == ((low & size) == 0)) {
                items[low] = b;
                items[low + step] = a;
            }
        }
        __syncthreads();
    }
}

// One block a query: merges the keys of gallery rows [first, first + cols) into its nearest kSelectLimit so far,
// best [q, kSelectLimit] in order. Only rows before the k-th of those are kept, and sorted when many wait.
__global__ void select_kernel(Matrix<const float> keys, int64_t first, int k, uint64_t* best) {
    constexpr int kBatch = kThreads * kVector, kWaiting = 2 * kSelectLimit;
    static_assert(kBatch <= kWaiting - kSelectLimit, "a batch has to fit beside what waits");
    __shared__ uint64_t list[kSelectLimit], waiting[kWaiting];
    __shared__ int waiting_count;
    const float* row = keys.row(blockIdx.x);
    uint64_t* own = best + static_cast<int64_t>(blockIdx.x) * kSelectLimit;
    for (int i = threadIdx.x; i < kSelectLimit; i += kThreads) list[i] = first == 0 ? kNoPlace : own[i];
    if (threadIdx.x == 0) waiting_count = 0;
    __syncthreads();
    for (int64_t base = 0; base < keys.cols; base += kBatch) {
        const uint64_t limit = list[k - 1];
        for (int j = 0; j < kVector; ++j) {
            const int64_t column = base + j * kThreads + threadIdx.x;
            const uint64_t place =
                column < keys.cols ? ranked(row[column], static_cast<uint32_t>(first + column)) : kNoPlace;
            if (place < limit) waiting[atomicAdd(&waiting_count, 1)] = place;
        }
        __syncthreads();
        const int count = waiting_count;
        const bool last = base + kBatch >= keys.cols;
        __syncthreads();
        if (count <= kWaiting - kBatch && !last) continue;
        int padded = kVector;
        while (padded < count) padded *= 2;
        for (int i = count + threadIdx.x; i < padded; i += kThreads) waiting[i] = kNoPlace;
        if (threadIdx.x == 0) waiting_count = 0;
        __syncthreads();
        for (int size = 2; size <= padded; size *= 2) merge_bitonic(waiting, padded, size);
        // The nearest of two sorted lists, one of them read backwards, are a bitonic sequence.
        for (int i = threadIdx.x; i < kSelectLimit; i += kThreads) {
            const int opposite = kSelectLimit - 1 - i;
            if (opposite < padded && waiting[opposite] < list[i]) list[i] = waiting[opposite];
        }
        __syncthreads();
        merge_bitonic(list, kSelectLimit, kSelectLimit);
    }
    for (int i = threadIdx.x; i < kSelectLimit; i += kThreads) own[i] = list[i];
}

// One thread a value.
__global__ void selected_kernel(int64_t queries, int k, const uint64_t* best, const float* query_norm2, Metric metric,
                                float* values, int64_t* indices) {
    const int64_t place = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (place >= queries * k) return;
    const int64_t query = place / k;
    const uint64_t found = best[query * kSelectLimit + place % k];
    values[place] = value_of(metric, key_of_ranked(found), query_norm2[query]);
    indices[place] = static_cast<int64_t>(found & 0xffffffffu);
}

}  // namespace unrealperson
