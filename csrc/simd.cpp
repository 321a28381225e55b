#include "simd.h"

#include <atomic>

namespace unrealperson {
namespace {

std::atomic<int>& selected_isa() {
    static std::atomic<int> selected{static_cast<int>(isa_supported(Isa::avx512) ? Isa::avx512
                                                      : isa_supported(Isa::avx2) ? Isa::avx2
                                                                                 : Isa::scalar)};
    return selected;
}

}  // namespace

bool isa_compiled(Isa isa) {
#if defined(__x86_64__)
    (void)isa;
    return true;
#else
    return isa == Isa::scalar;
#endif
}

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
    if (isa == Isa::avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
    if (isa == Isa::avx512)
        return isa_supported(Isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
    return isa == Isa::scalar;
}

Isa isa_in_use() { return static_cast<Isa>(selected_isa().load(std::memory_order_relaxed)); }

void use_isa(Isa isa) { selected_isa().store(static_cast<int>(isa), std::memory_order_relaxed); }

}  // namespace unrealperson
