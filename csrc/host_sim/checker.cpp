// Watches every access of the kernels, which are compiled with -fsanitize=thread: the compiler's hooks end here instead
// of in its library. Finds races, accesses outside of registered buffers and reads of what nothing has written.
#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>

#include "history.h"
#include "monitor.h"

namespace unrealperson::sim::monitor {
namespace {

struct Buffer {
    Extent extent;
    std::string name;
};

// A word of four bytes has one history until something touches a part of it.
struct Word {
    uint32_t moment = 0;  // of the launch, or for shared memory of the block, that the history belongs to
    std::unique_ptr<History[]> bytes;
    History whole;
};
constexpr size_t kPageWords = 1024;
using Page = std::array<Word, kPageWords>;

Memory memory;
Extent program;  // this library: constants that kernels read
std::vector<Buffer> buffers;
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
std::unordered_map<uintptr_t, size_t> undefined;  // device memory that nothing has written, byte by byte, by word
Clock order;
uint32_t moment = 0, launch_moment = 0;
uint64_t access_count = 0;
size_t static_words = 0;  // words of static shared memory that the block has touched
bool observing = false;   // an inline function of the kernels' objects may be the checker's as well

enum class Kind { read, write, atomic };
constexpr const char* kKindNames[] = {"read", "write", "atomic"};

int find_program(dl_phdr_info* info, size_t, void*) {
    Extent whole{UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
        const uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        whole = {std::min(whole.begin, begin), std::max(whole.end, begin + info->dlpi_phdr[i].p_memsz)};
    }
    if (!whole.holds(reinterpret_cast<uintptr_t>(&memory), 1)) return 0;
    program = whole;
    return 1;
}

// "file.cuh:12" of an instruction, by binutils' addr2line where there is one.
std::string line_of(const void* code) {
    Dl_info library;
    if (dladdr(code, &library) == 0) return "an unknown line";
    char command[1024], answer[512];
    const auto offset = static_cast<const char*>(code) - static_cast<const char*>(library.dli_fbase) - 1;
    std::snprintf(command, sizeof command, "addr2line -i -e '%s' 0x%tx 2> /dev/null", library.dli_fname, offset);
    FILE* answers = popen(command, "r");
    std::string line = "an unknown line";
    // Inlined calls come innermost first: the names of CUDA that cuda.h gives are not yet the kernel.
    while (answers != nullptr && std::fgets(answer, sizeof answer, answers) != nullptr) {
        const std::string path(answer, std::strcspn(answer, " \n"));
        if (path.empty() || path[0] == '?') continue;
        line = path.substr(path.rfind('/') + 1);
        if (line.rfind("cuda.h:", 0) != 0) break;
    }
    if (answers != nullptr) pclose(answers);
    return line;
}

std::string who(const Access& access) {
    return describe_thread(access.block, access.thread) + " at " + line_of(access.code);
}

std::string place(uintptr_t address) {
    if (memory.static_shared.holds(address, 1) || memory.dynamic_shared.holds(address, 1)) return "shared memory";
    for (const Buffer& buffer : buffers)
        if (buffer.extent.holds(address, 1))
            return buffer.name + " + " + std::to_string(address - buffer.extent.begin) + " bytes";
    return "a variable";
}

[[noreturn]] void report_race(Kind kind, const Access& now, Kind past_kind, const Access& past, uintptr_t address) {
    const char* level = past.block != now.block ? "grid race" : past.warp() != now.warp() ? "block race" : "warp race";
    fail(std::string(level) + " on " + place(address) + ": " + kKindNames[static_cast<int>(kind)] + " by " + who(now) +
         ", not ordered after the " + kKindNames[static_cast<int>(past_kind)] + " by " + who(past));
}

[[noreturn]] void report_outside(Kind kind, const Access& now, uintptr_t address, size_t bytes) {
    std::string where = "far from every buffer";
    uintptr_t nearest = 4096;
    for (const Buffer& buffer : buffers) {
        const auto [begin, end] = buffer.extent;
        const uintptr_t distance = address < begin ? begin - address : address - std::min(end, address);
        if (distance >= nearest) continue;
        nearest = distance;
        where = "at byte " + std::to_string(static_cast<std::ptrdiff_t>(address - begin)) + " of " + buffer.name +
                ", which has " + std::to_string(end - begin);
    }
    fail("out of bounds: " + std::string(kKindNames[static_cast<int>(kind)]) + " of " + std::to_string(bytes) +
         " bytes " + where + ", by " + who(now));
}

void happen(History& history, Kind kind, const Access& now, uintptr_t address, bool shared) {
    const bool writes = kind != Kind::read;
    if (shared && kind != Kind::write && !history.defined) fail("uninitialised read of shared memory by " + who(now));
    if (history.write.code != nullptr && !order.ordered(history.write))
        report_race(kind, now, Kind::write, history.write, address);
    if (kind != Kind::atomic)
        if (const Access* past = history.atomics.conflict(order)) report_race(kind, now, Kind::atomic, *past, address);
    if (writes)
        if (const Access* past = history.reads.conflict(order)) report_race(kind, now, Kind::read, *past, address);
    if (writes) history.defined = true;
    if (kind == Kind::read) return history.reads.add(now, order);
    if (kind == Kind::atomic) return history.atomics.add(now, order);
    history.write = now;
    history.reads = {};
    history.atomics = {};
}

Word& word_at(uintptr_t address, uint32_t its_moment) {
    auto& page = pages[address / (4 * kPageWords)];
    if (page == nullptr) page = std::make_unique<Page>();
    Word& word = (*page)[address / 4 % kPageWords];
    if (word.moment != its_moment) {
        if (memory.static_shared.holds(address, 1) && ++static_words > kStaticSharedLimit / 4)
            fail("a block uses more than 48 KiB of static shared memory");
        word.moment = its_moment;
        word.bytes.reset();
        word.whole = {};
    }
    return word;
}

void touch(uintptr_t address, size_t bytes, Kind kind, const Access& now, bool shared) {
    for (const uintptr_t end = address + bytes; address < end;) {
        Word& word = word_at(address, shared ? moment : launch_moment);
        const uintptr_t word_end = std::min(end, address / 4 * 4 + 4);
        if (word_end - address == 4 && word.bytes == nullptr) {
            happen(word.whole, kind, now, address, shared);
        } else {
            if (word.bytes == nullptr) {
                word.bytes = std::make_unique<History[]>(4);
                std::fill_n(word.bytes.get(), 4, word.whole);
            }
            for (uintptr_t byte = address; byte < word_end; ++byte)
                happen(word.bytes[byte % 4], kind, now, byte, shared);
        }
        address = word_end;
    }
}

void check_defined(uintptr_t address, size_t bytes, Kind kind, const Access& now) {
    if (undefined.empty()) return;
    for (uintptr_t byte = address; byte < address + bytes; ++byte) {
        const auto word = undefined.find(byte / 8);
        if (word == undefined.end() || (word->second >> byte % 8 & 1) == 0) continue;
        if (kind != Kind::write) fail("uninitialised read of " + place(byte) + " by " + who(now));
        word->second &= ~(size_t{1} << byte % 8);
        if (word->second == 0) undefined.erase(word);
    }
}

void observe(uintptr_t address, size_t bytes, Kind kind, const void* code) {
    if (observing || !inside_kernel() || memory.stacks.holds(address, bytes) || memory.arguments.holds(address, bytes))
        return;
    const auto coordinates = reinterpret_cast<uintptr_t>(&here);
    if (address >= coordinates && address < coordinates + sizeof here) return;
    observing = true;
    ++access_count;
    const Access now = order.now(code);
    const bool shared = memory.static_shared.holds(address, bytes) || memory.dynamic_shared.holds(address, bytes);
    bool known = shared;
    for (size_t i = 0; i < buffers.size() && !known; ++i) known = buffers[i].extent.holds(address, bytes);
    // What lies in the library beside dynamic shared memory are the kernels' constants and variables.
    const Extent pool{memory.dynamic_shared.begin, memory.dynamic_shared.begin + kSharedLimit};
    if (!known && (!program.holds(address, bytes) || pool.holds(address, bytes)))
        report_outside(kind, now, address, bytes);
    if (!shared) check_defined(address, bytes, kind, now);
    touch(address, bytes, kind, now, shared);
    observing = false;
}

}  // namespace

void launch_begins(const Memory& given) {
    memory = given;
    observing = false;  // a failure leaves it set
    if (program.end == 0) dl_iterate_phdr(&find_program, nullptr);
    launch_moment = ++moment;
    order.launch_begins();
}

void launch_ends() {
    if (pages.size() > 4096) pages.clear();
}

void block_begins() {
    ++moment;
    static_words = 0;
    order.block_begins();
}

void block_synchronised() { order.block_synchronised(); }

void warp_synchronised(unsigned warp, unsigned members) { order.warp_synchronised(warp, members); }

void fence() { order.fence(thread_in_block()); }

void atomic_access(const void* address, size_t bytes, const void* code) {
    order.atomic(reinterpret_cast<uintptr_t>(address), thread_in_block());
    observe(reinterpret_cast<uintptr_t>(address), bytes, Kind::atomic, code);
}

void register_buffer(const void* data, size_t bytes, const char* name) {
    const auto begin = reinterpret_cast<uintptr_t>(data);
    buffers.push_back({{begin, begin + bytes}, name});
}

void unregister_buffer(const void* data, size_t bytes) {
    const auto begin = reinterpret_cast<uintptr_t>(data);
    for (size_t i = buffers.size(); i-- > 0;)
        if (buffers[i].extent.begin == begin && buffers[i].extent.end == begin + bytes) {
            buffers.erase(buffers.begin() + static_cast<std::ptrdiff_t>(i));
            return;
        }
}

void set_defined(const void* data, size_t bytes, bool defined) {
    const auto begin = reinterpret_cast<uintptr_t>(data);
    if (defined && undefined.empty()) return;
    for (uintptr_t byte = begin; byte < begin + bytes; ++byte) {
        size_t& word = undefined[byte / 8];
        word = defined ? word & ~(size_t{1} << byte % 8) : word | size_t{1} << byte % 8;
        if (word == 0) undefined.erase(byte / 8);
    }
}

bool checks() { return true; }
uint64_t accesses() { return access_count; }

// The address that a hook returns to stands for the line that makes the access.
void read_by(const void* address, size_t bytes, const void* code) {
    observe(reinterpret_cast<uintptr_t>(address), bytes, Kind::read, code);
}
void write_by(const void* address, size_t bytes, const void* code) {
    observe(reinterpret_cast<uintptr_t>(address), bytes, Kind::write, code);
}
// A volatile access is a strong one, which the memory model treats as it does atomics.
void volatile_by(const void* address, size_t bytes, const void* code) {
    observe(reinterpret_cast<uintptr_t>(address), bytes, Kind::atomic, code);
}

}  // namespace unrealperson::sim::monitor

