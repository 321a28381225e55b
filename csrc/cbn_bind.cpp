// What Python may call of cbn.h: the same methods of CbnCpu and CbnCuda.
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
    const Activation<T> view{
        data, array.size(0), array.size(1), array.size(2), array.stride(0), array.stride(1), array.stride(2)};
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

// The arguments that all entries share. images is None in evaluation, where tables have no row for the batch.
template <class T>
struct Common {
    using A = Compute<T>;
    Array x_array, camera_array, images_array, mean_array, var_array;
    Activation<const T> x;
    Cameras cameras;
    int64_t table;
    Statistics<A> statistics;

    Common(const py::object& x_object, const py::object& camera, const py::object& images, int64_t min_images,
           const py::object& mean, const py::object& var, bool writable, bool on_gpu)
        : x_array(x_object, "x", false),
          camera_array(camera, "camera", false),
          images_array(images.is_none() ? camera : images, "images", false),
          mean_array(mean, "mean", writable),
          var_array(var, "var", writable),
          x(activation<const T>(x_array, on_gpu)) {
        const auto means = mean_array.matrix<A>(on_gpu);
        const int64_t groups = means.rows - (images.is_none() ? 0 : 1);
        expect(means.cols == x.channels && groups > 0, "mean must be [rows, C]");
        table = means.rows * means.cols;
        cameras = {camera_array.elements<const int64_t>(x.images, on_gpu), groups,
                   images.is_none() ? nullptr : images_array.elements<const int64_t>(means.rows, on_gpu), min_images};
        statistics = {mean_array.elements<A>(table, on_gpu), var_array.elements<A>(table, on_gpu), x.channels};
    }
    Statistics<const A> constant() const { return {statistics.mean, statistics.var, x.channels}; }
};

// Calls body(T{}) for the elements of x.
template <class Where, class Body>
void each_type(const py::object& x, const Body& body) {
    const Array array(x, "x", false);
    if (array.kind() == 'b') return body(BFloat16{});
    expect(array.kind() == 'f', "x must be float");
    if (array.item_size() == 2) return body(Float16{});
    if (array.item_size() == 4) return body(float{});
    if constexpr (Where::on_gpu)
        throw py::value_error("x must not be float64 on a GPU; use float32");
    else
        body(double{});
}

struct Cpu {
    static constexpr bool on_gpu = false;
    int threads;

    void count(const int64_t* camera, int64_t n, int64_t groups, int64_t* images) const {
        const int64_t bad = count_images(camera, n, groups, images);
        if (bad >= 0)
            throw py::value_error("camera must lie in [0, " + std::to_string(groups) + "), got " +
                                  std::to_string(camera[bad]) + " for image " + std::to_string(bad));
    }
    template <class T>
    void statistics(const Common<T>& in) const {
        camera_statistics<T>(in.x, in.cameras, in.statistics, threads);
    }
    template <class T, class A>
    void normalise(const Common<T>& in, const A* weight, const A* bias, A eps, Activation<T> y, bool fused) const {
        if (fused)
            camera_norm<T>(in.x, in.cameras, in.statistics, weight, bias, eps, y, threads);
        else
            camera_normalise<T>(in.x, in.cameras, in.constant(), weight, bias, eps, y, threads);
    }
    template <class T, class A>
    void sums(const Common<T>& in, Activation<const T> dy, GradientSums<A> sums) const {
        camera_gradient_sums<T>(in.x, dy, in.cameras, in.constant(), sums, threads);
    }
    template <class T, class A>
    void gradient(const Common<T>& in, Activation<const T> dy, GradientSums<A> sums, const A* weight, A eps,
                  Activation<T> dx, bool fused) const {
        if (fused)
            camera_norm_backward<T>(in.x, dy, in.cameras, in.constant(), sums, weight, eps, dx, threads);
        else
            camera_gradient<T>(in.x, dy, in.cameras, in.constant(), {sums.dy, sums.dy_x}, weight, eps, dx, threads);
    }
};

