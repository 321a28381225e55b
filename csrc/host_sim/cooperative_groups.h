// The part of cooperative_groups that kernels use: the block, and tiles of a power of two of lanes.
#pragma once

#include "cuda.h"

namespace cooperative_groups {

struct thread_block {
    static unsigned thread_rank() { return unrealperson::sim::thread_in_block(); }
    static unsigned num_threads() { return blockDim.x * blockDim.y * blockDim.z; }
    static unsigned size() { return num_threads(); }
    static void sync(UP_SIM_SITE) { __syncthreads(file, line); }
};

inline thread_block this_thread_block() { return {}; }

template <unsigned Size>
class thread_block_tile {
    static_assert(Size >= 1 && Size <= 32 && (Size & (Size - 1)) == 0, "a tile has 1, 2, 4, 8, 16 or 32 lanes");
    static unsigned first_lane() { return unrealperson::sim::lane() / Size * Size; }
    static unsigned mask() { return (Size == 32 ? ~0u : (1u << (Size % 32)) - 1) << first_lane(); }

  public:
    static constexpr unsigned num_threads() { return Size; }
    static constexpr unsigned size() { return Size; }
    static unsigned thread_rank() { return unrealperson::sim::thread_in_block() % Size; }
    static unsigned meta_group_rank() { return unrealperson::sim::thread_in_block() / Size; }
    static unsigned meta_group_size() { return (thread_block::num_threads() + Size - 1) / Size; }
    static void sync(UP_SIM_SITE) { __syncwarp(mask(), file, line); }
    template <class T>
    static T shfl(T value, unsigned source, UP_SIM_SITE) {
        return __shfl_sync(mask(), value, static_cast<int>(source), Size, file, line);
    }
    template <class T>
    static T shfl_up(T value, unsigned step, UP_SIM_SITE) {
        return __shfl_up_sync(mask(), value, step, Size, file, line);
    }
    template <class T>
    static T shfl_down(T value, unsigned step, UP_SIM_SITE) {
        return __shfl_down_sync(mask(), value, step, Size, file, line);
    }
    template <class T>
    static T shfl_xor(T value, unsigned flipped, UP_SIM_SITE) {
        return __shfl_xor_sync(mask(), value, static_cast<int>(flipped), Size, file, line);
    }
    static unsigned ballot(int predicate, UP_SIM_SITE) {
        return __ballot_sync(mask(), predicate, file, line) >> first_lane();
    }
    static bool any(int predicate, UP_SIM_SITE) { return __any_sync(mask(), predicate, file, line) != 0; }
    static bool all(int predicate, UP_SIM_SITE) { return __all_sync(mask(), predicate, file, line) != 0; }
    template <class T>
    static unsigned match_any(T value, UP_SIM_SITE) {
        return __match_any_sync(mask(), value, file, line) >> first_lane();
    }
};

template <unsigned Size>
thread_block_tile<Size> tiled_partition(const thread_block&) {
    return {};
}

}  // namespace cooperative_groups
