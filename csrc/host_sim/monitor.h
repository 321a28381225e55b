// What a run tells a checker. no_checker.cpp does not listen; checker.cpp, in the other build, does.
#pragma once

#include "simulator.h"

namespace unrealperson::sim::monitor {

// A stretch of bytes.
struct Extent {
    uintptr_t begin, end;
    bool holds(uintptr_t address, size_t bytes) const { return address >= begin && address + bytes <= end; }
};

struct Memory {
    Extent stacks, arguments, static_shared, dynamic_shared;
};

void launch_begins(const Memory& memory);
void launch_ends();
void block_begins();
void block_synchronised();
void warp_synchronised(unsigned warp, unsigned members);
void fence();
// `code` is an address in the instructions of the call.
void atomic_access(const void* address, size_t bytes, const void* code);

// Device memory that launchers may use while a buffer is registered; `name` is what messages call it.
void register_buffer(const void* data, size_t bytes, const char* name);
void unregister_buffer(const void* data, size_t bytes);
// Whether bytes hold something: cleared where memory is handed out, set where the host writes.
void set_defined(const void* data, size_t bytes, bool defined);

bool checks();
uint64_t accesses();

}  // namespace unrealperson::sim::monitor