#if defined(UP_WITH_CUDA)
template <class To, class T>
Activation<To> untyped(const Activation<T>& x) {
    return {x.data, x.images, x.channels, x.positions, x.image_stride, x.channel_stride, x.position_stride};
}

class Cuda {
  public:
    static constexpr bool on_gpu = true;

    // scratch holds cbn_scratch(x) floats for every x to come.
    Cuda(const py::object& scratch, int device, uintptr_t stream)
        : memory_(scratch, "scratch", true), device_(device), stream_(reinterpret_cast<void*>(stream)) {
        scratch_ = memory_.elements<float>(memory_.size(0), true);
    }

    template <class T>
    static Element element() {
        return std::is_same_v<T, Float16>    ? Element::float16
               : std::is_same_v<T, BFloat16> ? Element::bfloat16
                                             : Element::float32;
    }
    void count(const int64_t* camera, int64_t n, int64_t groups, int64_t* images) const {
        check_cuda(up_cuda_cbn_count(camera, n, groups, images, device_, stream_), "count of images");
    }
    template <class T>
    void statistics(const Common<T>& in) const {
        check_cuda(up_cuda_cbn_statistics(untyped<const void>(in.x), element<T>(), in.cameras, in.statistics, scratch_,
                                          device_, stream_),
                   "statistics");
    }
    template <class T, class A>
    void normalise(const Common<T>& in, const A* weight, const A* bias, A eps, Activation<T> y, bool fused) const {
        if (fused) statistics(in);
        check_cuda(up_cuda_cbn_normalise(untyped<const void>(in.x), element<T>(), in.cameras, in.constant(), weight,
                                         bias, eps, untyped<void>(y), device_, stream_),
                   "normalise");
    }
    template <class T, class A>
    void sums(const Common<T>& in, Activation<const T> dy, GradientSums<A> sums) const {
        check_cuda(up_cuda_cbn_sums(untyped<const void>(in.x), untyped<const void>(dy), element<T>(), in.cameras,
                                    in.constant(), sums, scratch_, device_, stream_),
                   "gradient sums");
    }
    template <class T, class A>
    void gradient(const Common<T>& in, Activation<const T> dy, GradientSums<A> sums, const A* weight, A eps,
                  Activation<T> dx, bool fused) const {
        if (fused) this->sums(in, dy, sums);
        check_cuda(
            up_cuda_cbn_gradient(untyped<const void>(in.x), untyped<const void>(dy), element<T>(), in.cameras,
                                 in.constant(), {sums.dy, sums.dy_x}, weight, eps, untyped<void>(dx), device_, stream_),
            "gradient");
    }

  private:
    Array memory_;
    float* scratch_;
    int device_;
    void* stream_;
};

int64_t scratch_of(const py::object& x) {
    const Array array(x, "x", false);
    return up_cuda_cbn_scratch(
        {nullptr, array.size(0), array.size(1), array.size(2), array.stride(0), array.stride(1), array.stride(2)});
}
#endif

template <class Where>
void count(const Where& where, const py::object& camera, const py::object& images) {
    const Array camera_array(camera, "camera", false), images_array(images, "images", true);
    const int64_t n = camera_array.size(0), rows = images_array.size(0);
    expect(n >= 1 && rows >= 2, "camera must be [N] and images [groups + 1]");
    where.count(camera_array.elements<const int64_t>(n, Where::on_gpu), n, rows - 1,
                images_array.elements<int64_t>(rows, Where::on_gpu));
}

template <class Where>
void statistics(const Where& where, const py::object& x, const py::object& camera, const py::object& images,
                const py::object& mean, const py::object& var) {
    each_type<Where>(x, [&](auto element) {
        const Common<decltype(element)> in(x, camera, images, 0, mean, var, true, Where::on_gpu);
        py::gil_scoped_release release;
        where.statistics(in);
    });
}

