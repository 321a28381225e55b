// What tests may ask of the simulator.
#include <pybind11/pybind11.h>

#include "monitor.h"
#include "simulator.h"

namespace py = pybind11;

namespace unrealperson {
namespace {

sim::Order order_of(const std::string& name) {
    if (name == "forward") return sim::Order::forward;
    if (name == "reverse") return sim::Order::reverse;
    if (name == "random") return sim::Order::random;
    throw py::value_error("a schedule is forward, reverse or random, got \"" + name + "\"");
}

py::dict simulation() {
    const sim::Statistics& counted = sim::statistics();
    py::dict found;
    found["checked"] = sim::monitor::checks();
    found["launches"] = counted.launches;
    found["blocks"] = counted.blocks;
    found["threads"] = counted.threads;
    found["switches"] = counted.switches;
    found["barriers"] = counted.barriers;
    found["collectives"] = counted.collectives;
    found["inactive_reads"] = counted.inactive_reads;
    found["accesses"] = sim::monitor::accesses();
    return found;
}

}  // namespace

void bind_host_sim(py::module_& m) {
    m.def("use_schedule", [](const std::string& order, uint64_t seed) { sim::use_schedule(order_of(order), seed); });
    m.def("simulation", &simulation);
    m.def("set_defined", [](uintptr_t address, size_t bytes, bool defined) {
        sim::monitor::set_defined(reinterpret_cast<const void*>(address), bytes, defined);
    });
}

}  // namespace unrealperson
