// What Python may call of skin.h.
#include <algorithm>
#include <cstring>
#include <string>

#include "array.h"
#include "bind.h"
#include "skin.h"

namespace unrealperson {
namespace {

void require_finite(const float* x, int64_t n, const char* name) {
    uint32_t found = 0;
    for (int64_t i = 0; i < n; ++i) {
        uint32_t bits;
        std::memcpy(&bits, x + i, sizeof bits);
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (found) throw py::value_error(std::string(name) + " must be finite, got NaN or Inf");
}

void skin_arrays(const py::object& positions, const py::object& normals, const py::object& bone_index,
                 const py::object& bone_weight, const py::object& bones, const py::object& begin,
                 const py::object& out_positions, const py::object& out_normals, int threads) {
    const Array positions_array(positions, "positions", false), normals_array(normals, "normals", false),
        index_array(bone_index, "bone_index", false), weight_array(bone_weight, "bone_weight", false),
        bones_array(bones, "bones", false), begin_array(begin, "begin", false),
        posed_array(out_positions, "out_positions", true), turned_array(out_normals, "out_normals", true);
    const int64_t vertices = positions_array.matrix<const float>().rows, people = bones_array.size(0),
                  count = bones_array.size(1);
    const auto* first = begin_array.elements<const int64_t>(people + 1);
    expect(first[0] == 0 && first[people] == vertices && std::is_sorted(first, first + people + 1),
           "begin must rise from 0 to the number of vertices");
    const SkinInput in{vertices,
                       count,
                       people,
                       first,
                       positions_array.elements<const float>(3 * vertices),
                       normals_array.elements<const float>(3 * vertices),
                       index_array.elements<const uint8_t>(4 * vertices),
                       weight_array.elements<const float>(4 * vertices),
                       bones_array.elements<const float>(12 * people * count)};
    float* posed = posed_array.elements<float>(3 * vertices);
    float* turned = turned_array.elements<float>(3 * vertices);
    require_finite(in.positions, 3 * vertices, "positions");
    require_finite(in.normals, 3 * vertices, "normals");
    require_finite(in.bone_weight, 4 * vertices, "bone_weight");
    require_finite(in.transforms, 12 * people * count, "bones");
    SkinResult result;
    {
        py::gil_scoped_release release;
        result = skin(in, posed, turned, threads);
    }
    const std::string where = ", see vertex " + std::to_string(result.vertex);
    if (result.fault == SkinFault::bone_index)
        throw py::value_error("bone_index must be below the number of bones, " + std::to_string(count) + where);
    if (result.fault == SkinFault::bone_weight)
        throw py::value_error("bone_weight must be 0 or more and sum to 1 for every vertex" + where);
}

}  // namespace

void bind_skin(py::module_& m) { m.def("skin", &skin_arrays); }

}  // namespace unrealperson