// With `fused`, mean and var are computed on the way.
template <class Where>
void normalise(const Where& where, const py::object& x, const py::object& camera, const py::object& images,
               int64_t min_images, const py::object& mean, const py::object& var, const py::object& weight,
               const py::object& bias, double eps, const py::object& y, bool fused) {
    each_type<Where>(x, [&](auto element) {
        using T = decltype(element);
        using A = Compute<T>;
        const Common<T> in(x, camera, images, min_images, mean, var, fused, Where::on_gpu);
        const Array weight_array(weight, "weight", false), bias_array(bias, "bias", false), y_array(y, "y", true);
        const auto out = like<T>(in.x, y_array, Where::on_gpu);
        const A* by = weight_array.elements<const A>(in.x.channels, Where::on_gpu);
        const A* plus = bias_array.elements<const A>(in.x.channels, Where::on_gpu);
        py::gil_scoped_release release;
        where.normalise(in, by, plus, static_cast<A>(eps), out, fused);
    });
}

template <class Where>
void sums(const Where& where, const py::object& x, const py::object& dy, const py::object& camera,
          const py::object& images, int64_t min_images, const py::object& mean, const py::object& var,
          const py::object& sum_dy, const py::object& sum_dy_x) {
    each_type<Where>(x, [&](auto element) {
        using T = decltype(element);
        using A = Compute<T>;
        const Common<T> in(x, camera, images, min_images, mean, var, false, Where::on_gpu);
        const Array dy_array(dy, "dy", false), sum_array(sum_dy, "sum_dy", true),
            sum_x_array(sum_dy_x, "sum_dy_x", true);
        const auto grad = like<const T>(in.x, dy_array, Where::on_gpu);
        const GradientSums<A> out{sum_array.elements<A>(in.table, Where::on_gpu),
                                  sum_x_array.elements<A>(in.table, Where::on_gpu)};
        py::gil_scoped_release release;
        where.sums(in, grad, out);
    });
}

// With `fused`, the sums are computed on the way.
template <class Where>
void gradient(const Where& where, const py::object& x, const py::object& dy, const py::object& camera,
              const py::object& images, int64_t min_images, const py::object& mean, const py::object& var,
              const py::object& sum_dy, const py::object& sum_dy_x, const py::object& weight, double eps,
              const py::object& dx, bool fused) {
    each_type<Where>(x, [&](auto element) {
        using T = decltype(element);
        using A = Compute<T>;
        const Common<T> in(x, camera, images, min_images, mean, var, false, Where::on_gpu);
        const Array dy_array(dy, "dy", false), sum_array(sum_dy, "sum_dy", fused),
            sum_x_array(sum_dy_x, "sum_dy_x", fused), weight_array(weight, "weight", false), dx_array(dx, "dx", true);
        const auto grad = like<const T>(in.x, dy_array, Where::on_gpu);
        const auto out = like<T>(in.x, dx_array, Where::on_gpu);
        const GradientSums<A> totals{sum_array.elements<A>(in.table, Where::on_gpu),
                                     sum_x_array.elements<A>(in.table, Where::on_gpu)};
        const A* by = weight_array.elements<const A>(in.x.channels, Where::on_gpu);
        py::gil_scoped_release release;
        where.gradient(in, grad, totals, by, static_cast<A>(eps), out, fused);
    });
}

template <class Where>
py::class_<Where> bind_methods(py::module_& m, const char* name) {
    return py::class_<Where>(m, name, py::module_local())
        .def("count", &count<Where>)
        .def("statistics", &statistics<Where>)
        .def("normalise", &normalise<Where>)
        .def("sums", &sums<Where>)
        .def("gradient", &gradient<Where>);
}

}  // namespace

void bind_cbn(py::module_& m) {
    bind_methods<Cpu>(m, "CbnCpu").def(py::init([](int threads) { return Cpu{threads}; }));
#if defined(UP_WITH_CUDA)
    bind_methods<Cuda>(m, "CbnCuda").def(py::init<const py::object&, int, uintptr_t>(), py::keep_alive<1, 2>());
    m.def("cbn_scratch", &scratch_of);
#endif
}

}  // namespace unrealperson
