// The GPU twin of distance.h: the same keys, values and order of rows. Kernels only; distance_cuda.cu launches them.
//
// Products of many queries come from the caller's BLAS; `products` serves where that would round to TF32. What the
// kernels must move, in bytes, and compute, in floating-point operations, for q queries, g gallery rows, d dimensions,
// p parts of the gallery whose lists are kept apart:
//
//   kernel               read                       written           operations
//   row_norms            4 n d                      4 n               2 n d
//   products             d q g / 16                 4 q g             2 q g d
//   products_and_norms   4 g d, queries in cache    4 q g, 4 g        2 (q + 1) g d
//   products_to_values   4 q g                      4 q g             about 4 q g
//   nearest_add          4 q g, norms in cache      8 q p k           about 4 q g
//   nearest_finish       8 q p k                    12 q k
//
// All but `products` are bound by memory. Reads of a row beyond the first, by the tiles beside and below, come from the
// L2 cache where it holds the rows.
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
constexpr int kFewQueries = 8;
constexpr int kRowsAtOnce = 4;     // of the gallery, in flight in each warp
constexpr int kRowsPerBlock = 16;  // share the terms of a column
constexpr int kNearestLimit = 1024, kShortList = 128;
constexpr int kBatch = kThreads * kVector;  // columns between two looks at what waits
constexpr int kWaiting = 2 * kBatch;
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

// Fused by hand, so that a norm has the same bits wherever it is made.
__device__ inline float add_squares(float sum, float4 x) {
    return __fmaf_rn(x.x, x.x, __fmaf_rn(x.y, x.y, __fmaf_rn(x.z, x.z, __fmaf_rn(x.w, x.w, sum))));
}

// The same bits in all lanes.
__device__ inline float warp_sum(float x) {
    for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    return x;
}

__device__ inline void store_norm2(float sum, int64_t row, int64_t first, float* norm2, unsigned long long* bad_row) {
    norm2[row] = sum;
    if (!(sum <= kLargestNorm2)) atomicMin(bad_row, static_cast<unsigned long long>(first + row));
}

// One warp a row. bad_row starts as -1, which is the largest as an unsigned number.
__global__ void row_norms_kernel(Matrix<const float> x, float* norm2, unsigned long long* bad_row) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
    if (row >= x.rows) return;
    const int lane = threadIdx.x % kWarp;
    const bool aligned = aligned_rows(x);
    float sum = 0.0f;
    for (int64_t c = lane * kVector; c < x.cols; c += kWarp * kVector)
        sum = add_squares(sum, four_of(x.row(row), c, x.cols, aligned));
    sum = warp_sum(sum);
    if (lane == 0) store_norm2(sum, row, 0, norm2, bad_row);
}

// One warp kRowsAtOnce rows of g, with all of up to Queries rows of q. `first` is the gallery row of row 0.
template <int Queries>
__global__ void __launch_bounds__(kThreads, 2)
    products_and_norms_kernel(Matrix<const float> q, Matrix<const float> g, int64_t first, Matrix<float> out,
                              float* norm2, unsigned long long* bad_row) {
    static_assert(Queries * kRowsAtOnce <= kWarp, "each lane stores one product");
    const int64_t row = (static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp) * kRowsAtOnce;
    if (row >= g.rows) return;
    const int lane = threadIdx.x % kWarp;
    const bool q_aligned = aligned_rows(q), g_aligned = aligned_rows(g);
    const float *rows[kRowsAtOnce], *queries[Queries];  // those beyond the end repeat the last one
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) rows[r] = g.row(row + r < g.rows ? row + r : g.rows - 1);
#pragma unroll
    for (int i = 0; i < Queries; ++i) queries[i] = q.row(i < q.rows ? i : q.rows - 1);
    float product[Queries][kRowsAtOnce] = {}, squares[kRowsAtOnce] = {};
    for (int64_t c = lane * kVector; c < g.cols; c += kWarp * kVector) {
        float4 x[kRowsAtOnce];
#pragma unroll
        for (int r = 0; r < kRowsAtOnce; ++r) x[r] = four_of(rows[r], c, g.cols, g_aligned);
#pragma unroll
        for (int r = 0; r < kRowsAtOnce; ++r) squares[r] = add_squares(squares[r], x[r]);
#pragma unroll
        for (int i = 0; i < Queries; ++i) {
            const float4 y = four_of(queries[i], c, q.cols, q_aligned);
#pragma unroll
            for (int r = 0; r < kRowsAtOnce; ++r)
                product[i][r] += x[r].x * y.x + x[r].y * y.y + (x[r].z * y.z + x[r].w * y.w);
        }
    }
    float mine = 0.0f, own_norm2 = 0.0f;
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
        const float sum = warp_sum(squares[r]);
        if (lane == r) own_norm2 = sum;
