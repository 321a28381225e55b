// JVTC's joint visual-temporal distance of a query to a gallery row (Li and Zhang, ECCV 2020; UnrealPerson
// section 4.3):
//   d = 1 - 1 / (1 + a exp(-b s)) * 1 / (1 + c exp(-f p))
// with the features' product s and the probability p of this pair of cameras at this gap of frames.
//
// Of p only w = c (exp(-f p) - 1) matters: it is tabulated. With e = a exp(-b s),
//   key = w + e (1 + c + w)    orders as d does, without rounding different pairs to one distance near 1 - 1 / (1 + c)
//   d   = (c + key) / (1 + c + key), within [0, 1]
// Frames arrive as slot = frame / bin_frames and rest = frame % bin_frames, so a gap's bin needs no division.
#pragma once

#include <cstdint>

#include "tensor.h"

namespace unrealperson {

// Where and when each row was seen. Arrays of `count`.
struct Sightings {
    const int64_t* slot;
    const int32_t* rest;
    const int32_t* camera;  // below TemporalTable::cameras
    int64_t count;
};

// w of [later camera, earlier camera, bin]; the last bin is for every gap beyond the others. Below 2^31 elements.
struct TemporalTable {
    const float* weight;
    int32_t cameras, bins;
};

// e = 2^(offset + slope s); unseen = c.
struct Fusion {
    float slope, offset, unseen;
};

// Beyond it, e would leave what float32 holds; d is 0 or 1 less 1 / (1 + c) to the last bit long before.
constexpr float kLargestExponent = 86.0f;

// The table's element for a query and a gallery row. `steps` is the query's slot less the gallery's, within
// [-bins, bins]; only a query later than the gallery row counts as the later of the two.
UP_HOST_DEVICE inline int32_t table_index(int32_t steps, int32_t query_rest, int32_t query_camera, int32_t rest,
                                          int32_t camera, int32_t cameras, int32_t bins) {
    const bool later = steps > 0 || (steps == 0 && query_rest > rest);
    const int32_t gap = later ? steps - (query_rest < rest) : -steps - (rest < query_rest);
    const int32_t pair = later ? query_camera * cameras + camera : camera * cameras + query_camera;
    return pair * bins + (gap < bins - 1 ? gap : bins - 1);
}

UP_HOST_DEVICE inline int32_t slot_steps(int64_t query_slot, int64_t slot, int32_t bins) {
    const int64_t steps = query_slot - slot;
    return static_cast<int32_t>(steps > bins ? bins : steps < -bins ? -bins : steps);
}

// out[i, j] = d, or its key, from similarity[i, j]; the two may be one matrix. Returns the first row with a similarity
// that is not finite, or -1.
int64_t joint_distances(Matrix<const float> similarity, const Sightings& query, const Sightings& gallery,
                        const TemporalTable& table, const Fusion& fusion, bool keys, Matrix<float> out, int threads);

// The GPU twin (temporal_cuda.cu). Every entry returns a cudaError_t, 0 for success, and works on `stream` of `device`.
// bad_row [1], which the caller sets to -1, becomes the first row with a similarity that is not finite.
extern "C" {
int64_t up_cuda_joint_topk_limit();
int up_cuda_joint_distances(Matrix<const float> similarity, Sightings query, Sightings gallery, TemporalTable table,
                            Fusion fusion, bool keys, Matrix<float> out, int64_t* bad_row, int device, void* stream);
// Puts the columns of a block, whose first is gallery row `first`, into each row's k nearest: sorted keys and gallery
// rows [q, k], k <= up_cuda_joint_topk_limit(). `fresh` starts the lists; else they continue a call with lower columns.
int up_cuda_joint_topk(Matrix<const float> similarity, Sightings query, Sightings gallery, TemporalTable table,
                       Fusion fusion, int64_t first, bool fresh, int64_t k, float* keys, int64_t* indices,
                       int64_t* bad_row, int device, void* stream);
}

}  // namespace unrealperson
