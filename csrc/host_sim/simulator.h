// Runs a kernel's threads on the CPU. Each thread of a block is a fiber; blocks follow one another; a fiber gives way
// only where CUDA makes threads wait for each other, so a schedule and its seed repeat a run exactly. Hence a thread
// that waits in a loop for what another writes waits forever here, and the compiler contracts no products and sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1) : x(x_size), y(y_size), z(z_size) {}
};

namespace unrealperson::sim {

constexpr unsigned kWarpSize = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kStaticSharedLimit = 48 << 10;
constexpr size_t kSharedLimit = 227 << 10;  // of one block, where its kernel has asked for more than 48 KiB

// A kernel did what CUDA leaves undefined, or a launch asked for what no device has.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A line of a kernel.
struct Site {
    const char* file;
    int line;
};
std::string to_string(Site site);

// In which order the threads that can go on do so, and the blocks of a grid.
enum class Order { forward, reverse, random };
void use_schedule(Order order, uint64_t seed);

struct Statistics {
    uint64_t launches, blocks, threads, switches, barriers, collectives;
    uint64_t inactive_reads;  // shuffles from a lane that takes no part, which give NaN
};
Statistics& statistics();

// What threadIdx and its companions read.
struct Coordinates {
    uint3 thread, block;
    dim3 block_size, grid_size;
};
extern Coordinates here;

bool inside_kernel();
unsigned thread_in_block();
inline unsigned lane() { return thread_in_block() % kWarpSize; }
unsigned block_in_grid();
std::string describe_thread(unsigned block, unsigned thread);

// Ends the launch from within a thread: the launch throws Error with this text, the kernel's name before it.
[[noreturn]] void fail(const std::string& what);
[[noreturn]] void fail_at(const char* what, Site site);  // names thread and line as well

struct Launch {
    const char* kernel;
    dim3 grid, block;
    size_t shared_bytes;
    size_t shared_limit;
    void (*run)(const void* arguments);
    const void* arguments;
    size_t argument_bytes;
};
void run(const Launch& launch);

// Dynamic shared memory that a kernel may ask for, as cudaFuncSetAttribute sets it.
void allow_shared(const void* kernel, size_t bytes);
size_t allowed_shared(const void* kernel);

// Arguments become the kernel's parameter types once, as in CUDA.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const char* name, dim3 grid, dim3 block, size_t shared_bytes,
            Arguments&&... arguments) {
    struct Call {
        void (*kernel)(Parameters...);
        std::tuple<Parameters...> arguments;
    };
    const Call call{kernel, {static_cast<Parameters>(arguments)...}};
    run({name, grid, block, shared_bytes, allowed_shared(reinterpret_cast<const void*>(kernel)),
         [](const void* made) {
             const Call* made_call = static_cast<const Call*>(made);
             std::apply(made_call->kernel, made_call->arguments);
         },
         &call, sizeof call});
}

// Where threads wait for each other.
enum class Vote { none, count, all, any };
int block_barrier(Vote vote, bool predicate, Site site);

enum class Collective { shuffle, ballot, match, sync };
struct LaneCall {
    Collective kind;
    unsigned mask;
    uint64_t value;   // shuffled, matched, or the predicate of a ballot
    unsigned source;  // lane to take the value from
    Site site;
};
uint64_t warp_collective(const LaneCall& call);

void* dynamic_shared();

}  // namespace unrealperson::sim
