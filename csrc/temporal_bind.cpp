// What Python may call of temporal.h.
#include "array.h"
#include "bind.h"
#include "device.h"
#include "temporal.h"

namespace unrealperson {
namespace {

// Borrowed slots [n], places [2, n] (rest, camera) of one side.
class SightingArrays {
  public:
    SightingArrays(const py::object& slot, const py::object& place, int64_t count, bool on_gpu)
        : slot_(slot, "slot", false), place_(place, "place", false) {
        const auto places = place_.matrix<const int32_t>(on_gpu);
        expect(places.rows == 2 && places.cols == count, "place must be [2, n]");
        view = {slot_.elements<const int64_t>(count, on_gpu), places.row(0), places.row(1), count};
    }
    Sightings view;

  private:
    Array slot_, place_;
};

class TableArray {
  public:
    TableArray(const py::object& weight, bool on_gpu) : weight_(weight, "weight", false) {
        expect(weight_.ndim() == 3 && weight_.size(0) == weight_.size(1), "weight must be [cameras, cameras, bins]");
        const int64_t cameras = weight_.size(0), bins = weight_.size(2);
        const float* elements = weight_.elements<const float>(cameras * cameras * bins, on_gpu);
        expect(cameras * cameras * bins <= INT32_MAX, "weight must have less than 2^31 elements");
        view = {elements, static_cast<int32_t>(cameras), static_cast<int32_t>(bins)};
    }
    TemporalTable view;

  private:
    Array weight_;
};

int64_t bind_joint_distances(const py::object& similarity, const py::object& query_slot, const py::object& query_place,
                             const py::object& gallery_slot, const py::object& gallery_place, const py::object& weight,
                             float slope, float offset, float unseen, bool keys, const py::object& out, int threads) {
    const Array similarity_array(similarity, "similarity", false), out_array(out, "out", true);
    const auto in = similarity_array.matrix<const float>();
    const auto result = out_array.matrix<float>();
    expect(result.rows == in.rows && result.cols == in.cols, "out must be [q, g]");
    const SightingArrays query(query_slot, query_place, in.rows, false),
        gallery(gallery_slot, gallery_place, in.cols, false);
    const TableArray table(weight, false);
    py::gil_scoped_release release;
    return joint_distances(in, query.view, gallery.view, table.view, {slope, offset, unseen}, keys, result, threads);
}

#if defined(UP_WITH_CUDA)
void bind_cuda_sightings(const py::object& camera, const py::object& frame, int64_t cameras, int64_t bin_frames,
                         const py::object& slot, const py::object& place, const py::object& bad_row, int device,
                         uintptr_t stream) {
    const Array camera_array(camera, "camera", false), frame_array(frame, "frame", false),
        slot_array(slot, "slot", true), place_array(place, "place", true), bad_array(bad_row, "bad_row", true);
    const int64_t n = slot_array.size(0);
    const auto* cameras_seen = camera_array.elements<const int64_t>(n, true);
    const auto* frames = frame_array.elements<const int64_t>(n, true);
    auto* slots = slot_array.elements<int64_t>(n, true);
    auto* places = place_array.elements<int32_t>(2 * n, true);
    auto* bad = bad_array.elements<int64_t>(1, true);
    expect(cameras >= 1 && cameras < INT32_MAX && bin_frames >= 1 && bin_frames <= INT32_MAX,
           "cameras and bin_frames must be at least 1 and fit int32");
    py::gil_scoped_release release;
    check_cuda(up_cuda_sightings(cameras_seen, frames, n, cameras, bin_frames, slots, places, bad, device,
                                 reinterpret_cast<void*>(stream)),
               "sightings");
}

void bind_cuda_joint_distances(const py::object& similarity, const py::object& query_slot,
                               const py::object& query_place, const py::object& gallery_slot,
                               const py::object& gallery_place, const py::object& weight, float slope, float offset,
                               float unseen, bool keys, const py::object& out, const py::object& bad_row, int device,
                               uintptr_t stream) {
    const Array similarity_array(similarity, "similarity", false), out_array(out, "out", true),
        bad_array(bad_row, "bad_row", true);
    const auto in = similarity_array.matrix<const float>(true);
    const auto result = out_array.matrix<float>(true);
    expect(result.rows == in.rows && result.cols == in.cols, "out must be [q, g]");
    const SightingArrays query(query_slot, query_place, in.rows, true),
        gallery(gallery_slot, gallery_place, in.cols, true);
    const TableArray table(weight, true);
    auto* bad = bad_array.elements<int64_t>(1, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_joint_distances(in, query.view, gallery.view, table.view, {slope, offset, unseen}, keys, result,
                                       bad, device, reinterpret_cast<void*>(stream)),
               "joint distances");
}

void bind_cuda_joint_topk(const py::object& similarity, const py::object& query_slot, const py::object& query_place,
                          const py::object& gallery_slot, const py::object& gallery_place, const py::object& weight,
                          float slope, float offset, float unseen, int64_t first, bool fresh, const py::object& keys,
                          const py::object& indices, const py::object& bad_row, int device, uintptr_t stream) {
    const Array similarity_array(similarity, "similarity", false), keys_array(keys, "keys", true),
        indices_array(indices, "indices", true), bad_array(bad_row, "bad_row", true);
    const auto in = similarity_array.matrix<const float>(true);
    const SightingArrays query(query_slot, query_place, in.rows, true),
        gallery(gallery_slot, gallery_place, in.cols, true);
    const TableArray table(weight, true);
    const int64_t k = keys_array.ndim() == 2 ? keys_array.size(1) : 0;
    expect(k >= 1 && k <= up_cuda_joint_topk_limit(), "keys must be [q, k] with k within the kernel's limit");
    float* key_list = keys_array.elements<float>(in.rows * k, true);
    auto* index_list = indices_array.elements<int64_t>(in.rows * k, true);
    auto* bad = bad_array.elements<int64_t>(1, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_joint_topk(in, query.view, gallery.view, table.view, {slope, offset, unseen}, first, fresh, k,
                                  key_list, index_list, bad, device, reinterpret_cast<void*>(stream)),
               "joint top-k");
}
#endif

}  // namespace

void bind_temporal(py::module_& m) {
    m.def("joint_distances", &bind_joint_distances);
#if defined(UP_WITH_CUDA)
    m.def("cuda_sightings", &bind_cuda_sightings);
    m.def("cuda_joint_distances", &bind_cuda_joint_distances);
    m.def("cuda_joint_topk", &bind_cuda_joint_topk);
    m.attr("cuda_joint_topk_limit") = up_cuda_joint_topk_limit();
#endif
}

}  // namespace unrealperson
