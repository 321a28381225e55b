#undef _FORTIFY_SOURCE  // its longjmp refuses to change stacks, which is how fibers take turns
#include "simulator.h"

#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "monitor.h"

namespace unrealperson::sim {

Coordinates here;

namespace {

constexpr size_t kStackBytes = 128 << 10;
constexpr unsigned char kPoison = 0xff;  // of every byte: NaN as a float of any size, -1 as an integer
constexpr uint64_t kInactiveValue = 0xffffffffffffffffull;  // so that a shuffle gives NaN as well

enum class State : char { ready, at_barrier, in_collective, done };

struct Fiber {
    jmp_buf resume;
    ucontext_t start;
    bool started = false;
    State state = State::done;
    uint3 index{};
    Site site{};  // where it waits
    Vote vote = Vote::none;
    bool predicate = false;
    int barrier_result = 0;
    uint64_t collective_result = 0;
};

// Lanes of one warp that have met under one mask, and those still awaited.
struct Meeting {
    LaneCall call;
    unsigned awaited, arrived;
    uint64_t value[kWarpSize];
    unsigned source[kWarpSize];
};

Order order = Order::forward;
uint64_t seed = 1, random_state = 1;
std::mutex one_launch;
std::map<const void*, size_t> shared_attribute;

Launch current;
std::unique_ptr<Fiber[]> fibers;
char* stacks = nullptr;
bool in_thread = false;  // rather than in the scheduler or a launcher
unsigned threads = 0, alive = 0, waiting_at_barrier = 0, running = 0;
uint64_t block_number = 0;
std::vector<Meeting> meetings[kMaxThreads / kWarpSize];
alignas(128) unsigned char shared_bytes[kSharedLimit];
jmp_buf scheduler;
std::string failure;

uint64_t random_number() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

template <class T>
void arrange(std::vector<T>& items) {
    std::iota(items.begin(), items.end(), T{0});
    if (order == Order::reverse) std::reverse(items.begin(), items.end());
    if (order == Order::random)
        for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random_number() % i]);
}

unsigned existing_lanes(unsigned warp) {
    const unsigned count = std::min(kWarpSize, threads - warp * kWarpSize);
    return count == kWarpSize ? ~0u : (1u << count) - 1;
}

std::string describe(unsigned thread) { return describe_thread(block_in_grid(), thread); }

// ---- fibers

void back_to_scheduler() {
    ++statistics().switches;
    if (_setjmp(fibers[running].resume) == 0) _longjmp(scheduler, 1);
}

// A fiber outlives its thread: the next block's thread of the same number goes on in its loop.
void fiber_main() {
    for (;;) {
        current.run(current.arguments);
        Fiber& self = fibers[running];
        self.state = State::done;
        --alive;
        for (const Meeting& meeting : meetings[running / kWarpSize])
            if ((meeting.awaited & ~meeting.arrived) >> lane() & 1)
                fail(describe(running) + " ended while lanes of its warp wait for it at " +
                     to_string(meeting.call.site));
        back_to_scheduler();
    }
}

void resume(unsigned thread) {
    Fiber& fiber = fibers[thread];
    running = thread;
    here.thread = fiber.index;
    in_thread = true;
    if (_setjmp(scheduler) == 0) {
        if (fiber.started) _longjmp(fiber.resume, 1);
        fiber.started = true;
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = stacks + thread * kStackBytes;
        fiber.start.uc_stack.ss_size = kStackBytes;
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, fiber_main, 0);
        setcontext(&fiber.start);
    }
    in_thread = false;
    if (!failure.empty()) throw Error(std::string(current.kernel) + ": " + failure);
}

void make_fibers() {
    if (stacks != nullptr) return;
    fibers = std::make_unique<Fiber[]>(kMaxThreads);
    void* made = mmap(nullptr, kMaxThreads * kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) throw Error("no memory for the stacks of a block's threads");
    stacks = static_cast<char*>(made);
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    for (unsigned t = 0; t < kMaxThreads; ++t) mprotect(stacks + t * kStackBytes, page, PROT_NONE);  // guards
}

