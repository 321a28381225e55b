// The GPU twin of rerank.h, from lists to re-ranked rows and graphs. Kernels only; rerank_cuda.cu launches them.
//
// Rows of unequal length are made twice: a first pass counts, the caller adds the counts up, a second pass fills.
// Places within a row are handed out in any order; nothing depends on it, because a sum over a row is kept in fixed
// point, whose additions commute, and what the caller sees is sorted in the end.
//
// What they must move, in bytes, for n rows with lists of f (h of half length), d dimensions, e entries of V, w of W, c
// entries that the columns of one row's W hold together, s entries of the graph; a pass that counts costs as much but
// for what it would write:
//
//   kernel         read                                   written
//   half_sets      4 n h^2                                4 n h
//   weights        4 n f^2, 8 d an entry outside lists    8 e
//   expand         8 k2 e, then searches in cache         8 w
//   count_columns  4 w                                    8 w of atomic additions
//   fill_columns   8 w                                    8 w, 8 w of atomic additions
//   blend          8 c a row, 4 q g                       4 q g, 4 c of atomic additions, 4 n a row of sums
//   graph          8 c a row                              8 s, 4 c of atomic additions
//   sort_rows      8 s, entries of a row squared in cache 8 s
//
// All are bound by memory, mostly by the latency of scattered reads, which many resident blocks hide.
#pragma once

#include <cstdint>

#include "rerank.h"

namespace unrealperson {
namespace rerank {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr float kOne = 1073741824.0f;  // 1 in fixed point; sums stay below 4

// Row i holds index[offset[i] .. offset[i + 1]) in any order.
struct Rows {
    const int64_t* offset;
    const int32_t* index;
    const float* value;
};

struct RankedLists {
    const int32_t* index;
    const float* distance;
    int64_t rows, width;

