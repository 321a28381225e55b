// Where -fsanitize=alignment,bounds,... of the kernels reports: the compiler's own interface, without its library.
#include <cstdint>
#include <string>

#include "simulator.h"

namespace unrealperson::sim {
namespace {

struct Location {
    const char* file;
    uint32_t line, column;
};

[[noreturn]] void report(const char* what, const Location& location) {
    fail_at(what, {location.file, static_cast<int>(location.line)});
}

}  // namespace
}  // namespace unrealperson::sim

using unrealperson::sim::Location;
using unrealperson::sim::report;

// Every report begins with its place, so the rest of it needs no description here.
extern "C" {
void __ubsan_handle_type_mismatch_v1_abort(Location* location, void*) { report("misaligned access", *location); }
void __ubsan_handle_out_of_bounds_abort(Location* location, void*) { report("out of bounds of an array", *location); }
void __ubsan_handle_shift_out_of_bounds_abort(Location* location, void*, void*) {
    report("shift by more bits than there are", *location);
}
void __ubsan_handle_divrem_overflow_abort(Location* location, void*, void*) {
    report("integer division by zero", *location);
}
void __ubsan_handle_add_overflow_abort(Location* location, void*, void*) { report("integer overflow", *location); }
void __ubsan_handle_sub_overflow_abort(Location* location, void*, void*) { report("integer overflow", *location); }
void __ubsan_handle_mul_overflow_abort(Location* location, void*, void*) { report("integer overflow", *location); }
void __ubsan_handle_negate_overflow_abort(Location* location, void*) { report("integer overflow", *location); }
}
