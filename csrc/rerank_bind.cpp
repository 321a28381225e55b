// What Python may call of rerank.h.
#include <memory>
#include <optional>

#include "array.h"
#include "bind.h"
#include "device.h"
#include "rerank.h"

namespace unrealperson {
namespace {

// Null where Python gives None.
const float* optional_scale(const std::optional<Array>& scale, int64_t rows) {
    return scale ? scale->elements<const float>(rows) : nullptr;
}

std::unique_ptr<Neighborhoods> make_neighborhoods(const py::object& indices, const py::object& distances,
                                                  const py::object& q, const py::object& g, const py::object& scale,
                                                  int64_t forward, int64_t half, int64_t k2, int threads) {
    const Array index_array(indices, "indices", false), distance_array(distances, "distances", false),
        q_array(q, "q", false), g_array(g, "g", false);
    std::optional<Array> scale_array;
    if (!scale.is_none()) scale_array.emplace(scale, "scale", false);
    const auto index = index_array.matrix<const int64_t>();
    const auto distance = distance_array.matrix<const float>();
    const Features x{q_array.matrix<const float>(), g_array.matrix<const float>()};
    expect(x.queries.cols == x.gallery.cols, "q and g must have rows of one length");
    expect(index.rows == x.rows() && distance.rows == index.rows && distance.cols == index.cols,
           "indices and distances must be [q + g, k]");
    expect(index.rows <= INT32_MAX, "there must be fewer than 2^31 rows");
    expect(forward >= 1 && half >= 1 && k2 >= 1 && half <= forward,
           "list sizes must be 1 or more, half within forward");
    const float* scales = optional_scale(scale_array, index.rows);
    py::gil_scoped_release release;
    return std::make_unique<Neighborhoods>(index, distance, x, scales, ListSizes{forward, half, k2}, threads);
}

void bind_blend(const Neighborhoods& all, const py::object& block, int64_t first, const py::object& scale, float lambda,
                int threads) {
    const Array block_array(block, "block", true), scale_array(scale, "scale", false);
    const auto values = block_array.matrix<float>();
    expect(first >= 0 && first + values.rows <= all.rows() && values.cols <= all.rows(),
           "block must lie within [n, n]");
    const float* scales = scale_array.elements<const float>(values.rows);
    py::gil_scoped_release release;
    all.blend(values, first, scales, lambda, threads);
}

void bind_count_graph(const Neighborhoods& all, float eps, const py::object& counts, int threads) {
    const Array counts_array(counts, "counts", true);
    auto* out = counts_array.elements<int64_t>(all.rows());
    py::gil_scoped_release release;
    all.count_graph(eps, out, threads);
}

void bind_fill_graph(const Neighborhoods& all, float eps, const py::object& indptr, const py::object& indices,
                     const py::object& data, int threads) {
    const Array indptr_array(indptr, "indptr", false), indices_array(indices, "indices", true),
        data_array(data, "data", true);
    const auto* offset = indptr_array.elements<const int64_t>(all.rows() + 1);
    const int64_t entries = offset[all.rows()];
    auto* index = indices_array.elements<int32_t>(entries);
    auto* distance = data_array.elements<float>(entries);
    py::gil_scoped_release release;
    all.fill_graph(eps, offset, index, distance, threads);
}

void bind_blend_query(const Neighborhoods& all, const py::object& query, const py::object& g, const py::object& row,
                      const py::object& scale, float query_scale, float lambda, int threads) {
    const Array query_array(query, "query", false), g_array(g, "g", false), row_array(row, "row", true),
        scale_array(scale, "scale", false);
    const Features x{query_array.matrix<const float>(), g_array.matrix<const float>()};
    expect(x.queries.cols == x.gallery.cols, "query and g must have rows of one length");
    expect(x.queries.rows == 1 && x.rows() == all.rows(), "query and g must hold one row less than prepared, and one");
    float* values = row_array.elements<float>(x.gallery.rows);
    const float* scales = scale_array.elements<const float>(x.gallery.rows);
    py::gil_scoped_release release;
    all.blend_query(x, values, scales, query_scale, lambda, threads);
}

void bind_raise_to_largest_key(const py::object& products, const py::object& terms, const py::object& largest,
                               int threads) {
    const Array products_array(products, "products", false), terms_array(terms, "terms", false),
        largest_array(largest, "largest", true);
    const auto block = products_array.matrix<const float>();
    const auto scale_bias = terms_array.matrix<const float>();
    expect(scale_bias.rows == 2 && scale_bias.cols == block.cols, "terms must be [2, columns of products]");
    float* out = largest_array.elements<float>(block.rows);
    py::gil_scoped_release release;
    raise_to_largest_key(block, scale_bias.row(0), scale_bias.row(1), out, threads);
}

void bind_transpose(const py::object& block, const py::object& out, int threads) {
    const Array block_array(block, "block", false), out_array(out, "out", true);
    const auto from = block_array.matrix<const float>();
    const auto to = out_array.matrix<float>();
    expect(to.rows == from.cols && to.cols == from.rows, "out must be block's shape reversed");
    py::gil_scoped_release release;
    transpose(from, to, threads);
}

#if defined(UP_WITH_CUDA)
// A GPU's sparse rows, given as (offset, index, value).
struct GpuRows {
    Array offset, index, value;

