// The only file that knows Python: takes arrays in without copying them, checks them, releases the GIL and dispatches.
#include <pybind11/pybind11.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include "distance.h"
#include "parallel.h"
#include "skin.h"
#include "tensor.h"

namespace py = pybind11;

namespace unrealperson {
namespace {

// The part of DLPack 0.x that every producer still hands out when no max_version is asked for.
struct DLTensor {
    void* data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t vector_lanes;
    int64_t* shape;
    int64_t* strides;
    uint64_t byte_offset;
};
struct DLManagedTensor {
    DLTensor tensor;
    void* context;
    void (*release)(DLManagedTensor*);
};
constexpr int32_t kDLPackCpu = 1;

// A borrowed array: host memory through the buffer protocol or DLPack, a GPU's through __cuda_array_interface__.
class Array {
  public:
    Array(const py::handle& source, const char* name, bool writable) : name_(name) {
        if (PyObject_CheckBuffer(source.ptr()))
            from_buffer(source, writable);
        else if (py::hasattr(source, "__cuda_array_interface__"))
            from_cuda_interface(py::dict(source.attr("__cuda_array_interface__")));
        else if (py::hasattr(source, "__dlpack__"))
            from_dlpack(source);
        else
            fail("must be an array with a buffer, __dlpack__ or __cuda_array_interface__");
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() {
        if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
    }

    template <class T>
    Matrix<T> matrix(bool on_gpu = false) const {
        check<T>(2, on_gpu);
        return {static_cast<T*>(data_), shape_[0], shape_[1], stride_[0]};
    }

    // `count` adjacent elements, whatever the shape.
    template <class T>
    T* elements(int64_t count, bool on_gpu = false) const {
        check<T>(ndim_, on_gpu);
        int64_t product = 1;
        for (int axis = ndim_ - 1; axis >= 0; --axis) {
            if (shape_[axis] > 1 && stride_[axis] != product) fail("must be contiguous");
            product *= shape_[axis];
        }
        if (product != count) fail("must have " + std::to_string(count) + " elements, got " + std::to_string(product));
        return static_cast<T*>(data_);
    }

  private:
    static constexpr int kMaxDims = 4;
    const char* name_;
    void* data_ = nullptr;
    int ndim_ = 0;
    int64_t shape_[kMaxDims] = {}, stride_[kMaxDims] = {};  // in elements
    char kind_ = '?';
    int64_t item_size_ = 0;
    bool on_gpu_ = false;
    Py_buffer buffer_{};
    py::object owner_;

    [[noreturn]] void fail(const std::string& what) const { throw py::value_error(std::string(name_) + " " + what); }

    void set_dims(int64_t ndim) {
        if (ndim < 1 || ndim > kMaxDims) fail("must have 1 to 4 dimensions, got " + std::to_string(ndim));
        ndim_ = static_cast<int>(ndim);
    }

    void set_contiguous() {
        for (int64_t axis = ndim_ - 1, product = 1; axis >= 0; product *= shape_[axis--]) stride_[axis] = product;
    }

    void set_byte_stride(int axis, int64_t bytes) {
        if (bytes % item_size_ != 0) fail("must have strides that are whole elements");
        stride_[axis] = bytes / item_size_;
    }

    void from_buffer(const py::handle& source, bool writable) {
        const int flags = PyBUF_STRIDES | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(source.ptr(), &buffer_, flags) != 0) throw py::error_already_set();
        set_dims(buffer_.ndim);
        data_ = buffer_.buf;
        item_size_ = buffer_.itemsize;
        const char* format = buffer_.format == nullptr ? "B" : buffer_.format;
        if (*format == '@' || *format == '=' || *format == '<') ++format;
        kind_ = std::strchr("fd", *format) ? 'f' : std::strchr("bhilq", *format) ? 'i' : *format == 'B' ? 'u' : '?';
        for (int axis = 0; axis < ndim_; ++axis) {
            shape_[axis] = buffer_.shape[axis];
            set_byte_stride(axis, buffer_.strides[axis]);
        }
    }

