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
#include <cstring>

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

// Everything below avoids branches, so that one text serves the compiler's vectors and the GPU.

UP_HOST_DEVICE inline int32_t slot_steps(int64_t query_slot, int64_t slot, int32_t bins) {
    const int64_t steps = query_slot - slot, above = steps < -bins ? -bins : steps;
    return static_cast<int32_t>(above > bins ? bins : above);
}

// The table's element for a query and a gallery row `steps` slots before it, clamped as slot_steps does. In half slots,
// the order of the two rests included, halves is above 0 where the query is later, and |halves| / 2 is the gap.
UP_HOST_DEVICE inline int32_t table_index(int32_t steps, int32_t query_rest, int32_t query_camera, int32_t rest,
                                          int32_t camera, int32_t cameras, int32_t bins) {
    const int32_t ahead = query_rest > rest ? 1 : 0, behind = query_rest < rest ? 1 : 0;
    const int32_t halves = 2 * steps + ahead - behind;
    const int32_t gap = (halves < 0 ? -halves : halves) >> 1;
    const int32_t later = query_camera * cameras + camera, earlier = camera * cameras + query_camera;
    return (halves > 0 ? later : earlier) * bins + (gap < bins - 1 ? gap : bins - 1);
}

UP_HOST_DEVICE inline int32_t bits_of(float x) {
    int32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

UP_HOST_DEVICE inline float float_of(int32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// |x| as bits: they rise with it, from kNotFinite on for Inf and NaN.
UP_HOST_DEVICE inline int32_t magnitude(float x) { return bits_of(x) & 0x7fffffff; }
constexpr int32_t kNotFinite = 0x7f800000;

// 2^t within 1.2e-7 of it, by a minimax polynomial of the part within a half of zero; t is cut to +-86, where float32
// still holds the result.
UP_HOST_DEVICE inline float power_of_two(float t) {
    constexpr int32_t kLargest = 0x42ac0000;  // 86
    constexpr float kRound = 12582912.0f;     // 1.5 * 2^23: added, it leaves the nearest integer in the lowest bits
    const int32_t size = magnitude(t);
    t = float_of((size < kLargest ? size : kLargest) | (bits_of(t) & INT32_MIN));
    const float shifted = t + kRound;
    const float part = t - (shifted - kRound);
    float power = part * 0.00015345811f + 0.00133999309f;
    power = power * part + 0.00961848907f;
    power = power * part + 0.0555032864f;
    power = power * part + 0.240226462f;
    power = power * part + 0.693147182f;
    power = power * part + 1.0f;
    const uint32_t exponent = static_cast<uint32_t>(bits_of(shifted)) << 23;
    return float_of(static_cast<int32_t>(static_cast<uint32_t>(bits_of(power)) + exponent));
}

UP_HOST_DEVICE inline float joint_key(float similarity, float weight, const Fusion& fusion) {
    const float e = power_of_two(similarity * fusion.slope + fusion.offset);
    return weight + e * (1.0f + fusion.unseen + weight);
}

UP_HOST_DEVICE inline float joint_value(float key, const Fusion& fusion) {
    return (fusion.unseen + key) / (1.0f + fusion.unseen + key);
}

// out[i, j] = d, or its key, from similarity[i, j]; the two may be one matrix. Returns the first row with a similarity
// that is not finite, or -1.
int64_t joint_distances(Matrix<const float> similarity, const Sightings& query, const Sightings& gallery,
                        const TemporalTable& table, const Fusion& fusion, bool keys, Matrix<float> out, int threads);

// The GPU twin (temporal_cuda.cu). Every entry returns a cudaError_t, 0 for success, and works on `stream` of `device`.
// bad_row [1], which the caller sets to -1, becomes the first row with a similarity that is not finite.
extern "C" {
// slot [n] and place [2, n] (rest, camera) of what was seen, as Sightings has them; -1 is unknown and becomes the
// camera `cameras`. bad_row [1] becomes the first row whose camera is not below `cameras`, or where either is below -1.
int up_cuda_sightings(const int64_t* camera, const int64_t* frame, int64_t n, int64_t cameras, int64_t bin_frames,
                      int64_t* slot, int32_t* place, int64_t* bad_row, int device, void* stream);
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
