#include "monitor.h"

namespace unrealperson::sim::monitor {

void launch_begins(const Memory&) {}
void launch_ends() {}
void block_begins() {}
void block_synchronised() {}
void warp_synchronised(unsigned, unsigned) {}
void fence() {}
void atomic_access(const void*, size_t, const void*) {}
void register_buffer(const void*, size_t, const char*) {}
void unregister_buffer(const void*, size_t) {}
void set_defined(const void*, size_t, bool) {}
bool checks() { return false; }
uint64_t accesses() { return 0; }

}  // namespace unrealperson::sim::monitor
