#include <string>

#include "host_sim/planted.cuh"
#include "launch.h"

namespace unrealperson {

using Planted = void (*)(float*);

#define UP_PLANTED(name)                                       \
    {                                                          \
        #name, { &planted::name<false>, &planted::name<true> } \
    }

// out [blocks * 64 + 1] floats; the last is a counter of missing_fence.
void run_planted(const std::string& name, bool broken, unsigned blocks, float* out) {
    static const struct {
        const char* name;
        Planted kernels[2];
    } table[] = {
        UP_PLANTED(missing_barrier),
        UP_PLANTED(missing_barrier_before_reuse),
        UP_PLANTED(missing_syncwarp),
        UP_PLANTED(missing_syncwarp_before_write),
        UP_PLANTED(shuffle_for_order),
        UP_PLANTED(order_beyond_the_mask),
        UP_PLANTED(shared_byte),
        UP_PLANTED(grid_race),
        UP_PLANTED(plain_counter),
        UP_PLANTED(missing_fence),
        UP_PLANTED(divergent_barrier),
        UP_PLANTED(early_exit),
        UP_PLANTED(mask_of_absent_lanes),
        UP_PLANTED(mask_without_self),
        UP_PLANTED(divergent_shuffle),
        UP_PLANTED(inactive_source),
        UP_PLANTED(deadlock),
        UP_PLANTED(unwritten_static),
        UP_PLANTED(unwritten_dynamic),
        UP_PLANTED(unwritten_output),
        UP_PLANTED(write_beyond),
        UP_PLANTED(read_before),
        UP_PLANTED(beyond_dynamic),
        UP_PLANTED(beyond_static),
        UP_PLANTED(misaligned_vector),
        UP_PLANTED(long_shift),
        UP_PLANTED(large_static),
    };
    for (const auto& entry : table)
        if (name == entry.name) {
            return sim::launch(entry.kernels[broken], entry.name, blocks, planted::kThreads,
                               planted::kThreads * sizeof(float), out);
        }
    throw sim::Error("no kernel is called " + name);
}

// A launch of nothing, for the limits of a device.
void run_empty(dim3 blocks, dim3 threads, size_t shared_bytes, int allowed_bytes) {
    const Planted kernel = +[](float*) {};
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, allowed_bytes) != cudaSuccess)
        throw sim::Error("cudaFuncSetAttribute refuses so many bytes");
    UP_LAUNCH(kernel, blocks, threads, shared_bytes, nullptr, nullptr);
}

}  // namespace unrealperson
