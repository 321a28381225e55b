#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "dot.h"
#include "integers.h"
#include "memory.h"
#include "parallel.h"
#include "simd.h"
#include "tile.h"

namespace unrealperson {
namespace {

struct Rounded {
    float step, length, error;
    int32_t sum;
};

constexpr float kRoundUp = 1.00001f;
constexpr float kSmallest = 1e-30f;  // rows of smaller elements keep the step 0, so that no step is subnormal
constexpr float kLongest = 46000.0f;

UP_INLINE Lanes load_tail(const float* x, int64_t n) {
    Lanes tail{};
    std::memcpy(&tail, x, n * sizeof(float));
    return tail;
}

UP_INLINE float sum_of(const Lanes& x) {
    float sum = 0;
    for (int i = 0; i < kLanes; ++i) sum += x[i];
    return sum;
}

// Calls use(i, 16 elements) along a row; what lies past the end reads as zero.
template <class Use>
UP_INLINE void each_lanes(const float* x, int64_t n, const Use& use) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) use(i, static_cast<Lanes>(lanes(x + i)));
    if (i < n) use(i, load_tail(x + i, n - i));
}

template <class Element>
UP_INLINE Rounded round_body(const float* x, int64_t n, Element* out) {
    typedef Element Elements __attribute__((vector_size(sizeof(Element) * kLanes)));
    constexpr float top = sizeof(Element) == 1 ? 127.0f : 32767.0f;
    constexpr float to_whole = 12582912.0f;  // 1.5 * 2^23: adding it leaves no bits for a fraction
    Lanes largest{};
    each_lanes(x, n, [&](int64_t, const Lanes& v) UP_ALWAYS_INLINE {
        const Lanes size = v < 0.0f ? -v : v;
        largest = size > largest ? size : largest;
    });
    float most = 0;
    for (int i = 0; i < kLanes; ++i) most = std::max(most, largest[i]);
    if (!(most >= kSmallest)) {
        std::memset(out, 0, sizeof(Element) * n);
        return {0.0f, 0.0f, most * std::sqrt(static_cast<float>(n)) * kRoundUp, 0};
    }
    float step = most / top;
    if (sizeof(Element) == 2) {
        const float per_most = 1.0f / most;
        Lanes squares{};
        each_lanes(x, n, [&](int64_t, const Lanes& v) UP_ALWAYS_INLINE { squares += (v * per_most) * (v * per_most); });
        step = std::max(step, most * (std::sqrt(sum_of(squares)) / kLongest));
    }
    const float per_step = 1.0f / step;
    Lanes errors{}, squares{};
    LaneMask sums{};
    each_lanes(x, n, [&](int64_t i, const Lanes& v) UP_ALWAYS_INLINE {
        const Lanes steps = v * per_step;
        const Lanes whole = (steps + to_whole) - to_whole;
        errors += (steps - whole) * (steps - whole);
        squares += whole * whole;
        const LaneMask integers = __builtin_convertvector(whole, LaneMask);
        sums += integers;
        const Elements packed = __builtin_convertvector(integers, Elements);
        std::memcpy(out + i, &packed, sizeof(Element) * std::min<int64_t>(kLanes, n - i));
    });
    int32_t sum = 0;
    for (int i = 0; i < kLanes; ++i) sum += sums[i];
    // v * per_step is off by up to top * 2^-23 an element.
    const float error = std::sqrt(sum_of(errors)) + std::sqrt(static_cast<float>(n)) * top * 1.2e-7f;
    return {step, step * std::sqrt(sum_of(squares)) * kRoundUp, step * error * kRoundUp, sum};
}

struct Kernels {
    float (*norm2)(const float*, int64_t);
    Rounded (*round8)(const float*, int64_t, int8_t*);
    Rounded (*round16)(const float*, int64_t, int16_t*);
};

#define UP_KERNELS(isa, attribute)                                                                             \
    attribute float norm2_##isa(const float* x, int64_t n) { return dot_body(x, x, n); }                       \
                                                                                                               \
    attribute Rounded round8_##isa(const float* x, int64_t n, int8_t* out) { return round_body(x, n, out); }   \
    attribute Rounded round16_##isa(const float* x, int64_t n, int16_t* out) { return round_body(x, n, out); } \
    constexpr Kernels kernels_##isa{norm2_##isa, round8_##isa, round16_##isa};

UP_EACH_ISA(UP_KERNELS)

constexpr int64_t kHugePage = int64_t{2} << 20;

// From a cache line's start, or a large page's, the last `zeros` zero.
int32_t* new_words(int64_t count, int64_t zeros) {
    const int64_t alignment = count * 4 > 2 * kHugePage ? kHugePage : 64;
    const int64_t bytes = (count * 4 + alignment) / alignment * alignment;
    void* words = std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(bytes));
    if (words == nullptr) throw std::bad_alloc();
    prefer_huge_pages(words, bytes);
    std::memset(static_cast<int32_t*>(words) + count - zeros, 0, static_cast<size_t>(zeros * 4));
    return static_cast<int32_t*>(words);
}

}  // namespace

IntegerRows::IntegerRows(int64_t rows, int64_t cols, int bits, int group)
    : rows_(rows),
      cols_(cols),
      bits_(bits),
      group_(group),
      words_((cols * bits + 31) / 32),
      groups_((rows + group - 1) / group),
      packed_(new_words(groups_ * group * words_, groups_ == 0 ? 0 : group * words_)),
      step_(static_cast<size_t>(groups_ * group)),
      length_(step_.size()),
      error_(step_.size()),
      sum_(step_.size()) {}

void IntegerRows::set(int64_t first, Matrix<const float> x, float* norm2, int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    const int32_t flip = bits_ == 8 && group_ == kTileGallery ? static_cast<int32_t>(0x80808080u) : 0;
    parallel_for((x.rows + group_ - 1) / group_, 1, threads, [&](int64_t begin, int64_t end) {
        std::vector<int32_t> row(static_cast<size_t>(words_));
        for (int64_t i = begin * group_; i < std::min(end * group_, x.rows); ++i) {
            row.back() = 0;
            norm2[i] = kernel.norm2(x.row(i), cols_);
            if (!std::isfinite(norm2[i])) continue;  // NaN has no integer; the caller refuses such rows
            const Rounded rounded = bits_ == 8
                                        ? kernel.round8(x.row(i), cols_, reinterpret_cast<int8_t*>(row.data()))
                                        : kernel.round16(x.row(i), cols_, reinterpret_cast<int16_t*>(row.data()));
            const int64_t at = first + i;
            int32_t* packed = packed_.get() + (at / group_) * group_ * words_ + at % group_;
            for (int64_t w = 0; w < words_; ++w) packed[w * group_] = row[w] ^ flip;
            step_[at] = rounded.step;
            length_[at] = rounded.length;
            error_[at] = rounded.error;
            sum_[at] = rounded.sum;
        }
    });
}

}  // namespace unrealperson