    __device__ const int32_t* row(int64_t i) const { return index + i * width; }
};

__device__ inline int place_of(const int32_t* list, int length, int32_t row) {
    for (int r = 0; r < length; ++r)
        if (list[r] == row) return r;
    return -1;
}

// One warp a row: H(i), ended by kNoRow.
__global__ void half_sets_kernel(RankedLists lists, int half, int32_t* sets) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
    if (i >= lists.rows) return;
    const int lane = threadIdx.x % kWarp;
    int32_t* set = sets + i * half;
    int count = 0;
    for (int base = 0; base < half; base += kWarp) {
        const int32_t j = base + lane < half ? lists.row(i)[base + lane] : kNoRow;
        const bool mutual = j != kNoRow && place_of(lists.row(j), half, static_cast<int32_t>(i)) >= 0;
        const unsigned found = __ballot_sync(kAllLanes, mutual);
        if (mutual) set[count + __popc(found & ((1u << lane) - 1))] = j;
        count += __popc(found);
    }
    for (int r = count + lane; r < half; r += kWarp) set[r] = kNoRow;
}

__device__ inline float warp_squared_distance(const float* a, const float* b, int64_t n) {
    const int lane = threadIdx.x % kWarp;
    const bool whole = (reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) % sizeof(float4) == 0;
    const int64_t quads = whole ? n / 4 : 0;
    float sum = 0.0f;
    for (int64_t c = lane; c < quads; c += kWarp) {
        const float4 x = reinterpret_cast<const float4*>(a)[c], y = reinterpret_cast<const float4*>(b)[c];
        const float d0 = x.x - y.x, d1 = x.y - y.y, d2 = x.z - y.z, d3 = x.w - y.w;
        sum += d0 * d0 + d1 * d1 + (d2 * d2 + d3 * d3);
    }
    for (int64_t c = quads * 4 + lane; c < n; c += kWarp) sum += (a[c] - b[c]) * (a[c] - b[c]);
    for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    return sum;
}

// One block a row: E(i) and V(i). Counts where `offset` is null, else fills. Shared memory holds
// members_shared(forward, half) words.
__host__ __device__ inline int64_t members_shared(int64_t forward, int64_t half) { return 2 * forward * (half + 1); }

__global__ void weights_kernel(RankedLists lists, int forward, int half, const int32_t* half_sets, Features x,
                               const float* scale, const int64_t* offset, int64_t* counts, int32_t* index,
                               float* value) {
    UP_DYNAMIC_SHARED(int32_t, scratch);
    __shared__ int reciprocals, candidates, members;
    __shared__ float total, lowest;
    const int64_t i = blockIdx.x;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    int32_t* found = scratch;                             // R(i), then the sets that join it, with repeats
    int32_t* kept = scratch + forward * (half + 1);       // E(i)
    float* distance = reinterpret_cast<float*>(scratch);  // of each of E(i), over what `found` was
    if (threadIdx.x == 0) reciprocals = members = 0;
    __syncthreads();
    for (int r = threadIdx.x; r < forward; r += kThreads) {
        const int32_t j = lists.row(i)[r];
        if (j != kNoRow && place_of(lists.row(j), forward, static_cast<int32_t>(i)) >= 0)
            found[atomicAdd(&reciprocals, 1)] = j;
    }
    __syncthreads();
    if (threadIdx.x == 0) candidates = reciprocals;
    __syncthreads();
    for (int r = warp; r < reciprocals; r += kWarps) {
        const int32_t* set = half_sets + static_cast<int64_t>(found[r]) * half;
        int size = 0, common = 0;
        for (int base = 0; base < half; base += kWarp) {
            const int32_t j = base + lane < half ? set[base + lane] : kNoRow;
            size += __popc(__ballot_sync(kAllLanes, j != kNoRow));
            common += __popc(__ballot_sync(kAllLanes, j != kNoRow && place_of(found, reciprocals, j) >= 0));
        }
        if (3 * common <= 2 * size) continue;
        for (int s = lane; s < size; s += kWarp) found[atomicAdd(&candidates, 1)] = set[s];
    }
    __syncthreads();
    for (int c = threadIdx.x; c < candidates; c += kThreads)
        if (place_of(found, c, found[c]) < 0) kept[atomicAdd(&members, 1)] = found[c];
    __syncthreads();
    if (offset == nullptr) {
        if (threadIdx.x == 0) counts[i] = members;
        return;
    }

    const float divisor = scale == nullptr ? 1.0f : scale[i];
    for (int e = warp; e < members; e += kWarps) {
        const int32_t j = kept[e];
        const int mine = place_of(lists.row(i), static_cast<int>(lists.width), j);
        const int theirs = place_of(lists.row(j), static_cast<int>(lists.width), static_cast<int32_t>(i));
        const float apart = mine >= 0     ? lists.distance[i * lists.width + mine]
                            : theirs >= 0 ? lists.distance[j * lists.width + theirs]
                                          : warp_squared_distance(x.row(i), x.row(j), x.gallery.cols);
        if (lane == 0) distance[e] = divisor > 0.0f ? apart / divisor : 0.0f;
    }
    __syncthreads();
    // Ranks in ascending order, since the sum below must not depend on the order of places.
    for (int e = threadIdx.x; e < members; e += kThreads) {
        int rank = 0;
        for (int other = 0; other < members; ++other) rank += kept[other] < kept[e];
        index[offset[i] + rank] = kept[e];
        value[offset[i] + rank] = distance[e];
    }
    __syncthreads();
    float* row = value + offset[i];
    if (warp == 0) {
        float least = INFINITY;
        for (int e = lane; e < members; e += kWarp) least = fminf(least, row[e]);
        for (int step = kWarp / 2; step > 0; step /= 2) least = fminf(least, __shfl_xor_sync(kAllLanes, least, step));
        float sum = 0.0f;
        for (int e = lane; e < members; e += kWarp) sum += expf(least - row[e]);
        for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
        if (lane == 0) {
            lowest = least;
            total = sum;
        }
    }
    __syncthreads();
    for (int e = threadIdx.x; e < members; e += kThreads) row[e] = expf(lowest - row[e]) / total;
}

// The value at `column` of row i of rows in ascending order; 0 where it has none.
__device__ inline float value_at(const Rows& rows, int64_t i, int32_t column) {
    int64_t begin = rows.offset[i], end = rows.offset[i + 1];
    while (begin < end) {
        const int64_t middle = begin + (end - begin) / 2;
        if (rows.index[middle] < column)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < rows.offset[i + 1] && rows.index[begin] == column ? rows.value[begin] : 0.0f;
}

// One block a row: W(i) from V, whose rows ascend. Counts where `offset` is null, else fills. An entry is made where
// its column first occurs and sums the rows in the order of the list.
__global__ void expand_kernel(RankedLists lists, int k2, Rows weights, const int64_t* offset, int64_t* counts,
                              int32_t* index, float* value) {
    __shared__ int entries;
    const int64_t i = blockIdx.x;
    const auto own = static_cast<int32_t>(i);
    if (threadIdx.x == 0) entries = 0;
    __syncthreads();
    int size = 0;
    while (size < k2 && (k2 == 1 || lists.row(i)[size] != kNoRow)) ++size;
    for (int r = 0; r < size; ++r) {
        const int32_t row = k2 == 1 ? own : lists.row(i)[r];
        for (int64_t e = weights.offset[row] + threadIdx.x; e < weights.offset[row + 1]; e += kThreads) {
            const int32_t column = weights.index[e];
            bool first = weights.value[e] > 0.0f;
            for (int before = 0; before < r && first; ++before)
                first = !(value_at(weights, lists.row(i)[before], column) > 0.0f);
            if (!first) continue;
            const int place = atomicAdd(&entries, 1);
            if (offset == nullptr) continue;
            float sum = weights.value[e];
            for (int after = r + 1; after < size; ++after) sum += value_at(weights, lists.row(i)[after], column);
            index[offset[i] + place] = column;
            value[offset[i] + place] = sum / static_cast<float>(size);
        }
    }
    __syncthreads();
    if (offset == nullptr && threadIdx.x == 0) counts[i] = entries;
}

// One thread an entry. counts [columns] starts as 0.
__global__ void count_columns_kernel(const int32_t* index, int64_t entries, unsigned long long* counts) {
    const int64_t e = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (e < entries) atomicAdd(&counts[index[e]], 1ull);
}

// One warp a row: the rows transposed. next[j] starts as the offset of column j.
__global__ void fill_columns_kernel(Rows rows, int64_t count, unsigned long long* next, int32_t* index, float* value) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
    if (i >= count) return;
    for (int64_t e = rows.offset[i] + threadIdx.x % kWarp; e < rows.offset[i + 1]; e += kWarp) {
        const unsigned long long place = atomicAdd(&next[rows.index[e]], 1ull);
        index[place] = static_cast<int32_t>(i);
        value[place] = rows.value[e];
    }
}

// sums[j] += m(i, j) for every row j, all threads of a block together; met(j) once for each j that becomes nonzero.
template <class Met>
__device__ void add_overlaps(const Rows& rows, const Rows& columns, int64_t i, unsigned* sums, const Met& met) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    for (int64_t e = rows.offset[i] + warp; e < rows.offset[i + 1]; e += kWarps) {
        const int32_t column = rows.index[e];
        const float own = rows.value[e];
        for (int64_t at = columns.offset[column] + lane; at < columns.offset[column + 1]; at += kWarp) {
            const auto part = static_cast<unsigned>(fminf(own, columns.value[at]) * kOne + 0.5f);
            if (part == 0) continue;
            if (atomicAdd(&sums[columns.index[at]], part) == 0) met(columns.index[at]);
        }
    }
}