    GpuRows(const py::tuple& parts, bool writable)
        : offset(parts[0], "offset", false), index(parts[1], "index", writable), value(parts[2], "value", writable) {
        expect(index.size(0) == value.size(0), "index and value must be of one length");
    }
    const int64_t* offsets(int64_t rows) const { return offset.elements<const int64_t>(rows + 1, true); }
    const int32_t* indices() const { return index.elements<const int32_t>(index.size(0), true); }
    const float* values() const { return value.elements<const float>(index.size(0), true); }
};

// A first pass writes counts [rows], a second one fills rows at the offsets.
struct Pass {
    std::optional<Array> counts;
    std::optional<GpuRows> rows;

    explicit Pass(const py::object& into) {
        if (py::isinstance<py::tuple>(into))
            rows.emplace(into.cast<py::tuple>(), true);
        else
            counts.emplace(into, "counts", true);
    }
    int64_t* count(int64_t n) const { return counts ? counts->elements<int64_t>(n, true) : nullptr; }
    const int64_t* offset(int64_t n) const { return rows ? rows->offsets(n) : nullptr; }
    int32_t* index() const { return rows ? rows->index.elements<int32_t>(rows->index.size(0), true) : nullptr; }
    float* value() const { return rows ? rows->value.elements<float>(rows->index.size(0), true) : nullptr; }
};

void* queue(uintptr_t stream) { return reinterpret_cast<void*>(stream); }

void bind_cuda_half_sets(const py::object& lists, const py::object& sets, int device, uintptr_t stream) {
    const Array list_array(lists, "lists", false), set_array(sets, "sets", true);
    const auto rows = list_array.matrix<const int32_t>(true);
    const auto out = set_array.matrix<int32_t>(true);
    expect(rows.stride == rows.cols && out.stride == out.cols, "lists and sets must be contiguous");
    expect(out.rows == rows.rows && out.cols <= rows.cols, "sets must be [n, half]");
    py::gil_scoped_release release;
    check_cuda(up_cuda_half_sets(rows.data, rows.rows, rows.cols, out.cols, out.data, device, queue(stream)),
               "half sets");
}

void bind_cuda_weights(const py::object& lists, const py::object& distances, int64_t forward, const py::object& sets,
                       const py::object& q, const py::object& g, const py::object& scale, const py::object& into,
                       int device, uintptr_t stream) {
    const Array list_array(lists, "lists", false), distance_array(distances, "distances", false),
        set_array(sets, "sets", false), q_array(q, "q", false), g_array(g, "g", false);
    std::optional<Array> scale_array;
    if (!scale.is_none()) scale_array.emplace(scale, "scale", false);
    const Pass pass(into);
    const auto rows = list_array.matrix<const int32_t>(true), half_sets = set_array.matrix<const int32_t>(true);
    const auto queries = q_array.matrix<const float>(true), gallery = g_array.matrix<const float>(true);
    const int64_t n = rows.rows;
    expect(rows.stride == rows.cols && half_sets.stride == half_sets.cols, "lists and sets must be contiguous");
    expect(half_sets.rows == n && queries.rows + gallery.rows == n && queries.cols == gallery.cols &&
               forward <= rows.cols && half_sets.cols <= forward,
           "lists, sets, q and g must belong together");
    const float* distance = distance_array.elements<const float>(n * rows.cols, true);
    const float* scales = scale_array ? scale_array->elements<const float>(n, true) : nullptr;
    py::gil_scoped_release release;
    check_cuda(
        up_cuda_weights(rows.data, distance, n, rows.cols, forward, half_sets.cols, half_sets.data, queries, gallery,
                        scales, pass.offset(n), pass.count(n), pass.index(), pass.value(), device, queue(stream)),
        "weights");
}

void bind_cuda_expand(const py::object& lists, int64_t k2, const py::tuple& weights, const py::object& into, int device,
                      uintptr_t stream) {
    const Array list_array(lists, "lists", false);
    const GpuRows rows(weights, false);
    const Pass pass(into);
    const auto list = list_array.matrix<const int32_t>(true);
    const int64_t n = list.rows;
    expect(list.stride == list.cols && k2 <= list.cols, "lists must be contiguous and k2 wide");
    py::gil_scoped_release release;
    check_cuda(up_cuda_expand(list.data, n, list.cols, k2, rows.offsets(n), rows.indices(), rows.values(),
                              pass.offset(n), pass.count(n), pass.index(), pass.value(), device, queue(stream)),
               "query expansion");
}

void bind_cuda_count_columns(const py::object& index, const py::object& counts, int device, uintptr_t stream) {
    const Array index_array(index, "index", false), counts_array(counts, "counts", true);
    const int64_t entries = index_array.size(0);
    const auto* columns = index_array.elements<const int32_t>(entries, true);
    auto* out = counts_array.elements<int64_t>(counts_array.size(0), true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_count_columns(columns, entries, out, device, queue(stream)), "column counts");
}

void bind_cuda_fill_columns(const py::tuple& from, const py::object& next, const py::object& index,
                            const py::object& value, int device, uintptr_t stream) {
    const GpuRows rows(from, false);
    const Array next_array(next, "next", true), index_array(index, "index", true), value_array(value, "value", true);
    const int64_t n = next_array.size(0), entries = rows.index.size(0);
    auto* places = next_array.elements<int64_t>(n, true);
    auto* out_index = index_array.elements<int32_t>(entries, true);
    float* out_value = value_array.elements<float>(entries, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_fill_columns(rows.offsets(n), rows.indices(), rows.values(), n, places, out_index, out_value,
                                    device, queue(stream)),
               "columns");
}

void bind_cuda_blend(const py::tuple& from, const py::tuple& transposed, const py::object& sums,
                     const py::object& block, int64_t first, const py::object& scale, float lambda, int device,
                     uintptr_t stream) {
    const GpuRows rows(from, false), columns(transposed, false);
    const Array sums_array(sums, "sums", true), block_array(block, "block", true), scale_array(scale, "scale", false);
    const int64_t workers = sums_array.size(0), n = sums_array.size(1);
    const auto out = block_array.matrix<float>(true);
    expect(first >= 0 && first + out.rows <= n && out.cols <= n, "block must lie within [n, n]");
    auto* scratch = sums_array.elements<int32_t>(workers * n, true);
    const float* scales = scale_array.elements<const float>(out.rows, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_blend(rows.offsets(n), rows.indices(), rows.values(), columns.offsets(n), columns.indices(),
                             columns.values(), n, scratch, workers, out, first, scales, lambda, device, queue(stream)),
               "re-ranking");
}

void bind_cuda_graph(const py::tuple& from, const py::tuple& transposed, const py::object& sums, const py::object& met,
                     float eps, const py::object& into, int device, uintptr_t stream) {
    const GpuRows rows(from, false), columns(transposed, false);
    const Pass pass(into);
    const Array sums_array(sums, "sums", true), met_array(met, "met", true);
    const int64_t workers = sums_array.size(0), n = sums_array.size(1);
    auto* scratch = sums_array.elements<int32_t>(workers * n, true);
    auto* met_rows = met_array.elements<int32_t>(workers * n, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_graph(rows.offsets(n), rows.indices(), rows.values(), columns.offsets(n), columns.indices(),
                             columns.values(), n, scratch, met_rows, workers, eps, pass.offset(n), pass.count(n),
                             pass.index(), pass.value(), device, queue(stream)),
               "Jaccard graph");
}

void bind_cuda_sort_rows(const py::tuple& from, const py::object& index, const py::object& value, int device,
                         uintptr_t stream) {
    const GpuRows rows(from, false);
    const Array index_array(index, "index", true), value_array(value, "value", true);
    const int64_t n = rows.offset.size(0) - 1, entries = rows.index.size(0);
    auto* out_index = index_array.elements<int32_t>(entries, true);
    float* out_value = value_array.elements<float>(entries, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_sort_rows(rows.offsets(n), rows.indices(), rows.values(), n, out_index, out_value, device,
                                 queue(stream)),
               "sorted rows");
}
#endif

}  // namespace

void bind_rerank(py::module_& m) {
    py::class_<Neighborhoods>(m, "Neighborhoods", py::module_local())
        .def(py::init(&make_neighborhoods))
        .def("blend", &bind_blend)
        .def("count_graph", &bind_count_graph)
        .def("fill_graph", &bind_fill_graph)
        .def("blend_query", &bind_blend_query);
    m.def("raise_to_largest_key", &bind_raise_to_largest_key);
    m.def("transpose", &bind_transpose);
#if defined(UP_WITH_CUDA)
    m.def("cuda_half_sets", &bind_cuda_half_sets);
    m.def("cuda_weights_fit", &up_cuda_weights_fit);
    m.def("cuda_weights", &bind_cuda_weights);
    m.def("cuda_expand", &bind_cuda_expand);
    m.def("cuda_count_columns", &bind_cuda_count_columns);
    m.def("cuda_fill_columns", &bind_cuda_fill_columns);
    m.def("cuda_blend", &bind_cuda_blend);
    m.def("cuda_graph", &bind_cuda_graph);
    m.def("cuda_sort_rows", &bind_cuda_sort_rows);
#endif
}

}  // namespace unrealperson
