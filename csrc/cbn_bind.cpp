// What Python may call of cbn.h.
#include <string>

#include "array.h"
#include "bind.h"
#include "cbn.h"
#include "device.h"

namespace unrealperson {
namespace {

// [N, C, S] whose positions or whose channels are adjacent, whatever the other strides.
template <class T>
Activation<T> activation(const Array& array, bool on_gpu) {
    T* data = array.strided<T>(3, on_gpu);
    const Activation<T> view{data,           array.size(0),   array.size(1),  array.size(2),
                             array.stride(0), array.stride(1), array.stride(2)};
    expect(view.images > 0 && view.channels > 0 && view.positions > 0, "x must not be empty");
    expect(view.has_planes() || view.has_rows(), "x must have adjacent positions or adjacent channels");
    return view;
}

// Another array of x's shape and layout.
template <class T, class X>
Activation<T> like(const Activation<X>& x, const Array& array, bool on_gpu) {
    const auto view = activation<T>(array, on_gpu);
    expect(view.images == x.images && view.channels == x.channels && view.positions == x.positions,
           "x, y and their gradients must have one shape");
    expect(x.by_planes() ? view.has_planes() : view.has_rows(), "x, y and their gradients must have one layout");
    return view;
}

// Reads the arguments that every entry shares. images is None in evaluation, where tables have no row for the batch.
template <class T>
struct Entry {
    using A = Compute<T>;
    Array x_array, camera_array, images_array, mean_array, var_array;
    Activation<const T> x;
    Cameras cameras;
    int64_t table;
    Statistics<A> statistics;

