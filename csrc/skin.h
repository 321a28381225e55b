// Linear-blend skinning of positions and normals of one person or many (CPU only).
#pragma once

#include <cstdint>

namespace unrealperson {

struct SkinInput {
    int64_t vertices, bones, people;
    const int64_t* begin;       // [people + 1] first vertex of each person, and the number of vertices
    const float* positions;     // [V, 3]
    const float* normals;       // [V, 3]
    const uint8_t* bone_index;  // [V, 4]
    const float* bone_weight;   // [V, 4] of sum 1
    const float* transforms;    // [people, B, 3, 4] from rest to pose, row-major
};

enum class SkinFault { none, bone_index, bone_weight };

struct SkinResult {
    SkinFault fault;
    int64_t vertex;  // the first at fault, or -1
};

// Writes posed positions and unit normals [V, 3]; a zero normal stays zero. Products and sums run in one written order
// without contraction: the same bits on every machine.
SkinResult skin(const SkinInput& in, float* out_positions, float* out_normals, int threads);

}  // namespace unrealperson
