#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel.h"
#include "simd.h"
#include "temporal.h"

namespace unrealperson {
namespace {

constexpr int64_t kChunk = 512;  // columns whose table elements are gathered at once; a multiple of kLanes
typedef uint32_t LaneBits __attribute__((vector_size(4 * kLanes)));

// 2^t for |t| <= kLargestExponent, within 1.2e-7 of it: a minimax polynomial of the part within a half of zero.
UP_INLINE Lanes power_of_two(const Lanes& t) {
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: added, it leaves the nearest integer in the lowest bits
    const Lanes shifted = t + kRound;
    const Lanes part = t - (shifted - kRound);
    Lanes power = part * 0.00015345811f + 0.00133999309f;
    power = power * part + 0.00961848907f;
    power = power * part + 0.0555032864f;
    power = power * part + 0.240226462f;
    power = power * part + 0.693147182f;
    power = power * part + 1.0f;
    return (Lanes)((LaneBits)power + ((LaneBits)shifted << 23));
}

// Gives false where a similarity is not finite.
template <bool keys>
UP_INLINE bool fuse_lanes(const float* similarity, const float* weight, const Fusion& fusion, int64_t n, float* out) {
    LaneMask finite = ~LaneMask{};
    for (int64_t j = 0; j < n; j += kLanes) {
        const int64_t rest = std::min<int64_t>(n - j, kLanes);
        Lanes s{};
        if (rest == kLanes)
            s = lanes(similarity + j);
        else
            std::memcpy(&s, similarity + j, rest * sizeof(float));
        const Lanes w = lanes(weight + j);
        finite &= s - s == 0.0f;
        Lanes t = s * fusion.slope + fusion.offset;
        t = t < -kLargestExponent ? Lanes{} - kLargestExponent : t;
        t = t > kLargestExponent ? Lanes{} + kLargestExponent : t;
        const float one_unseen = 1.0f + fusion.unseen;
        Lanes result = w + power_of_two(t) * (one_unseen + w);
        if (!keys) result = (fusion.unseen + result) / (one_unseen + result);
        if (rest == kLanes)
            lanes(out + j) = result;
        else
            std::memcpy(out + j, &result, rest * sizeof(float));
    }
    int32_t lane[kLanes], all = -1;
    std::memcpy(lane, &finite, sizeof lane);
    for (int32_t each : lane) all &= each;
    return all != 0;
}

UP_INLINE bool row_body(const float* similarity, const Sightings& query, int64_t row, const Sightings& gallery,
                        const TemporalTable& table, const Fusion& fusion, bool keys, float* out) {
    int32_t place[kChunk];
    alignas(64) float weight[kChunk];
    const int64_t slot = query.slot[row];
    const int32_t rest = query.rest[row], camera = query.camera[row], cameras = table.cameras, bins = table.bins;
    bool finite = true;
    for (int64_t first = 0; first < gallery.count; first += kChunk) {
        const int64_t n = std::min(kChunk, gallery.count - first);
        for (int64_t j = 0; j < n; ++j) place[j] = slot_steps(slot, gallery.slot[first + j], bins);
        for (int64_t j = 0; j < n; ++j)
            place[j] =
                table_index(place[j], rest, camera, gallery.rest[first + j], gallery.camera[first + j], cameras, bins);
        for (int64_t j = 0; j < n; ++j) weight[j] = table.weight[place[j]];
        std::fill(weight + n, weight + (n + kLanes - 1) / kLanes * kLanes, 0.0f);
        finite &= keys ? fuse_lanes<true>(similarity + first, weight, fusion, n, out + first)
                       : fuse_lanes<false>(similarity + first, weight, fusion, n, out + first);
    }
    return finite;
}

using RowKernel = bool (*)(const float*, const Sightings&, int64_t, const Sightings&, const TemporalTable&,
                           const Fusion&, bool, float*);

#define UP_KERNELS(isa, attribute)                                                                                   \
    attribute bool row_##isa(const float* similarity, const Sightings& query, int64_t row, const Sightings& gallery, \
                             const TemporalTable& table, const Fusion& fusion, bool keys, float* out) {              \
        return row_body(similarity, query, row, gallery, table, fusion, keys, out);                                  \
    }                                                                                                                \
    constexpr RowKernel kernels_##isa = row_##isa;

UP_EACH_ISA(UP_KERNELS)

}  // namespace

int64_t joint_distances(Matrix<const float> similarity, const Sightings& query, const Sightings& gallery,
                        const TemporalTable& table, const Fusion& fusion, bool keys, Matrix<float> out, int threads) {
    const RowKernel kernel = UP_CHOSEN_ISA(kernels);
    std::vector<char> finite(static_cast<size_t>(similarity.rows));
    const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, similarity.cols));
    parallel_for(similarity.rows, grain, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            finite[i] = kernel(similarity.row(i), query, i, gallery, table, fusion, keys, out.row(i));
    });
    const auto bad = std::find(finite.begin(), finite.end(), 0);
    return bad == finite.end() ? -1 : bad - finite.begin();
}

}  // namespace unrealperson