namespace monitor = unrealperson::sim::monitor;

#define UP_SIM_HOOKS(bytes)                                                                                     \
    void __tsan_read##bytes(void* p) { monitor::read_by(p, bytes, __builtin_return_address(0)); }               \
    void __tsan_write##bytes(void* p) { monitor::write_by(p, bytes, __builtin_return_address(0)); }             \
    void __tsan_unaligned_read##bytes(void* p) { monitor::read_by(p, bytes, __builtin_return_address(0)); }     \
    void __tsan_unaligned_write##bytes(void* p) { monitor::write_by(p, bytes, __builtin_return_address(0)); }   \
    void __tsan_volatile_read##bytes(void* p) { monitor::volatile_by(p, bytes, __builtin_return_address(0)); }  \
    void __tsan_volatile_write##bytes(void* p) { monitor::volatile_by(p, bytes, __builtin_return_address(0)); } \
    void __tsan_unaligned_volatile_read##bytes(void* p) {                                                       \
        monitor::volatile_by(p, bytes, __builtin_return_address(0));                                            \
    }                                                                                                           \
    void __tsan_unaligned_volatile_write##bytes(void* p) {                                                      \
        monitor::volatile_by(p, bytes, __builtin_return_address(0));                                            \
    }

extern "C" {
UP_SIM_HOOKS(1)
UP_SIM_HOOKS(2)
UP_SIM_HOOKS(4)
UP_SIM_HOOKS(8)
UP_SIM_HOOKS(16)
void __tsan_read_range(void* p, size_t bytes) { monitor::read_by(p, bytes, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t bytes) { monitor::write_by(p, bytes, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
