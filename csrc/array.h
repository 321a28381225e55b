// Arrays of the caller, borrowed without a copy, and the checks of the binding files.
#pragma once

#include <pybind11/pybind11.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "tensor.h"
#if defined(UP_HOST_SIM)
#    include "host_sim/monitor.h"
#endif

namespace unrealperson {

namespace py = pybind11;

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
constexpr int32_t kDLPackCpu = 1, kDLPackCuda = 2;

// A borrowed array: host memory through the buffer protocol or DLPack, a GPU's through __cuda_array_interface__ or a
// DLPack capsule, which torch makes in a tenth of the time and without waiting for a stream.
class Array {
  public:
    Array(const py::handle& source, const char* name, bool writable) : name_(name) {
        if (PyObject_CheckBuffer(source.ptr()))
            from_buffer(source, writable);
        else if (PyCapsule_CheckExact(source.ptr()))
            from_capsule(py::reinterpret_borrow<py::object>(source));
        else if (py::hasattr(source, "__cuda_array_interface__"))
            from_gpu(py::dict(source.attr("__cuda_array_interface__")));
        else if (py::hasattr(source, "__dlpack__"))
            from_capsule(source.attr("__dlpack__")());
        else
            fail("must be an array with a buffer, __dlpack__ or __cuda_array_interface__");
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() {
        if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
#if defined(UP_HOST_SIM)
        if (on_gpu_) sim::monitor::unregister_buffer(first_byte(), byte_count());
#endif
    }

    char kind() const { return kind_; }  // f, b (bfloat16), i or u
    int64_t item_size() const { return item_size_; }
    int ndim() const { return ndim_; }
    int64_t size(int axis) const { return shape_[axis]; }
    int64_t stride(int axis) const { return stride_[axis]; }  // in elements

    // The first element, whatever shape and strides, which the caller has to heed.
    template <class T>
    T* strided(int ndim, bool on_gpu = false) const {
        check_elements<T>(ndim, on_gpu);
        return static_cast<T*>(data_);
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
    static constexpr int kMaxDims = 5;
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
        if (ndim < 1 || ndim > kMaxDims) fail("must have 1 to 5 dimensions, got " + std::to_string(ndim));
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
        kind_ = std::strchr("efd", *format) ? 'f' : std::strchr("bhilq", *format) ? 'i' : *format == 'B' ? 'u' : '?';
        for (int axis = 0; axis < ndim_; ++axis) {
            shape_[axis] = buffer_.shape[axis];
            set_byte_stride(axis, buffer_.strides[axis]);
        }
    }

#if defined(UP_HOST_SIM)
    // The bytes from the lowest element to the highest.
    const char* first_byte() const {
        const char* first = static_cast<const char*>(data_);
        for (int axis = 0; axis < ndim_; ++axis)
            if (stride_[axis] < 0 && shape_[axis] > 0) first += (shape_[axis] - 1) * stride_[axis] * item_size_;
        return first;
    }

    size_t byte_count() const {
        int64_t count = 1;
        for (int axis = 0; axis < ndim_; ++axis) {
            if (shape_[axis] == 0) return 0;
            count += (shape_[axis] - 1) * (stride_[axis] < 0 ? -stride_[axis] : stride_[axis]);
        }
        return static_cast<size_t>(count * item_size_);
    }
#endif

    void from_gpu(const py::dict& interface) {
        from_cuda_interface(interface);
#if defined(UP_HOST_SIM)
        sim::monitor::register_buffer(first_byte(), byte_count(), name_);
#endif
    }

    void from_cuda_interface(const py::dict& interface) {
        const auto shape = interface["shape"].cast<py::tuple>();
        const auto type = interface["typestr"].cast<std::string>();
        set_dims(static_cast<int64_t>(shape.size()));
        data_ = reinterpret_cast<void*>(interface["data"].cast<py::tuple>()[0].cast<uintptr_t>());
        on_gpu_ = true;
        kind_ = type.at(1) == 'V' ? 'b' : type.at(1);  // torch has no other name there for bfloat16
        item_size_ = std::stoi(type.substr(2));
        for (int axis = 0; axis < ndim_; ++axis) shape_[axis] = shape[axis].cast<int64_t>();
        set_contiguous();
        if (!interface.contains("strides") || interface["strides"].is_none()) return;
        const auto strides = interface["strides"].cast<py::tuple>();
        for (int axis = 0; axis < ndim_; ++axis) set_byte_stride(axis, strides[axis].cast<int64_t>());
    }

    void from_capsule(py::object capsule) {
        // The capsule's own destructor releases the tensor: owner_ keeps it, unconsumed, for as long as this view
        // lives.
        owner_ = std::move(capsule);
        auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(owner_.ptr(), "dltensor"));
        if (managed == nullptr) throw py::error_already_set();
        const DLTensor& tensor = managed->tensor;
        on_gpu_ = tensor.device_type == kDLPackCuda;
        if (!on_gpu_ && tensor.device_type != kDLPackCpu) fail("must lie in host memory or on a CUDA device");
        set_dims(tensor.ndim);
        data_ = static_cast<char*>(tensor.data) + tensor.byte_offset;
        kind_ = tensor.code == 0 ? 'i' : tensor.code == 1 ? 'u' : tensor.code == 2 ? 'f' : tensor.code == 4 ? 'b' : '?';
        item_size_ = tensor.bits / 8;
        for (int axis = 0; axis < ndim_; ++axis) shape_[axis] = tensor.shape[axis];
        set_contiguous();
        if (tensor.strides == nullptr) return;
        for (int axis = 0; axis < ndim_; ++axis) stride_[axis] = tensor.strides[axis];
    }

    template <class T>
    static constexpr char element_kind() {
        if (std::is_same_v<T, BFloat16>) return 'b';
        if (std::is_same_v<T, Float16> || std::is_floating_point_v<T>) return 'f';
        return std::is_signed_v<T> ? 'i' : 'u';
    }

    template <class T>
    void check(int ndim, bool on_gpu) const {
        check_elements<T>(ndim, on_gpu);
        const int64_t last = ndim_ - 1;
        if (shape_[last] > 1 && stride_[last] != 1) fail("must have adjacent elements along its last axis");
    }

    template <class T>
    void check_elements(int ndim, bool on_gpu) const {
        constexpr char kind = element_kind<std::remove_const_t<T>>();
        if (kind_ != kind || item_size_ != sizeof(T))
            fail(std::string("must have elements of kind ") + kind + std::to_string(sizeof(T)) + ", got " + kind_ +
                 std::to_string(item_size_));
        if (ndim_ != ndim) fail("must have " + std::to_string(ndim) + " dimensions, got " + std::to_string(ndim_));
        if (on_gpu_ != on_gpu) fail(on_gpu ? "must lie in GPU memory" : "must lie in host memory");
        if (reinterpret_cast<uintptr_t>(data_) % sizeof(T) != 0) fail("must be aligned to its element size");
    }
};

inline void expect(bool holds, const char* message) {
    if (!holds) throw py::value_error(message);
}

}  // namespace unrealperson
