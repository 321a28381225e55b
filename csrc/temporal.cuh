// The GPU twin of temporal.h: the same look-up, keys and order of rows. Kernels only; temporal_cuda.cu launches them.
#pragma once

#include <cstdint>

#include "temporal.h"
#include "tensor.h"

namespace unrealperson {

constexpr int kJointThreads = 256;
constexpr int kJointWarp = 32;
constexpr unsigned kJointLanes = 0xffffffffu;
constexpr int kPerThread = 4;      // adjacent columns, one 16-byte load
constexpr int kRowsPerBlock = 16;  // share what the block has read of its gallery rows
constexpr int kListLength = 128;
constexpr int kPerLane = kListLength / kJointWarp;

// One thread a row. Rows that are refused count as unknown, so that the look-up stays within its table.
__global__ void sightings_kernel(const int64_t* camera, const int64_t* frame, int64_t n, int64_t cameras,
                                 int64_t bin_frames, int64_t* slot, int32_t* place, unsigned long long* bad_row) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kJointThreads + threadIdx.x;
    if (i >= n) return;
    const int64_t own_camera = camera[i], own_frame = frame[i];
    if (own_camera < -1 || own_camera >= cameras || own_frame < -1)
        atomicMin(bad_row, static_cast<unsigned long long>(i));
    const bool known = own_camera >= 0 && own_camera < cameras && own_frame >= 0;
    const int64_t own_slot = known ? own_frame / bin_frames : 0;
    slot[i] = own_slot;
    place[i] = known ? static_cast<int32_t>(own_frame - own_slot * bin_frames) : 0;
    place[n + i] = static_cast<int32_t>(known ? own_camera : cameras);
}

// What of a query or gallery row the look-up needs.
struct Sighting {
    int64_t slot;
    int32_t rest, camera;
};

__device__ inline Sighting sighting_of(const Sightings& side, int64_t i) {
    return {__ldg(side.slot + i), __ldg(side.rest + i), __ldg(side.camera + i)};
}

__device__ inline float weight_of(const Sighting& query, const Sighting& row, const TemporalTable& table) {
    const int32_t steps = slot_steps(query.slot, row.slot, table.bins);
    return __ldg(table.weight +
                 table_index(steps, query.rest, query.camera, row.rest, row.camera, table.cameras, table.bins));
}

// Each thread takes kPerThread columns through kRowsPerBlock rows; blocks are numbered along the columns first.
// `wide`: every row of both matrices starts at a multiple of 16 bytes.
template <bool wide>
__global__ void __launch_bounds__(kJointThreads)
    joint_distances_kernel(Matrix<const float> similarity, Sightings query, Sightings gallery, TemporalTable table,
                           Fusion fusion, bool keys, Matrix<float> out, unsigned long long* bad_row) {
    constexpr int kColumns = kJointThreads * kPerThread;
    const int64_t across = (similarity.cols + kColumns - 1) / kColumns;
    const int64_t column = blockIdx.x % across * kColumns + threadIdx.x * kPerThread;
    const int64_t begin = blockIdx.x / across * kRowsPerBlock;
    const int64_t end = begin + kRowsPerBlock < similarity.rows ? begin + kRowsPerBlock : similarity.rows;
    if (column >= similarity.cols) return;
    const bool whole = column + kPerThread <= similarity.cols;
    const int count = whole ? kPerThread : static_cast<int>(similarity.cols - column);
    Sighting row[kPerThread];
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) row[j] = sighting_of(gallery, column + (j < count ? j : 0));
    for (int64_t i = begin; i < end; ++i) {
        const Sighting seen = sighting_of(query, i);
        const float* in = similarity.row(i) + column;
        float* result = out.row(i) + column;
        float4 s;
        if (wide && whole)
            s = *reinterpret_cast<const float4*>(in);
        else
            s = {in[0], in[count > 1 ? 1 : 0], in[count > 2 ? 2 : 0], in[count > 3 ? 3 : 0]};
        const int32_t largest = max(max(magnitude(s.x), magnitude(s.y)), max(magnitude(s.z), magnitude(s.w)));
        if (largest >= kNotFinite) atomicMin(bad_row, static_cast<unsigned long long>(i));
        const auto fused = [&](float each, const Sighting& at) {
            const float key = joint_key(each, weight_of(seen, at, table), fusion);
            return keys ? key : joint_value(key, fusion);
        };
        const float4 d = {fused(s.x, row[0]), fused(s.y, row[1]), fused(s.z, row[2]), fused(s.w, row[3])};
        if (wide && whole) {
            *reinterpret_cast<float4*>(result) = d;
            continue;
        }
        result[0] = d.x;
        if (count > 1) result[1] = d.y;
        if (count > 2) result[2] = d.z;
        if (count > 3) result[3] = d.w;
    }
}

