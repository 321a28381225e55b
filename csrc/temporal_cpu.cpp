#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel.h"
#include "simd.h"
#include "temporal.h"

namespace unrealperson {
namespace {

constexpr int64_t kLineFloats = 16;  // of a line of the cache
constexpr int64_t kChunk = 512;      // columns a step: its arrays stay in the first cache

// Gives false where a similarity is not finite. `out` may be `similarity`.
template <bool keys>
UP_INLINE bool fuse_row(const float* similarity, const float* weight, const Fusion& fusion, int64_t n, float* out) {
    int32_t largest = 0;
#pragma GCC ivdep
    for (int64_t j = 0; j < n; ++j) {
        const float s = similarity[j], key = joint_key(s, weight[j], fusion);
        largest = std::max(largest, magnitude(s));
        out[j] = keys ? key : joint_value(key, fusion);
    }
    return largest < kNotFinite;
}

UP_INLINE bool row_body(const float* similarity, const Sightings& query, int64_t row, const Sightings& gallery,
                        const TemporalTable& table, const Fusion& fusion, bool keys, float* out) {
    int32_t place[kChunk];
    float weight[kChunk];
    const int64_t slot = query.slot[row];
    const int32_t rest = query.rest[row], camera = query.camera[row], cameras = table.cameras, bins = table.bins;
    const Fusion constants = fusion;
    bool finite = true;
    for (int64_t first = 0; first < gallery.count; first += kChunk) {
        const int64_t n = std::min(kChunk, gallery.count - first);
        const int64_t* slots = gallery.slot + first;
        const int32_t *rests = gallery.rest + first, *cameras_of = gallery.camera + first;
        // Both rows come near while their places in the table are found.
        for (int64_t j = 0; j < n; j += kLineFloats) {
            __builtin_prefetch(similarity + first + j);
            __builtin_prefetch(out + first + j, 1);
        }
        for (int64_t j = 0; j < n; ++j)
            place[j] =
                table_index(slot_steps(slot, slots[j], bins), rest, camera, rests[j], cameras_of[j], cameras, bins);
        for (int64_t j = 0; j < n; ++j) weight[j] = table.weight[place[j]];
        finite &= keys ? fuse_row<true>(similarity + first, weight, constants, n, out + first)
                       : fuse_row<false>(similarity + first, weight, constants, n, out + first);
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
    const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, similarity.cols));
    parallel_for(similarity.rows, grain, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            finite[i] = kernel(similarity.row(i), query, i, gallery, table, fusion, keys, out.row(i));
    });
    const auto bad = std::find(finite.begin(), finite.end(), 0);
    return bad == finite.end() ? -1 : bad - finite.begin();
}

}  // namespace unrealperson