// ---- barriers and deadlocks

void release_barrier() {
    const Fiber* first = nullptr;
    unsigned first_thread = 0;
    int votes = 0;
    for (unsigned t = 0; t < threads; ++t)
        if (fibers[t].state == State::at_barrier && first == nullptr) {
            first = &fibers[t];
            first_thread = t;
        }
    for (unsigned t = 0; t < threads; ++t) {
        const Fiber& fiber = fibers[t];
        if (fiber.state == State::done)
            throw Error(std::string(current.kernel) + ": early exit: " + describe(t) +
                        " ended while others wait at the barrier of " + to_string(first->site));
        if (fiber.vote != first->vote || fiber.site.line != first->site.line ||
            std::strcmp(fiber.site.file, first->site.file) != 0)
            throw Error(std::string(current.kernel) + ": divergent barrier: " + describe(first_thread) + " at " +
                        to_string(first->site) + ", " + describe(t) + " at " + to_string(fiber.site));
        votes += fiber.predicate;
    }
    const int count = static_cast<int>(threads);
    const int result = first->vote == Vote::count ? votes : first->vote == Vote::all ? votes == count : votes > 0;
    for (unsigned t = 0; t < threads; ++t) {
        fibers[t].barrier_result = result;
        fibers[t].state = State::ready;
    }
    waiting_at_barrier = 0;
    ++statistics().barriers;
    monitor::block_synchronised();
}

[[noreturn]] void report_deadlock() {
    std::string text = std::string(current.kernel) + ": deadlock:";
    int shown = 0;
    for (unsigned t = 0; t < threads; ++t) {
        const Fiber& fiber = fibers[t];
        if (fiber.state == State::done || (t > 0 && fibers[t - 1].state == fiber.state && shown > 0)) continue;
        if (++shown > 4) break;
        text += (shown > 1 ? "; " : " ") + describe(t) + " waits at " +
                (fiber.state == State::at_barrier ? "the barrier of " : "the warp's meeting of ") +
                to_string(fiber.site);
    }
    throw Error(text);
}

// ---- blocks and grids

// The library's thread-local storage is the kernels' static shared memory and nothing else.
int find_static_shared(dl_phdr_info* info, size_t, void* found) {
    const auto address = reinterpret_cast<uintptr_t>(&here);
    bool ours = false;
    size_t bytes = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        const uintptr_t begin = info->dlpi_addr + part.p_vaddr;
        if (part.p_type == PT_LOAD && address >= begin && address < begin + part.p_memsz) ours = true;
        if (part.p_type == PT_TLS) bytes = part.p_memsz;
    }
    if (!ours) return 0;
    const auto begin = reinterpret_cast<uintptr_t>(info->dlpi_tls_data);
    if (begin != 0) *static_cast<monitor::Extent*>(found) = {begin, begin + bytes};
    return 1;
}

monitor::Extent static_shared() {
    // Touching one such object makes the loader hand out this thread's storage.
    static thread_local volatile char touched;
    touched = touched + 1;
    monitor::Extent extent{0, 0};
    dl_iterate_phdr(&find_static_shared, &extent);
    return extent;
}

void run_block(const monitor::Extent& fixed) {
    std::memset(reinterpret_cast<void*>(fixed.begin), kPoison, fixed.end - fixed.begin);
    std::memset(shared_bytes, kPoison, current.shared_bytes);
    alive = threads;
    waiting_at_barrier = 0;
    for (auto& of_warp : meetings) of_warp.clear();
    for (unsigned t = 0; t < threads; ++t) fibers[t].state = State::ready;
    monitor::block_begins();
    std::vector<unsigned> turns(threads);
    while (alive > 0) {
        arrange(turns);
        bool progress = false;
        for (const unsigned t : turns)
            if (fibers[t].state == State::ready) {
                progress = true;
                resume(t);
            }
        if (alive > 0 && waiting_at_barrier == alive)
            release_barrier();
        else if (!progress)
            report_deadlock();
    }
}