#pragma unroll
        for (int i = 0; i < Queries; ++i) {
            const float whole = warp_sum(product[i][r]);
            if (lane == i * kRowsAtOnce + r) mine = whole;
        }
    }
    const int query = lane / kRowsAtOnce, r = lane % kRowsAtOnce;
    if (row + r >= g.rows) return;
    if (query < Queries && query < q.rows) out.row(query)[row + r] = mine;
    if (query == 0) store_norm2(own_norm2, row + r, first, norm2, bad_row);
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

// One block a tile of out = q g^T, tiles numbered along the gallery first. Two blocks an SM: at most 128 registers a
// thread.
__global__ void __launch_bounds__(kThreads, 2)
    products_kernel(Matrix<const float> q, Matrix<const float> g, Matrix<float> out) {
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
#pragma unroll
        for (int i = 0; i < T::kPerQ; ++i) {
            const int64_t row = q0 + T::row(i);
            if (row >= q.rows) continue;
            const float* four = product[i] + j;
            float* to = out.row(row) + column;
            if (aligned && column + kVector <= g.rows) {
                *reinterpret_cast<float4*>(to) = make_float4(four[0], four[1], four[2], four[3]);
                continue;
            }
#pragma unroll
            for (int e = 0; e < kVector; ++e)
                if (column + e < g.rows) to[e] = four[e];
        }
    }
}