    void from_cuda_interface(const py::dict& interface) {
        const auto shape = interface["shape"].cast<py::tuple>();
        const auto type = interface["typestr"].cast<std::string>();
        set_dims(static_cast<int64_t>(shape.size()));
        data_ = reinterpret_cast<void*>(interface["data"].cast<py::tuple>()[0].cast<uintptr_t>());
        on_gpu_ = true;
        kind_ = type.at(1);
        item_size_ = std::stoi(type.substr(2));
        for (int axis = 0; axis < ndim_; ++axis) shape_[axis] = shape[axis].cast<int64_t>();
        set_contiguous();
        if (!interface.contains("strides") || interface["strides"].is_none()) return;
        const auto strides = interface["strides"].cast<py::tuple>();
        for (int axis = 0; axis < ndim_; ++axis) set_byte_stride(axis, strides[axis].cast<int64_t>());
    }

    void from_dlpack(const py::handle& source) {
        // The capsule's own destructor releases the tensor: owner_ keeps it, unconsumed, for as long as this view
        // lives.
        owner_ = source.attr("__dlpack__")();
        auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(owner_.ptr(), "dltensor"));
        if (managed == nullptr) throw py::error_already_set();
        const DLTensor& tensor = managed->tensor;
        if (tensor.device_type != kDLPackCpu) fail("must lie in host memory or offer __cuda_array_interface__");
        set_dims(tensor.ndim);
        data_ = static_cast<char*>(tensor.data) + tensor.byte_offset;
        kind_ = tensor.code == 0 ? 'i' : tensor.code == 1 ? 'u' : tensor.code == 2 ? 'f' : '?';
        item_size_ = tensor.bits / 8;
        for (int axis = 0; axis < ndim_; ++axis) shape_[axis] = tensor.shape[axis];
        set_contiguous();
        if (tensor.strides == nullptr) return;
        for (int axis = 0; axis < ndim_; ++axis) stride_[axis] = tensor.strides[axis];
    }

