// What tests may ask of the simulator.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../array.h"
#include "monitor.h"
#include "simulator.h"

namespace unrealperson {

void run_planted(const std::string& name, bool broken, unsigned blocks, float* out);
void run_empty(dim3 blocks, dim3 threads, size_t shared_bytes, int allowed_bytes);

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

void bind_planted(const std::string& name, bool broken, unsigned blocks, const py::object& out) {
    const Array array(out, "out", true);
    run_planted(name, broken, blocks, array.elements<float>(blocks * 64 + 1, true));
}

void bind_empty(std::array<unsigned, 3> blocks, std::array<unsigned, 3> threads, size_t shared_bytes,
                int allowed_bytes) {
    run_empty({blocks[0], blocks[1], blocks[2]}, {threads[0], threads[1], threads[2]}, shared_bytes, allowed_bytes);
}

}  // namespace

void bind_host_sim(py::module_& m) {
    m.def("use_schedule", [](const std::string& order, uint64_t seed) { sim::use_schedule(order_of(order), seed); });
    m.def("simulation", &simulation);
    m.def("run_planted", &bind_planted);
    m.def("run_empty", &bind_empty);
    m.def("set_defined", [](uintptr_t address, size_t bytes, bool defined) {
        sim::monitor::set_defined(reinterpret_cast<const void*>(address), bytes, defined);
    });
}

}  // namespace unrealperson
