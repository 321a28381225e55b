#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "parallel.h"
#include "skin.h"

namespace unrealperson {
namespace {

typedef float Column __attribute__((vector_size(16)));  // x, y, z and one idle lane

struct Bone {
    Column x, y, z, translation;
};

// A column of a row-major [3, 4] transform.
inline Column column(const float* m) { return Column{m[0], m[4], m[8], 0.0f}; }

std::vector<Bone> columns_of(const SkinInput& in) {
    std::vector<Bone> bones(static_cast<size_t>(in.people * in.bones));
    for (int64_t b = 0; b < in.people * in.bones; ++b) {
        const float* m = in.transforms + 12 * b;
        bones[b] = Bone{column(m), column(m + 1), column(m + 2), column(m + 3)};
    }
    return bones;
}

inline void store(float* out, const Column& v) {
    out[0] = v[0];
    out[1] = v[1];
    out[2] = v[2];
}

}  // namespace

SkinResult skin(const SkinInput& in, float* out_positions, float* out_normals, int threads) {
    const std::vector<Bone> bones = columns_of(in);
    std::atomic<int64_t> faulty{in.vertices};
    const auto pose = [&](int64_t begin, int64_t end) {
        int64_t person = std::upper_bound(in.begin, in.begin + in.people, begin) - in.begin - 1;
        for (int64_t v = begin; v < end; ++v) {
            while (v >= in.begin[person + 1]) ++person;
            const Bone* rig = bones.data() + person * in.bones;
            const uint8_t* index = in.bone_index + 4 * v;
            const float* w = in.bone_weight + 4 * v;
            const float total = (w[0] + w[1]) + (w[2] + w[3]);
            const bool weighted = w[0] >= 0 && w[1] >= 0 && w[2] >= 0 && w[3] >= 0 && std::fabs(total - 1.0f) <= 1e-3f;
            const int64_t highest = std::max(std::max(index[0], index[1]), std::max(index[2], index[3]));
            if (!weighted || highest >= in.bones) {
                int64_t seen = faulty.load();
                while (v < seen && !faulty.compare_exchange_weak(seen, v)) {
                }
                return;
            }
            const Bone &a = rig[index[0]], &b = rig[index[1]], &c = rig[index[2]], &d = rig[index[3]];
            const Column x = ((w[0] * a.x + w[1] * b.x) + w[2] * c.x) + w[3] * d.x;
            const Column y = ((w[0] * a.y + w[1] * b.y) + w[2] * c.y) + w[3] * d.y;
            const Column z = ((w[0] * a.z + w[1] * b.z) + w[2] * c.z) + w[3] * d.z;
            const Column t =
                ((w[0] * a.translation + w[1] * b.translation) + w[2] * c.translation) + w[3] * d.translation;

            const float* p = in.positions + 3 * v;
            store(out_positions + 3 * v, ((x * p[0] + y * p[1]) + z * p[2]) + t);

            const float* n = in.normals + 3 * v;
            const Column turned = (x * n[0] + y * n[1]) + z * n[2];
            const Column square = turned * turned;
            const float length = std::sqrt((square[0] + square[1]) + square[2]);
            const float divisor = length > 0.0f ? length : 1.0f;
            store(out_normals + 3 * v, turned / Column{divisor, divisor, divisor, divisor});
        }
    };
    parallel_for(in.vertices, 32768, threads, pose);
    const int64_t vertex = faulty.load();
    if (vertex == in.vertices) return {SkinFault::none, -1};
    const uint8_t* index = in.bone_index + 4 * vertex;
    const bool outside = *std::max_element(index, index + 4) >= in.bones;
    return {outside ? SkinFault::bone_index : SkinFault::bone_weight, vertex};
}

}  // namespace unrealperson
