// Vectors rounded to 8- or 16-bit integers, with what is known of each one's rounding.
//
// A row x = step * n + e: n holds integers, e what rounding left. For two rows, Cauchy-Schwarz bounds the product of
// what was rounded away:  |q.g - step_q step_g n_q.n_g| <= |q| |e_g| + |e_q| |step_g n_g|.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tensor.h"

namespace unrealperson {

// No sum of products leaves int32: an 8-bit row has no more elements than this, a 16-bit row is no longer than 46,341.
constexpr int64_t kMostIntegerCols = 65536;

class IntegerRows {
  public:
    // bits: 8 or 16. group: rows packed together, kTileQueries or kTileGallery; see tile.h.
    IntegerRows(int64_t rows, int64_t cols, int bits, int group);
    // Rounds x into rows first, first + 1, .. and writes their squared lengths; `first` is a multiple of the group.
    void set(int64_t first, Matrix<const float> x, float* norm2, int threads);

    int64_t rows() const { return rows_; }
    int64_t cols() const { return cols_; }
    int bits() const { return bits_; }
    int64_t words() const { return words_; }
    int64_t groups() const { return groups_; }
    const int32_t* group(int64_t i) const { return packed_.get() + i * group_ * words_; }

    // Per row, padded with zeros to whole groups. Lengths and errors are rounded up.
    const float* step() const { return step_.data(); }
    const float* length() const { return length_.data(); }  // |step n|
    const float* error() const { return error_.data(); }    // |e|
    const int32_t* sum() const { return sum_.data(); }      // of the elements of n

  private:
    int64_t rows_, cols_;
    int bits_, group_;
    int64_t words_, groups_;
    struct Free {
        void operator()(int32_t* words) const { std::free(words); }
    };
    std::unique_ptr<int32_t[], Free> packed_;  // [groups, words, group], at a cache line's start
    std::vector<float> step_, length_, error_;
    std::vector<int32_t> sum_;
};

}  // namespace unrealperson
