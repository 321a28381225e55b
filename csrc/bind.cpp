// The module unrealperson.ops._C: each operation binds itself in its own *_bind.cpp.
#include "bind.h"

#include <stdexcept>
#include <string>

#include "device.h"
#include "parallel.h"
#include "simd.h"

namespace unrealperson {
namespace {

constexpr const char* kIsaNames[] = {"scalar", "avx2", "avx512"};

void use_isa_named(const std::string& name) {
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

}  // namespace

PYBIND11_MODULE(_C, m) {
    m.doc() = "Native operations of unrealperson; call them through unrealperson.ops.";
    m.def("build_info", &build_info);
    m.def("use_isa", &use_isa_named);
    bind_cbn(m);
    bind_distance(m);
    bind_metrics(m);
    bind_shortlist(m);
    bind_rerank(m);
    bind_skin(m);
    bind_temporal(m);
#if defined(UP_HOST_SIM)
    bind_host_sim(m);
#endif
}

}  // namespace unrealperson