// A warp's sorted list: entry e lies in lane e % 32, at [e / 32].
struct WarpList {
    float key[kPerLane];
    int64_t index[kPerLane];

    // Behind its equals, so those that come later must have higher indices. All lanes call it together.
    __device__ void insert(float new_key, int64_t new_index) {
        const int lane = threadIdx.x % kJointWarp;
        int place = 0;
#pragma unroll
        for (int part = 0; part < kPerLane; ++part) place += __popc(__ballot_sync(kJointLanes, key[part] <= new_key));
#pragma unroll
        for (int part = kPerLane - 1; part >= 0; --part) {
            float before_key = __shfl_up_sync(kJointLanes, key[part], 1);
            int64_t before = __shfl_up_sync(kJointLanes, static_cast<long long>(index[part]), 1);
            if (part > 0) {
                const float carried_key = __shfl_sync(kJointLanes, key[part - 1], kJointWarp - 1);
                const int64_t carried =
                    __shfl_sync(kJointLanes, static_cast<long long>(index[part - 1]), kJointWarp - 1);
                before_key = lane == 0 ? carried_key : before_key;
                before = lane == 0 ? carried : before;
            }
            const int entry = part * kJointWarp + lane;
            key[part] = entry < place ? key[part] : entry == place ? new_key : before_key;
            index[part] = entry < place ? index[part] : entry == place ? new_index : before;
        }
    }

    // The key of entry k - 1, which one must be below to enter.
    __device__ float threshold(int k) const {
        float found = INFINITY;
#pragma unroll
        for (int part = 0; part < kPerLane; ++part) {
            const float here = __shfl_sync(kJointLanes, key[part], (k - 1) % kJointWarp);
            found = part == (k - 1) / kJointWarp ? here : found;
        }
        return found;
    }
};

// One warp a row: columns ascend, kPerThread warps of them at a time, and those below the k-th key enter its list.
__global__ void __launch_bounds__(kJointThreads)
    joint_topk_kernel(Matrix<const float> similarity, Sightings query, Sightings gallery, TemporalTable table,
                      Fusion fusion, int64_t first, bool fresh, int k, float* keys, int64_t* indices,
                      unsigned long long* bad_row) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * (kJointThreads / kJointWarp) + threadIdx.x / kJointWarp;
    if (i >= similarity.rows) return;
    const int lane = threadIdx.x % kJointWarp;
    WarpList list;
#pragma unroll
    for (int part = 0; part < kPerLane; ++part) {
        const int entry = part * kJointWarp + lane;
        const bool filled = !fresh && entry < k;
        list.key[part] = filled ? keys[i * k + entry] : INFINITY;
        list.index[part] = filled ? indices[i * k + entry] : -1;
    }
    const Sighting seen = sighting_of(query, i);
    const float* in = similarity.row(i);
    float threshold = list.threshold(k);
    bool finite = true;
    for (int64_t base = 0; base < similarity.cols; base += kPerThread * kJointWarp) {
        float key[kPerThread];
#pragma unroll
        for (int part = 0; part < kPerThread; ++part) {
            const int64_t column = base + part * kJointWarp + lane;
            key[part] = INFINITY;
            if (column >= similarity.cols) continue;
            const float s = in[column];
            finite &= magnitude(s) < kNotFinite;
            key[part] = joint_key(s, weight_of(seen, sighting_of(gallery, column), table), fusion);
        }
#pragma unroll
        for (int part = 0; part < kPerThread; ++part) {
            unsigned waiting = __ballot_sync(kJointLanes, key[part] < threshold);
            while (waiting != 0) {
                const int source = __ffs(static_cast<int>(waiting)) - 1;
                waiting &= waiting - 1;
                const float candidate = __shfl_sync(kJointLanes, key[part], source);
                if (!(candidate < threshold)) continue;
                list.insert(candidate, first + base + part * kJointWarp + source);
                threshold = list.threshold(k);
            }
        }
    }
    if (!finite) atomicMin(bad_row, static_cast<unsigned long long>(i));
#pragma unroll
    for (int part = 0; part < kPerLane; ++part) {
        const int entry = part * kJointWarp + lane;
        if (entry >= k) continue;
        keys[i * k + entry] = list.key[part];
        indices[i * k + entry] = list.index[part];
    }
}

}  // namespace unrealperson
