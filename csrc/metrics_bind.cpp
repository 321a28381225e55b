// What Python may call of metrics.h.
#include <limits>

#include "array.h"
#include "bind.h"
#include "metrics.h"

namespace unrealperson {
namespace {

// The gallery's labels, checked once: every query's identity is a part of by_identity.
class Labels {
  public:
    Labels(const py::object& by_identity, const py::object& camera)
        : by_identity_(by_identity, "by_identity", false), camera_(camera, "gallery_camera", false) {
        gallery_.rows = static_cast<int64_t>(py::len(by_identity));
        expect(gallery_.rows <= std::numeric_limits<int32_t>::max(), "the gallery must have below 2^31 rows");
        gallery_.by_identity = by_identity_.elements<const int64_t>(gallery_.rows);
        gallery_.camera = camera_.elements<const int64_t>(gallery_.rows);
        for (int64_t j = 0; j < gallery_.rows; ++j)
            expect(gallery_.by_identity[j] >= 0 && gallery_.by_identity[j] < gallery_.rows,
                   "by_identity must hold rows of the gallery");
    }
    const GalleryLabels& gallery() const { return gallery_; }

  private:
    Array by_identity_, camera_;
    GalleryLabels gallery_{};
};

QueryLabels query_labels(const Array& identity, const Array& camera, const Labels& labels) {
    const auto spans = identity.matrix<const int64_t>();
    expect(spans.cols == 2 && spans.stride == 2, "identity must be contiguous [q, 2]");
    for (int64_t i = 0; i < spans.rows; ++i)
        expect(0 <= spans.row(i)[0] && spans.row(i)[0] <= spans.row(i)[1] && spans.row(i)[1] <= labels.gallery().rows,
               "identity must hold parts of by_identity");
    return {spans.rows, spans.data, camera.elements<const int64_t>(spans.rows)};
}

void bind_count_matches(const Labels& labels, const py::object& identity, const py::object& camera,
                        const py::object& matches) {
    const Array identity_array(identity, "identity", false), camera_array(camera, "query_camera", false),
        matches_array(matches, "matches", true);
    const QueryLabels query = query_labels(identity_array, camera_array, labels);
    count_matches(query, labels.gallery(), matches_array.elements<int64_t>(query.rows));
}

int64_t bind_score_rows(const Labels& labels, const py::object& block, const py::object& terms,
                        const py::object& identity, const py::object& camera, const py::object& first,
                        const py::object& precision, const py::object& inverse, const py::object& hits,
                        const py::object& hit_key, int threads) {
    const Array block_array(block, "block", false), terms_array(terms, "terms", false),
        identity_array(identity, "identity", false), camera_array(camera, "query_camera", false),
        first_array(first, "first", true), precision_array(precision, "precision", true),
        inverse_array(inverse, "inverse", true), hits_array(hits, "hits", true), key_array(hit_key, "hit_key", true);
    const Products products{block_array.strided<const float>(2), block_array.stride(0), block_array.stride(1)};
    const auto scale_bias = terms_array.matrix<const float>();
    const QueryLabels query = query_labels(identity_array, camera_array, labels);
    const int64_t rows = query.rows, columns = labels.gallery().rows;
    expect(block_array.size(0) == rows && block_array.size(1) == columns, "block must be [q, g]");
    expect(products.query_stride == 1 || products.row_stride == 1 || columns == 1,
           "block must have adjacent elements along one axis");
    expect(scale_bias.rows == 2 && scale_bias.cols == columns, "terms must be [2, g]");
    const Scores out{first_array.elements<int64_t>(rows), precision_array.elements<double>(rows),
                     inverse_array.elements<double>(rows), hits_array.matrix<int64_t>(), key_array.matrix<float>()};
    expect(out.hits.rows == rows && out.hit_key.rows == rows && out.hits.cols == out.hit_key.cols,
           "hits and hit_key must be [q, k]");
    py::gil_scoped_release release;
    return score_rows(products, scale_bias.row(0), scale_bias.row(1), query, labels.gallery(), out, threads);
}

}  // namespace

void bind_metrics(py::module_& m) {
    py::class_<Labels>(m, "GalleryLabels", py::module_local())
        .def(py::init<const py::object&, const py::object&>())
        .def("count_matches", &bind_count_matches)
        .def("score_rows", &bind_score_rows);
}

}  // namespace unrealperson