    Entry(const py::object& x_object, const py::object& camera, const py::object& images, int64_t min_images,
          const py::object& mean, const py::object& var, bool writable, bool on_gpu)
        : x_array(x_object, "x", false),
          camera_array(camera, "camera", false),
          images_array(images.is_none() ? camera : images, "images", false),
          mean_array(mean, "mean", writable),
          var_array(var, "var", writable),
          x(activation<const T>(x_array, on_gpu)) {
        const auto means = mean_array.matrix<A>(on_gpu);
        const bool training = !images.is_none();
        expect(means.cols == x.channels && means.rows > (training ? 1 : 0), "mean must be [rows, C]");
        table = means.rows * means.cols;
        cameras = {camera_array.elements<const int64_t>(x.images, on_gpu), means.rows - (training ? 1 : 0),
                   training ? images_array.elements<const int64_t>(means.rows, on_gpu) : nullptr, min_images};
        statistics = {mean_array.elements<A>(table, on_gpu), var_array.elements<A>(table, on_gpu), x.channels};
    }
    Statistics<const A> constant() const { return {statistics.mean, statistics.var, x.channels}; }
};

// Calls body(T{}) for the elements of x.
template <class Body>
void each_type(const py::object& x, const Body& body) {
    const Array array(x, "x", false);
    if (array.kind() == 'b') return body(BFloat16{});
    expect(array.kind() == 'f', "x must be float");
    if (array.item_size() == 2) return body(Float16{});
    if (array.item_size() == 4) return body(float{});
    body(double{});
}

void bind_count(const py::object& camera, const py::object& images) {
    const Array camera_array(camera, "camera", false), images_array(images, "images", true);
    const int64_t n = py::len(camera), rows = py::len(images);
    expect(rows >= 2, "images must be [groups + 1]");
    const auto* ids = camera_array.elements<const int64_t>(n);
    const int64_t bad = count_images(ids, n, rows - 1, images_array.elements<int64_t>(rows));
    if (bad >= 0)
        throw py::value_error("camera must lie in [0, " + std::to_string(rows - 1) + "), got " +
                              std::to_string(ids[bad]) + " for image " + std::to_string(bad));
}

void bind_statistics(const py::object& x, const py::object& camera, const py::object& images, const py::object& mean,
                     const py::object& var, int threads) {
    each_type(x, [&](auto element) {
        using T = decltype(element);
        const Entry<T> in(x, camera, images, 0, mean, var, true, false);
        py::gil_scoped_release release;
        camera_statistics<T>(in.x, in.cameras, in.statistics, threads);
    });
}

// With `fused`, mean and var are computed on the way.
void bind_normalise(const py::object& x, const py::object& camera, const py::object& images, int64_t min_images,
                    const py::object& mean, const py::object& var, const py::object& weight, const py::object& bias,
                    double eps, const py::object& y, bool fused, int threads) {
    each_type(x, [&](auto element) {
        using T = decltype(element);
        using A = Compute<T>;
        const Entry<T> in(x, camera, images, min_images, mean, var, fused, false);
        const Array weight_array(weight, "weight", false), bias_array(bias, "bias", false), y_array(y, "y", true);
        const auto out = like<T>(in.x, y_array, false);
        const A *by = weight_array.elements<const A>(in.x.channels), *plus = bias_array.elements<const A>(in.x.channels);
        py::gil_scoped_release release;
        if (fused)
            camera_norm<T>(in.x, in.cameras, in.statistics, by, plus, static_cast<A>(eps), out, threads);
        else
            camera_normalise<T>(in.x, in.cameras, in.constant(), by, plus, static_cast<A>(eps), out, threads);
    });
}

void bind_sums(const py::object& x, const py::object& dy, const py::object& camera, const py::object& images,
               int64_t min_images, const py::object& mean, const py::object& var, const py::object& sum_dy,
               const py::object& sum_dy_x, int threads) {
    each_type(x, [&](auto element) {
        using T = decltype(element);
        using A = Compute<T>;
        const Entry<T> in(x, camera, images, min_images, mean, var, false, false);
        const Array dy_array(dy, "dy", false), sum_array(sum_dy, "sum_dy", true), sum_x_array(sum_dy_x, "sum_dy_x", true);
        const auto grad = like<const T>(in.x, dy_array, false);
        const GradientSums<A> sums{sum_array.elements<A>(in.table), sum_x_array.elements<A>(in.table)};
        py::gil_scoped_release release;
        camera_gradient_sums<T>(in.x, grad, in.cameras, in.constant(), sums, threads);
    });
}

// With `fused`, the sums are computed on the way.
void bind_gradient(const py::object& x, const py::object& dy, const py::object& camera, const py::object& images,
                   int64_t min_images, const py::object& mean, const py::object& var, const py::object& sum_dy,
                   const py::object& sum_dy_x, const py::object& weight, double eps, const py::object& dx, bool fused,
                   int threads) {
    each_type(x, [&](auto element) {
        using T = decltype(element);
        using A = Compute<T>;
        const Entry<T> in(x, camera, images, min_images, mean, var, false, false);
        const Array dy_array(dy, "dy", false), sum_array(sum_dy, "sum_dy", fused),
            sum_x_array(sum_dy_x, "sum_dy_x", fused), weight_array(weight, "weight", false), dx_array(dx, "dx", true);
        const auto grad = like<const T>(in.x, dy_array, false);
        const auto out = like<T>(in.x, dx_array, false);
        const GradientSums<A> sums{sum_array.elements<A>(in.table), sum_x_array.elements<A>(in.table)};
        const A* by = weight_array.elements<const A>(in.x.channels);
        py::gil_scoped_release release;
        if (fused)
            camera_norm_backward<T>(in.x, grad, in.cameras, in.constant(), sums, by, static_cast<A>(eps), out, threads);
        else
            camera_gradient<T>(in.x, grad, in.cameras, in.constant(), {sums.dy, sums.dy_x}, by, static_cast<A>(eps), out,
                               threads);
    });
}

}  // namespace

void bind_cbn(py::module_& m) {
    m.def("cbn_count", &bind_count);
    m.def("cbn_statistics", &bind_statistics);
    m.def("cbn_normalise", &bind_normalise);
    m.def("cbn_sums", &bind_sums);
    m.def("cbn_gradient", &bind_gradient);
}

}  // namespace unrealperson