void require_valid(const Launch& launch) {
    const auto refuse = [&](const std::string& why) {
        throw Error(std::string(launch.kernel) + ": invalid launch: " + why);
    };
    const uint64_t size = uint64_t{launch.block.x} * launch.block.y * launch.block.z;
    if (size == 0 || size > kMaxThreads || launch.block.z > 64)
        refuse("a block has 1 to 1,024 threads, got " + std::to_string(size));
    if (launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0 || launch.grid.x > INT32_MAX ||
        launch.grid.y > 65535 || launch.grid.z > 65535)
        refuse("a grid has 1 to 2,147,483,647 x 65,535 x 65,535 blocks, got " + std::to_string(launch.grid.x) + " x " +
               std::to_string(launch.grid.y) + " x " + std::to_string(launch.grid.z));
    if (launch.shared_bytes > launch.shared_limit)
        refuse(std::to_string(launch.shared_bytes) + " bytes of dynamic shared memory where the kernel may have " +
               std::to_string(launch.shared_limit) + "; cudaFuncSetAttribute allows up to 232,448");
}

}  // namespace

std::string to_string(Site site) {
    const char* slash = std::strrchr(site.file, '/');
    return std::string(slash == nullptr ? site.file : slash + 1) + ":" + std::to_string(site.line);
}

void use_schedule(Order chosen, uint64_t chosen_seed) {
    order = chosen;
    seed = chosen_seed;
}

Statistics& statistics() {
    static Statistics counted{};
    return counted;
}

bool inside_kernel() { return in_thread; }

unsigned thread_in_block() { return running; }

unsigned block_in_grid() { return static_cast<unsigned>(block_number); }

std::string describe_thread(unsigned block, unsigned thread) {
    const auto triple = [](uint64_t n, dim3 size) {
        return "(" + std::to_string(n % size.x) + ", " + std::to_string(n / size.x % size.y) + ", " +
               std::to_string(n / size.x / size.y) + ")";
    };
    return "block " + triple(block, current.grid) + " thread " + triple(thread, current.block);
}

void fail(const std::string& what) {
    if (!in_thread) throw Error(what);
    failure = what;
    fibers[running].state = State::done;
    for (;;) back_to_scheduler();
}

void fail_at(const char* what, Site site) {
    fail(std::string(what) + ": " + (in_thread ? describe(running) + " at " : "") + to_string(site));
}

void allow_shared(const void* kernel, size_t bytes) { shared_attribute[kernel] = bytes; }

size_t allowed_shared(const void* kernel) {
    const auto found = shared_attribute.find(kernel);
    return found == shared_attribute.end() ? kStaticSharedLimit : found->second;
}

void* dynamic_shared() { return shared_bytes; }

void run(const Launch& launch) {
    require_valid(launch);
    const std::lock_guard<std::mutex> lock(one_launch);
    make_fibers();
    current = launch;
    failure.clear();
    random_state = seed * 0x9e3779b97f4a7c15ull | 1;
    here.block_size = launch.block;
    here.grid_size = launch.grid;
    threads = launch.block.x * launch.block.y * launch.block.z;
    for (unsigned t = 0; t < threads; ++t)
        fibers[t].index = {t % launch.block.x, t / launch.block.x % launch.block.y,
                           t / launch.block.x / launch.block.y};
    ++statistics().launches;
    const auto extent = [](const void* begin, size_t bytes) {
        const auto address = reinterpret_cast<uintptr_t>(begin);
        return monitor::Extent{address, address + bytes};
    };
    const monitor::Extent fixed = static_shared();
    monitor::launch_begins({extent(stacks, kMaxThreads * kStackBytes), extent(launch.arguments, launch.argument_bytes),
                            fixed, extent(shared_bytes, launch.shared_bytes)});
    try {
        std::vector<uint64_t> blocks(uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z);
        arrange(blocks);
        for (const uint64_t block : blocks) {
            block_number = block;
            here.block = {static_cast<unsigned>(block % launch.grid.x),
                          static_cast<unsigned>(block / launch.grid.x % launch.grid.y),
                          static_cast<unsigned>(block / launch.grid.x / launch.grid.y)};
            run_block(fixed);
            ++statistics().blocks;
            statistics().threads += threads;
        }
    } catch (...) {
        for (unsigned t = 0; t < kMaxThreads; ++t) fibers[t].started = false;  // their stacks hold half a kernel
        monitor::launch_ends();
        throw;
    }
    monitor::launch_ends();
}