    template <class T>
    void check(int ndim, bool on_gpu) const {
        const char kind = std::is_floating_point<T>::value ? 'f' : std::is_signed<T>::value ? 'i' : 'u';
        if (kind_ != kind || item_size_ != sizeof(T))
            fail(std::string("must have elements of kind ") + kind + std::to_string(sizeof(T)) + ", got " + kind_ +
                 std::to_string(item_size_));
        if (ndim_ != ndim) fail("must have " + std::to_string(ndim) + " dimensions, got " + std::to_string(ndim_));
        if (on_gpu_ != on_gpu) fail(on_gpu ? "must lie in GPU memory" : "must lie in host memory");
        if (reinterpret_cast<uintptr_t>(data_) % sizeof(T) != 0) fail("must be aligned to its element size");
        const int64_t last = ndim_ - 1;
        if (shape_[last] > 1 && stride_[last] != 1) fail("must have adjacent elements along its last axis");
    }
};

Metric metric_of(const std::string& name) {
    if (name == "sqeuclidean") return Metric::sqeuclidean;
    if (name == "cosine") return Metric::cosine;
    if (name == "inner_product") return Metric::inner_product;
    throw py::value_error("metric must be \"sqeuclidean\", \"cosine\" or \"inner_product\", got \"" + name + "\"");
}

void expect(bool holds, const char* message) {
    if (!holds) throw py::value_error(message);
}

void require_finite(const float* x, int64_t n, const char* name) {
    uint32_t found = 0;
    for (int64_t i = 0; i < n; ++i) {
        uint32_t bits;
        std::memcpy(&bits, x + i, sizeof bits);
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (found) throw py::value_error(std::string(name) + " must be finite, got NaN or Inf");
}

int64_t bind_row_norms(const py::object& x, const py::object& norm2, int threads) {
    const Array x_array(x, "x", false), norm2_array(norm2, "norm2", true);
    const auto rows = x_array.matrix<const float>();
    float* out = norm2_array.elements<float>(rows.rows);
    py::gil_scoped_release release;
    return row_norms(rows, out, threads);
}

int64_t bind_products_and_norms(const py::object& q, const py::object& g, const py::object& out,
                                const py::object& norm2, int threads) {
    const Array q_array(q, "q", false), g_array(g, "g", false), out_array(out, "out", true),
        norm2_array(norm2, "norm2", true);
    const auto queries = q_array.matrix<const float>(), gallery = g_array.matrix<const float>();
    const auto result = out_array.matrix<float>();
    expect(queries.cols == gallery.cols, "q and g must have rows of one length");
    expect(result.rows == queries.rows && result.cols == gallery.rows, "out must be [q, g]");
    float* norms = norm2_array.elements<float>(gallery.rows);
    py::gil_scoped_release release;
    return products_and_norms(queries, gallery, result, norms, threads);
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

void bind_skin(const py::object& positions, const py::object& normals, const py::object& bone_index,
               const py::object& bone_weight, const py::object& bones, const py::object& out_positions,
               const py::object& out_normals, int threads) {
    const Array positions_array(positions, "positions", false), normals_array(normals, "normals", false),
        index_array(bone_index, "bone_index", false), weight_array(bone_weight, "bone_weight", false),
        bones_array(bones, "bones", false), posed_array(out_positions, "out_positions", true),
        turned_array(out_normals, "out_normals", true);
    const int64_t vertices = positions_array.matrix<const float>().rows, count = py::len(bones);
    const SkinInput in{vertices,
                       count,
                       positions_array.elements<const float>(3 * vertices),
                       normals_array.elements<const float>(3 * vertices),
                       index_array.elements<const uint8_t>(4 * vertices),
                       weight_array.elements<const float>(4 * vertices),
                       bones_array.elements<const float>(12 * count)};
    float* posed = posed_array.elements<float>(3 * vertices);
    float* turned = turned_array.elements<float>(3 * vertices);
    require_finite(in.positions, 3 * vertices, "positions");
    require_finite(in.normals, 3 * vertices, "normals");
    require_finite(in.bone_weight, 4 * vertices, "bone_weight");
    require_finite(in.transforms, 12 * count, "bones");
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

constexpr const char* kIsaNames[] = {"scalar", "avx2", "avx512"};

void bind_use_isa(const std::string& name) {
    for (int i = 0; i < 3; ++i) {
        if (name != kIsaNames[i]) continue;
        if (!isa_supported(static_cast<Isa>(i)))
            throw std::runtime_error("this machine or build lacks the instruction set " + name);
        return use_isa(static_cast<Isa>(i));
    }
    throw py::value_error("the instruction set must be scalar, avx2 or avx512, got \"" + name + "\"");
}

py::dict build_info() {
    py::list compiled, usable;
    for (int i = 0; i < 3; ++i) {
        if (isa_compiled(static_cast<Isa>(i))) compiled.append(kIsaNames[i]);
        if (isa_supported(static_cast<Isa>(i))) usable.append(kIsaNames[i]);
    }
    py::dict info;
    info["version"] = UP_VERSION;
    info["compiler"] = UP_COMPILER;
#if defined(UP_WITH_CUDA)
    info["cuda"] = true;
    info["cuda_version"] = UP_CUDA_VERSION;
    info["cuda_archs"] = UP_CUDA_ARCHS;
    info["cuda_devices"] = up_cuda_device_count();
#else
    info["cuda"] = false;
    info["cuda_version"] = "";
    info["cuda_archs"] = "";
    info["cuda_devices"] = 0;
#endif
#if defined(_OPENMP)
    info["openmp"] = true;
#else
    info["openmp"] = false;
#endif
    info["threads"] = usable_threads(0);
    info["isa_compiled"] = compiled;
    info["isa_supported"] = usable;
    info["isa"] = kIsaNames[static_cast<int>(isa_in_use())];
    return info;
}

#if defined(UP_WITH_CUDA)
void check_cuda(int status, const char* what) {
    if (status != 0) throw std::runtime_error(std::string(what) + ": " + up_cuda_error_string(status));
}

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
#endif

}  // namespace

PYBIND11_MODULE(_C, m) {
    m.doc() = "Native operations of unrealperson; call them through unrealperson.ops.";
    m.def("build_info", &build_info);
    m.def("use_isa", &bind_use_isa);
    m.def("row_norms", &bind_row_norms);
    m.def("products_and_norms", &bind_products_and_norms);
    m.def("key_terms", &bind_key_terms);
    m.def("products_to_values", &bind_products_to_values);
    py::class_<Nearest>(m, "Nearest")
        .def(py::init<int64_t, int64_t>())
        .def("add", &bind_nearest_add)
        .def("finish", &bind_nearest_finish);
    m.def("skin", &bind_skin);
#if defined(UP_WITH_CUDA)
    m.def("cuda_row_norms", &bind_cuda_row_norms);
    m.def("cuda_distance_matrix", &bind_cuda_matrix);
    m.def("cuda_topk", &bind_cuda_topk);
    m.attr("cuda_topk_limit") = up_cuda_topk_limit();
#endif
}

}  // namespace unrealperson
