// What happened before what. Within a block, __syncthreads orders all, __syncwarp the lanes of its mask; between blocks
// only __threadfence, an atomic, and __threadfence again. Shuffles, ballots and plain atomics order nothing.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "simulator.h"

namespace unrealperson::sim {

// One thread's access to one location.
struct Access {
    const void* code = nullptr;  // address of the instruction; null where there was no access
    uint32_t block = 0, epoch = 0, time = 0;
    uint16_t thread = 0;

    unsigned warp() const { return thread / kWarpSize; }
};

class Clock {
  public:
    void launch_begins() {
        published_.clear();
        for (unsigned t = 0; t < kMaxThreads; ++t) {
            known_[t].fill(0);
            known_[t][t % kWarpSize] = 1;
        }
    }

    void block_begins() {
        epoch_ = 0;
        seen_.clear();
        acquired_.clear();
        fences_.clear();
    }

    void block_synchronised() { ++epoch_; }

    void warp_synchronised(unsigned warp, unsigned members) {
        std::array<uint32_t, kWarpSize> joined{};
        const auto each_member = [&](auto visit) {
            for (unsigned l = 0; l < kWarpSize; ++l)
                if (members >> l & 1) visit(l, known_[warp * kWarpSize + l]);
        };
        each_member([&](unsigned, const auto& known) {
            for (unsigned l = 0; l < kWarpSize; ++l) joined[l] = std::max(joined[l], known[l]);
        });
        each_member([&](unsigned l, auto& known) {
            known = joined;
            ++known[l];
        });
    }

    // A fence makes what the block knows by now ready to be published, and what it has seen usable.
    void fence(unsigned thread) {
        fences_[thread] = {block_in_grid(), epoch_, static_cast<uint16_t>(thread)};
        acquired_.insert(acquired_.end(), seen_.begin(), seen_.end());
        seen_.clear();
    }

    void atomic(uintptr_t address, unsigned thread) {
        auto& stories = published_[address];
        for (const Story& story : stories)
            if (story.block != block_in_grid()) seen_.push_back(story);
        const auto fence = fences_.find(thread);
        if (fence == fences_.end()) return;
        stories.push_back(fence->second);
        stories.insert(stories.end(), acquired_.begin(), acquired_.end());
    }

    Access now(const void* code) const {
        const unsigned thread = thread_in_block();
        return {code, block_in_grid(), epoch_, known_[thread][thread % kWarpSize], static_cast<uint16_t>(thread)};
    }

    // Whether `past` happened before what the running thread does now.
    bool ordered(const Access& past) const {
        const unsigned thread = thread_in_block();
        if (past.block == block_in_grid())
            return past.thread == thread || past.epoch < epoch_ ||
                   (past.warp() == thread / kWarpSize && past.time <= known_[thread][past.thread % kWarpSize]);
        for (const Story& story : acquired_)
            if (story.block == past.block &&
                (past.epoch < story.epoch || (past.epoch == story.epoch && past.thread == story.thread)))
                return true;
        return false;
    }

  private:
    // A block's accesses before an epoch, and those of one thread within it.
    struct Story {
        uint32_t block, epoch;
        uint16_t thread;
    };

    uint32_t epoch_ = 0;                                                // barriers that the block has passed
    std::array<std::array<uint32_t, kWarpSize>, kMaxThreads> known_{};  // of a thread: its warp's times it has heard of
    std::map<uintptr_t, std::vector<Story>> published_;                 // by address of an atomic
    std::map<unsigned, Story> fences_;                                  // latest, by thread
    std::vector<Story> seen_, acquired_;
};

// Accesses to one location that may come in any order among themselves: its reads, or its atomics. Those that a later
// one of them happened after are dropped: whoever races with them races with it.
class Unordered {
  public:
    // One of them that did not happen before the running thread's now.
    const Access* conflict(const Clock& clock) const {
        for (const Access& access : accesses_)
            if (!clock.ordered(access)) return &access;
        return nullptr;
    }

    void add(const Access& now, const Clock& clock) {
        const auto ordered = [&](const Access& access) { return clock.ordered(access); };
        accesses_.erase(std::remove_if(accesses_.begin(), accesses_.end(), ordered), accesses_.end());
        if (!anyone_races(now)) accesses_.push_back(now);
    }

  private:
    std::vector<Access> accesses_;

    // Accesses by two blocks, or two warps of this one, race with every write to come until a barrier orders both.
    bool anyone_races(const Access& now) const {
        const Access* in_block = nullptr;
        for (const Access& access : accesses_) {
            if (access.block != accesses_.front().block) return true;
            if (access.block != now.block) continue;
            if (in_block != nullptr && in_block->warp() != access.warp()) return true;
            in_block = &access;
        }
        return false;
    }
};

// One location: the last write, and what has come since.
struct History {
    Access write;
    Unordered reads, atomics;
    bool defined = false;
};

}  // namespace unrealperson::sim
