// Instruction sets chosen at run time. A kernel has one body, compiled once for each set: the 16-lane vectors below
// become one, two or four registers. Every path sums in one order, without fused multiply-add, and so gives the same
// bits. Only functions carry the wider target, so no standard template is emitted with instructions that the machine
// may lack.
#pragma once

#include <cstdint>

#define UP_ALWAYS_INLINE __attribute__((always_inline))
#define UP_INLINE inline UP_ALWAYS_INLINE

// M(isa, attribute) for each set that this build has; it defines, say, a constant kernels_##isa of function pointers.
#if defined(__x86_64__)
#    define UP_EACH_ISA(M)                            \
        M(scalar, )                                   \
        M(avx2, __attribute__((target("avx2,f16c")))) \
        M(avx512, __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"))))
#    define UP_CHOSEN_ISA(table)                                      \
        (isa_in_use() == ::unrealperson::Isa::avx512 ? table##_avx512 \
         : isa_in_use() == ::unrealperson::Isa::avx2 ? table##_avx2   \
                                                     : table##_scalar)
#else
#    define UP_EACH_ISA(M) M(scalar, )
#    define UP_CHOSEN_ISA(table) table##_scalar
#endif

namespace unrealperson {

enum class Isa : int { scalar = 0, avx2 = 1, avx512 = 2 };
bool isa_compiled(Isa isa);
bool isa_supported(Isa isa);
Isa isa_in_use();
void use_isa(Isa isa);

constexpr int kLanes = 16;
typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef float UnalignedLanes __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef int32_t LaneMask __attribute__((vector_size(4 * kLanes)));

UP_INLINE const UnalignedLanes& lanes(const float* p) { return *reinterpret_cast<const UnalignedLanes*>(p); }
UP_INLINE UnalignedLanes& lanes(float* p) { return *reinterpret_cast<UnalignedLanes*>(p); }

}  // namespace unrealperson
