// One function an operation: adds what Python may call of it to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace unrealperson {

namespace py = pybind11;

void bind_cbn(py::module_& m);
void bind_distance(py::module_& m);
void bind_metrics(py::module_& m);
void bind_shortlist(py::module_& m);
void bind_rerank(py::module_& m);
void bind_skin(py::module_& m);
void bind_temporal(py::module_& m);
#if defined(UP_HOST_SIM)
void bind_host_sim(py::module_& m);
#endif

}  // namespace unrealperson