// m / (2 - m)
__device__ inline float nearness(unsigned sum) {
    const double m = static_cast<double>(sum) / static_cast<double>(kOne);
    return static_cast<float>(m / (2.0 - m));
}

// Blocks take rows of `out` in turn, each with its own sums [rows of all], which start and end as 0.
__global__ void blend_kernel(Rows rows, Rows columns, int64_t count, unsigned* all_sums, Matrix<float> out,
                             int64_t first, const float* scale, float lambda) {
    unsigned* sums = all_sums + blockIdx.x * count;
    const int64_t gallery = count - out.cols;
    for (int64_t i = blockIdx.x; i < out.rows; i += gridDim.x) {
        add_overlaps(rows, columns, first + i, sums, [](int32_t) {});
        __syncthreads();
        const float divisor = scale[i];
        for (int64_t j = threadIdx.x; j < count; j += kThreads) {
            const unsigned sum = sums[j];
            sums[j] = 0;
            if (j < gallery) continue;
            float& value = out.row(i)[j - gallery];
            value = (1.0f - lambda) * (1.0f - nearness(sum)) + lambda * (divisor > 0.0f ? value / divisor : 0.0f);
        }
        __syncthreads();
    }
}

// Blocks take rows in turn, each with its own sums, which start and end as 0, and list of rows met. Counts where
// `offset` is null, else fills, unsorted.
__global__ void graph_kernel(Rows rows, Rows columns, int64_t count, unsigned* all_sums, int32_t* all_met, float eps,
                             const int64_t* offset, int64_t* counts, int32_t* index, float* distance) {
    __shared__ int met_rows, entries;
    unsigned* sums = all_sums + blockIdx.x * count;
    int32_t* met = all_met + blockIdx.x * count;
    for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
        if (threadIdx.x == 0) {
            met_rows = 0;
            entries = 1;
            if (offset != nullptr) {
                index[offset[i]] = static_cast<int32_t>(i);
                distance[offset[i]] = 0.0f;
            }
        }
        __syncthreads();
        add_overlaps(rows, columns, i, sums, [&](int32_t j) { met[atomicAdd(&met_rows, 1)] = j; });
        __syncthreads();
        for (int at = threadIdx.x; at < met_rows; at += kThreads) {
            const int32_t j = met[at];
            const float apart = fmaxf(0.0f, 1.0f - nearness(sums[j]));
            sums[j] = 0;
            if (j == i || !(apart < 1.0f && apart <= eps)) continue;
            const int place = atomicAdd(&entries, 1);
            if (offset == nullptr) continue;
            index[offset[i] + place] = j;
            distance[offset[i] + place] = apart;
        }
        __syncthreads();
        if (offset == nullptr && threadIdx.x == 0) counts[i] = entries;
    }
}

// One block a row: its entries by ascending (distance, index). Distances are 0 or more, so their bits order them.
__global__ void sort_rows_kernel(Rows rows, int32_t* index, float* distance) {
    __shared__ unsigned long long tile[kThreads];
    const int64_t begin = rows.offset[blockIdx.x], end = rows.offset[blockIdx.x + 1];
    const auto key_at = [&](int64_t e) {
        return e < end ? static_cast<unsigned long long>(__float_as_uint(rows.value[e])) << 32 |
                             static_cast<unsigned>(rows.index[e])
                       : ~0ull;
    };
    for (int64_t base = begin; base < end; base += kThreads) {
        const int64_t mine = base + threadIdx.x;
        const unsigned long long key = key_at(mine);
        int64_t rank = 0;
        for (int64_t start = begin; start < end; start += kThreads) {
            tile[threadIdx.x] = key_at(start + threadIdx.x);
            __syncthreads();
            for (int other = 0; other < kThreads; ++other) rank += tile[other] < key;
            __syncthreads();
        }
        if (mine >= end) continue;
        index[begin + rank] = rows.index[mine];
        distance[begin + rank] = rows.value[mine];
    }
}

}  // namespace rerank
}  // namespace unrealperson