// One thread a column of kRowsPerBlock rows, blocks numbered along the columns first; `out` may be the products.
__global__ void products_to_values_kernel(Matrix<const float> products, const float* norm2, const float* query_norm2,
                                          Metric metric, bool keys, Matrix<float> out) {
    const int64_t across = (products.cols + kThreads - 1) / kThreads;
    const int64_t column = blockIdx.x % across * kThreads + threadIdx.x;
    const int64_t begin = blockIdx.x / across * kRowsPerBlock;
    const int64_t end = begin + kRowsPerBlock < products.rows ? begin + kRowsPerBlock : products.rows;
    if (column >= products.cols) return;
    const float scale = key_scale(metric, norm2[column]), bias = key_bias(metric, norm2[column]);
    for (int64_t row = begin; row < end; ++row) {
        const float key = bias + scale * products.row(row)[column];
        out.row(row)[column] = keys ? key : value_of(metric, key, query_norm2[row]);
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

// The nearest that a block of threads has met, in shared memory: a sorted list, and what waits to be merged into it.
// All threads of the block call each function together.
template <int Length>
struct BlockList {
    static constexpr int kDue = Length > kThreads ? Length : kThreads;
    static_assert(kDue + kBatch <= kWaiting, "a batch has to fit beside what waits");
    uint64_t list[Length], waiting[kWaiting];
    int count;

    // The list, unless it starts empty, is `stored` [k].
    __device__ void start(const uint64_t* stored, int k) {
        for (int i = threadIdx.x; i < Length; i += kThreads)
            list[i] = stored != nullptr && i < k ? stored[i] : kNoPlace;
        if (threadIdx.x == 0) count = 0;
        __syncthreads();
    }

    // One element a thread and call: until there is a k-th to be below, all of them wait, so a first batch is short.
    __device__ int per_thread(int k) const { return list[k - 1] == kNoPlace ? 1 : kVector; }

    __device__ void add(bool wanted, uint64_t place) {
        const unsigned all = __ballot_sync(kAllLanes, wanted);
        if (all == 0) return;
        const int lane = threadIdx.x % kWarp, leader = __ffs(static_cast<int>(all)) - 1;
        int begin = 0;
        if (lane == leader) begin = atomicAdd(&count, __popc(all));
        begin = __shfl_sync(kAllLanes, begin, leader);
        if (wanted) waiting[begin + __popc(all & ((1u << lane) - 1))] = place;
    }

    // Ends a batch: sorts what waits into the list where it is much, the list is short, or it is the last batch.
    __device__ void settle(int k, bool last) {
        __syncthreads();
        const int met = count;
        const bool due = met > 0 && (last || met > kDue || list[k - 1] == kNoPlace);
        __syncthreads();
        if (!due) return;
        int padded = kVector;
        while (padded < met) padded *= 2;
        for (int i = met + threadIdx.x; i < padded; i += kThreads) waiting[i] = kNoPlace;
        if (threadIdx.x == 0) count = 0;
        __syncthreads();
        for (int size = 2; size <= padded; size *= 2) merge_bitonic(waiting, padded, size);
        // The nearest of two sorted lists, one of them read backwards, are a bitonic sequence.
        for (int i = threadIdx.x; i < Length; i += kThreads) {
            const int opposite = Length - 1 - i;
            if (opposite < padded && waiting[opposite] < list[i]) list[i] = waiting[opposite];
        }
        __syncthreads();
        merge_bitonic(list, Length, Length);
    }
};

// One block a query and part of the columns, numbered along the queries first, which share the norms in cache. Takes
// columns, gallery rows from `first` on, into lists [q, parts, k] that start with the call whose `first` is 0; so does
// `largest` [q, parts], the largest key, where it is wanted.
template <int Length>
__global__ void __launch_bounds__(kThreads)
    nearest_add_kernel(Matrix<const float> products, const float* norm2, int64_t first, Metric metric, int parts, int k,
                       uint64_t* lists, float* largest) {
    __shared__ BlockList<Length> nearest;
    __shared__ float warp_largest[kThreads / kWarp];
    const int64_t query = blockIdx.x % products.rows, part = blockIdx.x / products.rows;
    const int64_t part_columns = (products.cols + parts - 1) / parts, begin = part * part_columns;
    const int64_t end = begin + part_columns < products.cols ? begin + part_columns : products.cols;
    const float* row = products.row(query);
    uint64_t* stored = lists + (query * parts + part) * k;
    float own_largest = -INFINITY;
    nearest.start(first == 0 ? nullptr : stored, k);
    for (int64_t base = begin; base < end;) {
        const int per_thread = nearest.per_thread(k);
        // Columns ascend: one that equals the k-th comes behind it.
        const float limit = per_thread == kVector ? key_of_ranked(nearest.list[k - 1]) : INFINITY;
        float key[kVector];
#pragma unroll
        for (int j = 0; j < kVector; ++j) {
            const int64_t column = base + j * kThreads + threadIdx.x;
            key[j] = INFINITY;
            if (j >= per_thread || column >= end) continue;
            const float own = __ldg(norm2 + column);
            key[j] = key_bias(metric, own) + key_scale(metric, own) * row[column];
            own_largest = max(own_largest, key[j]);
        }
#pragma unroll
        for (int j = 0; j < kVector; ++j)
            nearest.add(key[j] < limit,
                        ranked(key[j], static_cast<uint32_t>(first + base + j * kThreads + threadIdx.x)));
        base += per_thread * kThreads;
        nearest.settle(k, base >= end);
    }
    for (int i = threadIdx.x; i < k; i += kThreads) stored[i] = nearest.list[i];
    if (largest == nullptr) return;
    for (int step = kWarp / 2; step > 0; step /= 2)
        own_largest = max(own_largest, __shfl_xor_sync(kAllLanes, own_largest, step));
    if (threadIdx.x % kWarp == 0) warp_largest[threadIdx.x / kWarp] = own_largest;
    __syncthreads();
    if (threadIdx.x != 0) return;
    float& kept = largest[query * parts + part];
    if (first != 0) own_largest = max(own_largest, kept);
    for (int warp = 1; warp < kThreads / kWarp; ++warp) own_largest = max(own_largest, warp_largest[warp]);
    kept = own_largest;
}

// One block a query: the nearest k of its lists, `places` of them in all, and their values.
template <int Length>
__global__ void __launch_bounds__(kThreads)
    nearest_finish_kernel(const uint64_t* lists, int64_t places, int k, const float* query_norm2, Metric metric,
                          float* values, int64_t* indices) {
    __shared__ BlockList<Length> nearest;
    const int64_t query = blockIdx.x;
    const uint64_t* row = lists + query * places;
    nearest.start(nullptr, k);
    for (int64_t base = 0; base < places;) {
        const int per_thread = nearest.per_thread(k);
        const uint64_t limit = nearest.list[k - 1];
#pragma unroll
        for (int j = 0; j < kVector; ++j) {
            const int64_t i = base + j * kThreads + threadIdx.x;
            const uint64_t place = j < per_thread && i < places ? row[i] : kNoPlace;
            nearest.add(place < limit, place);
        }
        base += per_thread * kThreads;
        nearest.settle(k, base >= places);
    }
    for (int i = threadIdx.x; i < k; i += kThreads) {
        const uint64_t found = nearest.list[i];
        values[query * k + i] = value_of(metric, key_of_ranked(found), query_norm2[query]);
        indices[query * k + i] = static_cast<int64_t>(found & 0xffffffffu);
    }
}

}  // namespace unrealperson
