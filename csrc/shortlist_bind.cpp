// What Python may call of integers.h and shortlist.h.
#include "array.h"
#include "bind.h"
#include "shortlist.h"
#include "tile.h"

namespace unrealperson {
namespace {

std::unique_ptr<IntegerRows> new_gallery(int64_t rows, int64_t cols, int bits) {
    expect(rows >= 0 && cols >= 1 && cols <= kMostIntegerCols, "rows must have 1 to 65536 elements");
    expect(bits == 8 || bits == 16, "bits must be 8 or 16");
    return std::make_unique<IntegerRows>(rows, cols, bits, kTileGallery);
}

int64_t bind_set(IntegerRows& integers, int64_t first, const py::object& x, const py::object& norm2, int threads) {
    const Array x_array(x, "x", false), norm2_array(norm2, "norm2", true);
    const auto rows = x_array.matrix<const float>();
    expect(first % kTileGallery == 0 && first + rows.rows <= integers.rows() && rows.cols == integers.cols(),
           "x must be rows of the gallery from a multiple of 64 on");
    float* out = norm2_array.elements<float>(rows.rows);
    py::gil_scoped_release release;
    integers.set(first, rows, out, threads);
    return first_unusable(out, rows.rows);
}

bool bind_topk(const py::object& q, const py::object& query_norm2, const py::object& g, const IntegerRows& integers,
               const py::object& gallery_norm2, const std::string& metric, const py::object& values,
               const py::object& indices, bool itself, bool insist, int threads) {
    const Array q_array(q, "q", false), qn_array(query_norm2, "query_norm2", false), g_array(g, "g", false),
        gn_array(gallery_norm2, "gallery_norm2", false), values_array(values, "values", true),
        indices_array(indices, "indices", true);
    const auto queries = q_array.matrix<const float>(), gallery = g_array.matrix<const float>();
    const auto out_values = values_array.matrix<float>();
    const auto out_indices = indices_array.matrix<int64_t>();
    expect(queries.cols == gallery.cols && gallery.cols == integers.cols() && gallery.rows == integers.rows(),
           "q, g and its integers must have rows of one length");
    expect(out_values.rows == queries.rows && out_values.cols >= 1 && out_values.cols <= gallery.rows,
           "values must be [q, k] with k of the gallery");
    expect(out_indices.rows == queries.rows && out_indices.cols == out_values.cols, "indices must be [q, k]");
    const float* qn = qn_array.elements<const float>(queries.rows);
    const SearchedRows searched{gallery, integers, gn_array.elements<const float>(gallery.rows)};
    const Metric kind = metric_of(metric);
    py::gil_scoped_release release;
    return itself ? shortlist_topk_itself(searched, kind, insist, out_values, out_indices, threads)
                  : shortlist_topk(queries, qn, searched, kind, insist, out_values, out_indices, threads);
}

}  // namespace

void bind_shortlist(py::module_& m) {
    py::class_<IntegerRows>(m, "IntegerRows", py::module_local()).def(py::init(&new_gallery)).def("set", &bind_set);
    m.def("shortlist_topk", &bind_topk);
    m.def("has_fast_integers", &has_fast_integers);
}

}  // namespace unrealperson
