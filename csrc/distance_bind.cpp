// What Python may call of distance.h.
#include <string>

#include "array.h"
#include "bind.h"
#include "device.h"
#include "distance.h"

namespace unrealperson {
namespace {

int64_t bind_row_norms(const py::object& x, const py::object& norm2, int threads) {
    const Array x_array(x, "x", false), norm2_array(norm2, "norm2", true);
    const auto rows = x_array.matrix<const float>();
    float* out = norm2_array.elements<float>(rows.rows);
    py::gil_scoped_release release;
    return row_norms(rows, out, threads);
}

void bind_key_terms(const std::string& metric, const py::object& norm2, const py::object& terms) {
    const Array norm2_array(norm2, "norm2", false), terms_array(terms, "terms", true);
    const auto out = terms_array.matrix<float>();
    expect(out.rows == 2, "terms must be [2, g]");
    key_terms(metric_of(metric), norm2_array.elements<const float>(out.cols), out.cols, out.row(0), out.row(1));
}

void bind_products_to_values(const py::object& block, const py::object& terms, const py::object& query_norm2,
                             const std::string& metric, int threads) {
    const Array block_array(block, "block", true), terms_array(terms, "terms", false),
        norm2_array(query_norm2, "query_norm2", false);
    const auto values = block_array.matrix<float>();
    const auto scale_bias = terms_array.matrix<const float>();
    expect(scale_bias.rows == 2 && scale_bias.cols == values.cols, "terms must be [2, columns of block]");
    const float* norm2 = norm2_array.elements<const float>(values.rows);
    const Metric kind = metric_of(metric);
    py::gil_scoped_release release;
    products_to_values(values, scale_bias.row(0), scale_bias.row(1), norm2, kind, threads);
}

void bind_nearest_add(Nearest& nearest, const py::object& block, const py::object& terms, int64_t first, int threads) {
    const Array block_array(block, "block", false), terms_array(terms, "terms", false);
    const auto dots = block_array.matrix<const float>();
    const auto scale_bias = terms_array.matrix<const float>();
    expect(dots.rows == nearest.rows(), "block must have a row for each query");
    expect(scale_bias.rows == 2 && scale_bias.cols == dots.cols, "terms must be [2, columns of block]");
    py::gil_scoped_release release;
    nearest.add(dots, scale_bias.row(0), scale_bias.row(1), first, threads);
}

int64_t bind_nearest_add_rows(Nearest& nearest, const py::object& q, const py::object& g, const std::string& metric,
                              int64_t first, int threads) {
    const Array q_array(q, "q", false), g_array(g, "g", false);
    const auto queries = q_array.matrix<const float>();
    const Metric kind = metric_of(metric);
    const auto add = [&](const auto& gallery) {
        expect(queries.rows >= 1 && queries.rows == nearest.rows(), "q must have a row for each query");
        expect(queries.cols == gallery.cols, "q and g must have rows of one length");
        py::gil_scoped_release release;
        return nearest.add_rows(queries, gallery, kind, first, threads);
    };
    if (g_array.item_size() == 2) return add(g_array.matrix<const Float16>());
    if (g_array.item_size() == 1) return add(g_array.matrix<const int8_t>());
    return add(g_array.matrix<const float>());
}

void bind_nearest_finish(Nearest& nearest, const py::object& query_norm2, const std::string& metric,
                         const py::object& values, const py::object& indices, int threads) {
    const Array norm2_array(query_norm2, "query_norm2", false), values_array(values, "values", true),
        indices_array(indices, "indices", true);
    const auto out_values = values_array.matrix<float>();
    const auto out_indices = indices_array.matrix<int64_t>();
    const auto shaped = [&](int64_t rows, int64_t cols) { return rows == nearest.rows() && cols == nearest.k(); };
    expect(shaped(out_values.rows, out_values.cols), "values must be [rows, k]");
    expect(shaped(out_indices.rows, out_indices.cols), "indices must be [rows, k]");
    expect(nearest.seen() >= nearest.k(), "finish needs at least k columns added");
    const float* norm2 = norm2_array.elements<const float>(nearest.rows());
    const Metric kind = metric_of(metric);
    py::gil_scoped_release release;
    nearest.finish(norm2, kind, out_values, out_indices, threads);
}

#if defined(UP_WITH_CUDA)
void bind_cuda_row_norms(const py::object& x, const py::object& norm2, const py::object& bad_row, int device,
                         uintptr_t stream) {
    const Array x_array(x, "x", false), norm2_array(norm2, "norm2", true), bad_array(bad_row, "bad_row", true);
    const auto rows = x_array.matrix<const float>(true);
    float* out = norm2_array.elements<float>(rows.rows, true);
    auto* bad = bad_array.elements<int64_t>(1, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_row_norms(rows, out, bad, device, reinterpret_cast<void*>(stream)), "row norms");
}

void bind_cuda_matrix(const py::object& q, const py::object& g, const py::object& query_norm2,
                      const py::object& gallery_norm2, const py::object& out, const std::string& metric, bool keys,
                      int device, uintptr_t stream) {
    const Array q_array(q, "q", false), g_array(g, "g", false), qn_array(query_norm2, "query_norm2", false),
        gn_array(gallery_norm2, "gallery_norm2", false), out_array(out, "out", true);
    const auto queries = q_array.matrix<const float>(true), gallery = g_array.matrix<const float>(true);
    const auto result = out_array.matrix<float>(true);
    expect(queries.cols == gallery.cols, "q and g must have rows of one length");
    expect(result.rows == queries.rows && result.cols == gallery.rows, "out must be [q, g]");
    const float* qn = qn_array.elements<const float>(queries.rows, true);
    const float* gn = gn_array.elements<const float>(gallery.rows, true);
    const int kind = static_cast<int>(metric_of(metric));
    py::gil_scoped_release release;
    check_cuda(
        up_cuda_distance_matrix(queries, gallery, qn, gn, result, kind, keys, device, reinterpret_cast<void*>(stream)),
        "distance matrix");
}

void bind_cuda_topk(const py::object& q, const py::object& g, const py::object& query_norm2,
                    const py::object& gallery_norm2, const py::object& part_keys, const py::object& part_indices,
                    const py::object& values, const py::object& indices, const std::string& metric, int device,
                    uintptr_t stream) {
    const Array q_array(q, "q", false), g_array(g, "g", false), qn_array(query_norm2, "query_norm2", false),
        gn_array(gallery_norm2, "gallery_norm2", false), part_keys_array(part_keys, "part_keys", true),
        part_indices_array(part_indices, "part_indices", true), values_array(values, "values", true),
        indices_array(indices, "indices", true);
    const auto queries = q_array.matrix<const float>(true), gallery = g_array.matrix<const float>(true);
    const auto out_values = values_array.matrix<float>(true);
    const int64_t k = out_values.cols;
    expect(queries.cols == gallery.cols, "q and g must have rows of one length");
    expect(out_values.rows == queries.rows && k >= 1 && k <= up_cuda_topk_limit() && k <= gallery.rows,
           "values must be [q, k] with k within the kernel's limit");
    const int64_t per_part = queries.rows * k;
    const int64_t parts = py::len(part_keys);
    expect(parts >= 1, "part_keys must be [parts, q, k]");
    const float* qn = qn_array.elements<const float>(queries.rows, true);
    const float* gn = gn_array.elements<const float>(gallery.rows, true);
    float* keys = part_keys_array.elements<float>(parts * per_part, true);
    auto* found = part_indices_array.elements<int64_t>(parts * per_part, true);
    auto* out_indices = indices_array.elements<int64_t>(per_part, true);
    float* out = values_array.elements<float>(per_part, true);
    const int kind = static_cast<int>(metric_of(metric));
    py::gil_scoped_release release;
    check_cuda(up_cuda_distance_topk(queries, gallery, qn, gn, kind, k, parts, keys, found, out, out_indices, device,
                                     reinterpret_cast<void*>(stream)),
               "top-k");
}

void bind_cuda_select(const py::object& q, const py::object& g, const py::object& query_norm2,
                      const py::object& gallery_norm2, const py::object& keys, const py::object& best,
                      const py::object& values, const py::object& indices, const std::string& metric, int device,
                      uintptr_t stream) {
    const Array q_array(q, "q", false), g_array(g, "g", false), qn_array(query_norm2, "query_norm2", false),
        gn_array(gallery_norm2, "gallery_norm2", false), keys_array(keys, "keys", true), best_array(best, "best", true),
        values_array(values, "values", true), indices_array(indices, "indices", true);
    const auto queries = q_array.matrix<const float>(true), gallery = g_array.matrix<const float>(true);
    const auto scratch = keys_array.matrix<float>(true), out_values = values_array.matrix<float>(true);
    const int64_t k = out_values.cols;
    expect(queries.cols == gallery.cols, "q and g must have rows of one length");
    expect(scratch.rows == queries.rows && scratch.cols >= 1, "keys must be [q, chunk]");
    expect(out_values.rows == queries.rows && k >= 1 && k <= up_cuda_select_limit() && k <= gallery.rows,
           "values must be [q, k] with k within the kernel's limit");
    const float* qn = qn_array.elements<const float>(queries.rows, true);
    const float* gn = gn_array.elements<const float>(gallery.rows, true);
    auto* places = best_array.elements<int64_t>(queries.rows * up_cuda_select_limit(), true);
    auto* out_indices = indices_array.elements<int64_t>(queries.rows * k, true);
    float* out = values_array.elements<float>(queries.rows * k, true);
    const int kind = static_cast<int>(metric_of(metric));
    py::gil_scoped_release release;
    check_cuda(up_cuda_distance_select(queries, gallery, qn, gn, kind, k, scratch, places, out, out_indices, device,
                                       reinterpret_cast<void*>(stream)),
               "top-k by selection");
}
#endif

}  // namespace

void bind_distance(py::module_& m) {
    m.def("row_norms", &bind_row_norms);
    m.def("key_terms", &bind_key_terms);
    m.def("products_to_values", &bind_products_to_values);
    py::class_<Nearest>(m, "Nearest", py::module_local())
        .def(py::init<int64_t, int64_t>())
        .def("add", &bind_nearest_add)
        .def("add_rows", &bind_nearest_add_rows)
        .def("finish", &bind_nearest_finish);
#if defined(UP_WITH_CUDA)
    m.def("cuda_row_norms", &bind_cuda_row_norms);
    m.def("cuda_distance_matrix", &bind_cuda_matrix);
    m.def("cuda_topk", &bind_cuda_topk);
    m.def("cuda_select", &bind_cuda_select);
    m.attr("cuda_topk_limit") = up_cuda_topk_limit();
    m.attr("cuda_select_limit") = up_cuda_select_limit();
#endif
}

}  // namespace unrealperson