int block_barrier(Vote vote, bool predicate, Site site) {
    Fiber& self = fibers[running];
    self.vote = vote;
    self.predicate = predicate;
    self.site = site;
    self.state = State::at_barrier;
    ++waiting_at_barrier;
    back_to_scheduler();
    return fibers[running].barrier_result;
}

namespace {

uint64_t result_of(const Meeting& meeting, unsigned of_lane) {
    uint64_t result = 0;
    switch (meeting.call.kind) {
        case Collective::shuffle:
            if (meeting.awaited >> meeting.source[of_lane] & 1) return meeting.value[meeting.source[of_lane]];
            ++statistics().inactive_reads;
            return kInactiveValue;
        case Collective::ballot:
            for (unsigned l = 0; l < kWarpSize; ++l)
                if (meeting.awaited >> l & 1 && meeting.value[l] != 0) result |= 1ull << l;
            return result;
        case Collective::match:
            for (unsigned l = 0; l < kWarpSize; ++l)
                if (meeting.awaited >> l & 1 && meeting.value[l] == meeting.value[of_lane]) result |= 1ull << l;
            return result;
        case Collective::sync:
            return 0;
    }
    return 0;
}

Meeting& join(const LaneCall& call, unsigned warp) {
    auto& open = meetings[warp];
    for (Meeting& meeting : open) {
        if ((meeting.call.mask & call.mask) == 0) continue;
        if (meeting.call.mask != call.mask || meeting.call.kind != call.kind ||
            meeting.call.site.line != call.site.line || std::strcmp(meeting.call.site.file, call.site.file) != 0)
            fail("divergent warp: " + describe(running) + " calls a warp's meeting at " + to_string(call.site) +
                 " while lanes that share its mask wait at " + to_string(meeting.call.site));
        return meeting;
    }
    open.push_back({call, call.mask & existing_lanes(warp), 0, {}, {}});
    return open.back();
}

}  // namespace

uint64_t warp_collective(const LaneCall& call) {
    const unsigned warp = running / kWarpSize, self = lane();
    if ((call.mask >> self & 1) == 0)
        fail("bad mask: " + describe(running) + " is not in the mask it passes at " + to_string(call.site));
    for (unsigned l = 0; l < kWarpSize; ++l)
        if ((call.mask & existing_lanes(warp)) >> l & 1 && fibers[warp * kWarpSize + l].state == State::done)
            fail("bad mask: " + describe(running) + " at " + to_string(call.site) + " waits for " +
                 describe(warp * kWarpSize + l) + ", which has ended");
    Meeting& meeting = join(call, warp);
    meeting.arrived |= 1u << self;
    meeting.value[self] = call.value;
    meeting.source[self] = call.source % kWarpSize;
    fibers[running].site = call.site;
    if (meeting.arrived != meeting.awaited) {
        fibers[running].state = State::in_collective;
        back_to_scheduler();
        return fibers[running].collective_result;
    }
    for (unsigned l = 0; l < kWarpSize; ++l) {
        if ((meeting.awaited >> l & 1) == 0) continue;
        Fiber& fiber = fibers[warp * kWarpSize + l];
        fiber.collective_result = result_of(meeting, l);
        fiber.state = State::ready;
    }
    if (call.kind == Collective::sync) monitor::warp_synchronised(warp, meeting.awaited);
    meetings[warp].erase(meetings[warp].begin() + (&meeting - meetings[warp].data()));
    ++statistics().collectives;
    return fibers[running].collective_result;
}

}  // namespace unrealperson::sim
