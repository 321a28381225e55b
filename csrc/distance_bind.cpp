// What Python may call of distance.h.
#include <optional>
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

Matrix<float> product_matrix(const Array& out, Matrix<const float> q, Matrix<const float> g) {
    const auto result = out.matrix<float>(true);
    expect(q.cols == g.cols, "q and g must have rows of one length");
    expect(result.rows == q.rows && result.cols == g.rows, "out must be [q, g]");
    return result;
}

void bind_cuda_products(const py::object& q, const py::object& g, const py::object& out, int device, uintptr_t stream) {
    const Array q_array(q, "q", false), g_array(g, "g", false), out_array(out, "out", true);
    const auto queries = q_array.matrix<const float>(true), gallery = g_array.matrix<const float>(true);
    const auto result = product_matrix(out_array, queries, gallery);
    py::gil_scoped_release release;
    check_cuda(up_cuda_products(queries, gallery, result, device, reinterpret_cast<void*>(stream)), "products");
}

void bind_cuda_products_and_norms(const py::object& q, const py::object& g, int64_t first, const py::object& out,
                                  const py::object& norm2, const py::object& bad_row, int device, uintptr_t stream) {
    const Array q_array(q, "q", false), g_array(g, "g", false), out_array(out, "out", true),
        norm2_array(norm2, "norm2", true), bad_array(bad_row, "bad_row", true);
    const auto queries = q_array.matrix<const float>(true), gallery = g_array.matrix<const float>(true);
    const auto result = product_matrix(out_array, queries, gallery);
    expect(queries.rows >= 1 && queries.rows <= up_cuda_few_queries(), "q must have few rows");
    float* norms = norm2_array.elements<float>(gallery.rows, true);
    auto* bad = bad_array.elements<int64_t>(1, true);
    py::gil_scoped_release release;
    check_cuda(up_cuda_products_and_norms(queries, gallery, first, result, norms, bad, device,
                                          reinterpret_cast<void*>(stream)),
               "products and norms");
}

void bind_cuda_products_to_values(const py::object& products, const py::object& norm2, const py::object& query_norm2,
                                  const std::string& metric, bool keys, const py::object& out, int device,
                                  uintptr_t stream) {
    const Array products_array(products, "products", false), norm2_array(norm2, "norm2", false),
        query_array(query_norm2, "query_norm2", false), out_array(out, "out", true);
    const auto in = products_array.matrix<const float>(true);
    const auto result = out_array.matrix<float>(true);
    expect(result.rows == in.rows && result.cols == in.cols, "out must be [q, g]");
    const float* gn = norm2_array.elements<const float>(in.cols, true);
    const float* qn = query_array.elements<const float>(in.rows, true);
    const int kind = static_cast<int>(metric_of(metric));
    py::gil_scoped_release release;
    check_cuda(up_cuda_products_to_values(in, gn, qn, kind, keys, result, device, reinterpret_cast<void*>(stream)),
               "values of products");
}

void bind_cuda_nearest_add(const py::object& products, const py::object& norm2, int64_t first,
                           const std::string& metric, const py::object& lists, const py::object& largest, int device,
                           uintptr_t stream) {
    const Array products_array(products, "products", false), norm2_array(norm2, "norm2", false),
        lists_array(lists, "lists", true);
    std::optional<Array> largest_array;
    if (!largest.is_none()) largest_array.emplace(largest, "largest", true);
    const auto in = products_array.matrix<const float>(true);
    expect(lists_array.ndim() == 3 && lists_array.size(0) == in.rows, "lists must be [q, parts, k]");
    const int64_t parts = lists_array.size(1), k = lists_array.size(2);
    expect(first >= 0 && parts >= 1 && k >= 1 && k <= up_cuda_nearest_limit(), "k must be within the kernel's limit");
    auto* places = lists_array.elements<int64_t>(in.rows * parts * k, true);
    float* keys = largest_array ? largest_array->elements<float>(in.rows * parts, true) : nullptr;
    const float* gn = norm2_array.elements<const float>(in.cols, true);
    const int kind = static_cast<int>(metric_of(metric));
    py::gil_scoped_release release;
    check_cuda(
        up_cuda_nearest_add(in, gn, first, kind, parts, k, places, keys, device, reinterpret_cast<void*>(stream)),
        "nearest rows");
}

void bind_cuda_nearest_finish(const py::object& lists, const py::object& query_norm2, const std::string& metric,
                              const py::object& values, const py::object& indices, int device, uintptr_t stream) {
    const Array lists_array(lists, "lists", false), query_array(query_norm2, "query_norm2", false),
        values_array(values, "values", true), indices_array(indices, "indices", true);
    expect(lists_array.ndim() == 3, "lists must be [q, parts, k]");
    const int64_t queries = lists_array.size(0), parts = lists_array.size(1), k = lists_array.size(2);
    expect(k >= 1 && k <= up_cuda_nearest_limit(), "k must be within the kernel's limit");
    const auto* places = lists_array.elements<const int64_t>(queries * parts * k, true);
    const float* qn = query_array.elements<const float>(queries, true);
    float* out = values_array.elements<float>(queries * k, true);
    auto* found = indices_array.elements<int64_t>(queries * k, true);
    const int kind = static_cast<int>(metric_of(metric));
    py::gil_scoped_release release;
    check_cuda(up_cuda_nearest_finish(places, queries, parts, k, qn, kind, out, found, device,
                                      reinterpret_cast<void*>(stream)),
               "nearest rows");
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
    m.def("cuda_products", &bind_cuda_products);
    m.def("cuda_products_and_norms", &bind_cuda_products_and_norms);
    m.def("cuda_products_to_values", &bind_cuda_products_to_values);
    m.def("cuda_nearest_add", &bind_cuda_nearest_add);
    m.def("cuda_nearest_finish", &bind_cuda_nearest_finish);
    m.attr("cuda_few_queries") = up_cuda_few_queries();
    m.attr("cuda_nearest_limit") = up_cuda_nearest_limit();
#endif
}

}  // namespace unrealperson
