#include <algorithm>
#include <cstring>
#include <vector>

#include "metrics.h"
#include "parallel.h"
#include "simd.h"

namespace unrealperson {
namespace {

// Float bits as an integer of the same order, and back. Keys are never -0: a bias of +0 absorbs it.
UP_INLINE int32_t ordered(int32_t bits) { return bits ^ (bits >> 31 & 0x7fffffff); }
constexpr int32_t kExponent = 0x7f800000;
constexpr int32_t kIgnored = kExponent;  // +infinity, above every finite key

typedef int32_t UnalignedMask __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// keys [padded(n)]; false where a product is NaN or Inf.
UP_INLINE bool keys_body(const float* products, int64_t n, const float* scale, const float* bias, int32_t* keys) {
    LaneMask unusable{};
    int64_t j = 0;
    for (; j + kLanes <= n; j += kLanes) {
        const Lanes product = lanes(products + j);
        const LaneMask bits = (LaneMask)(lanes(bias + j) + lanes(scale + j) * product);
        *reinterpret_cast<UnalignedMask*>(keys + j) = bits ^ (bits >> 31 & 0x7fffffff);
        unusable |= ((LaneMask)product & kExponent) == kExponent;
    }
    bool usable = true;
    for (int lane = 0; lane < kLanes; ++lane) usable &= unusable[lane] == 0;
    for (; j < n; ++j) {
        const float key = bias[j] + scale[j] * products[j];
        int32_t bits;
        std::memcpy(&bits, &key, sizeof bits);
        keys[j] = ordered(bits);
        usable &= products[j] - products[j] == 0.0f;
    }
    std::fill(keys + n, keys + padded(n), kIgnored);
    return usable;
}

constexpr int kTogether = 8;

// The ranks of up to 8 matches, given in ascending order of their rows, in one pass over a row of keys. Below the
// 16 columns that hold a match an equal key counts, above them it does not; within them each is looked at.
UP_INLINE void ranks_body(const int32_t* keys, int64_t n, const int64_t* rows, int count, int64_t* ranks) {
    LaneMask limit[kTogether], below[kTogether] = {};
    for (int t = 0; t < kTogether; ++t) limit[t] = LaneMask{} + (t < count ? keys[rows[t]] + 1 : kIgnored);
    int64_t j = 0;
    for (int next = 0; next <= count; ++next) {
        const int64_t end = next < count ? rows[next] / kLanes * kLanes : padded(n);
        for (; j < end; j += kLanes) {
            const LaneMask key = *reinterpret_cast<const UnalignedMask*>(keys + j);
            for (int t = 0; t < kTogether; ++t) below[t] -= key < limit[t];
        }
        if (next < count) limit[next] -= 1;
    }
    for (int t = 0; t < count; ++t) {
        ranks[t] = 1;
        for (int lane = 0; lane < kLanes; ++lane) ranks[t] += below[t][lane];
        for (int64_t i = rows[t] / kLanes * kLanes; i < rows[t]; ++i) ranks[t] += keys[i] == keys[rows[t]];
    }
}

// Ordered as (key, row); rows fit 32 bits.
UP_INLINE uint64_t packed(int32_t key, int64_t row) {
    return static_cast<uint64_t>(static_cast<uint32_t>(key) ^ 0x80000000u) << 32 | static_cast<uint64_t>(row);
}
int32_t key_of(uint64_t candidate) {
    return static_cast<int32_t>(static_cast<uint32_t>(candidate >> 32) ^ 0x80000000u);
}
int64_t row_of(uint64_t candidate) { return static_cast<int64_t>(candidate & 0xffffffffu); }

// The nearest k of the columns so far, among up to 2 k + 16 candidates.
struct Nearest {
    uint64_t* pool;
    int64_t k, count;
    int32_t threshold;

    int64_t capacity() const { return 2 * k + 16; }

    // Later columns have higher rows: a key equal to the threshold can no longer enter.
    void push(int32_t key, int64_t row) {
        if (key >= threshold) return;
        pool[count++] = packed(key, row);
        if (count < capacity()) return;
        std::nth_element(pool, pool + k - 1, pool + count);
        count = k;
        threshold = key_of(pool[k - 1]);
    }
};

UP_INLINE void nearest_body(const int32_t* keys, int64_t n, Nearest& nearest) {
    for (int64_t j = 0; j < n; j += kLanes) {
        const LaneMask below = *reinterpret_cast<const UnalignedMask*>(keys + j) < nearest.threshold;
        uint64_t words[kLanes / 2], any = 0;
        std::memcpy(words, &below, sizeof words);
        for (uint64_t word : words) any |= word;
        if (any == 0) continue;
        for (int64_t i = j; i < j + kLanes; ++i) nearest.push(keys[i], i);
    }
}

struct Kernels {
    bool (*keys)(const float*, int64_t, const float*, const float*, int32_t*);
    void (*ranks)(const int32_t*, int64_t, const int64_t*, int, int64_t*);
    void (*nearest)(const int32_t*, int64_t, Nearest&);
};

#define UP_KERNELS(isa, attribute)                                                                                     \
    attribute bool keys_##isa(const float* products, int64_t n, const float* scale, const float* bias,                 \
                              int32_t* keys) {                                                                         \
        return keys_body(products, n, scale, bias, keys);                                                              \
    }                                                                                                                  \
    attribute void ranks_##isa(const int32_t* keys, int64_t n, const int64_t* rows, int count, int64_t* ranks) {       \
        ranks_body(keys, n, rows, count, ranks);                                                                       \
    }                                                                                                                  \
    attribute void nearest_##isa(const int32_t* keys, int64_t n, Nearest& nearest) { nearest_body(keys, n, nearest); } \
    constexpr Kernels kernels_##isa{keys_##isa, ranks_##isa, nearest_##isa};
UP_EACH_ISA(UP_KERNELS)

// Calls match(row) or ignored(row) for each row of the query's identity, in ascending order.
template <class OnMatch, class OnIgnored>
void each_of_identity(const QueryLabels& query, int64_t i, const GalleryLabels& gallery, const OnMatch& match,
                      const OnIgnored& ignored) {
    const int64_t* span = query.identity + 2 * i;
    for (int64_t place = span[0]; place < span[1]; ++place) {
        const int64_t row = gallery.by_identity[place], camera = gallery.camera[row];
        if (camera == query.camera[i] || camera == kUnknownCamera)
            ignored(row);
        else
            match(row);
    }
}

// Beyond so many matches, a search for the place of each key among them costs less than comparing it with each.
constexpr int64_t kMany = 512;

// What one thread needs for a query.
struct Scratch {
    std::vector<int32_t> keys;
    std::vector<int64_t> matches, ranks;
    std::vector<uint64_t> sorted, pool;

    Scratch(int64_t gallery, int64_t most_matches, int64_t k)
        : keys(padded(gallery)), matches(most_matches), ranks(most_matches), sorted(most_matches), pool(2 * k + 16) {}
};

// ranks [m], ascending.
void ranks_of_many(Scratch& s, int64_t n, int64_t m) {
    for (int64_t t = 0; t < m; ++t) s.sorted[t] = packed(s.keys[s.matches[t]], s.matches[t]);
    std::sort(s.sorted.begin(), s.sorted.begin() + m);
    std::fill(s.ranks.begin(), s.ranks.begin() + m, 0);
    const uint64_t last = s.sorted[m - 1];
    for (int64_t j = 0; j < n; ++j) {
        const uint64_t candidate = packed(s.keys[j], j);
        if (candidate > last) continue;
        const uint64_t* place = s.sorted.data();  // the first match that is no smaller
        for (int64_t length = m; length > 1; length -= length / 2)
            place += place[length / 2 - 1] < candidate ? length / 2 : 0;
        ++s.ranks[place - s.sorted.data()];
    }
    for (int64_t t = 1; t < m; ++t) s.ranks[t] += s.ranks[t - 1];
}

bool score_row(const Kernels& kernel, const float* products, const float* scale, const float* bias,
               const QueryLabels& query, int64_t i, const GalleryLabels& gallery, const Scores& out, Scratch& s) {
    const int64_t n = gallery.rows, k = out.hits.cols;
    if (!kernel.keys(products, n, scale, bias, s.keys.data())) return false;
    int64_t m = 0;
    each_of_identity(
        query, i, gallery, [&](int64_t row) { s.matches[m++] = row; }, [&](int64_t row) { s.keys[row] = kIgnored; });

    if (m > kMany) {
        ranks_of_many(s, n, m);
    } else {
        for (int64_t t = 0; t < m; t += kTogether)
            kernel.ranks(s.keys.data(), n, s.matches.data() + t, static_cast<int>(std::min<int64_t>(kTogether, m - t)),
                         s.ranks.data() + t);
        std::sort(s.ranks.begin(), s.ranks.begin() + m);
    }
    double sum = 0;
    for (int64_t t = 0; t < m; ++t) sum += static_cast<double>(t + 1) / static_cast<double>(s.ranks[t]);
    out.first[i] = m ? s.ranks[0] : 0;
    out.precision[i] = m ? sum / static_cast<double>(m) : 0;
    out.inverse[i] = m ? static_cast<double>(m) / static_cast<double>(s.ranks[m - 1]) : 0;

    if (k == 0) return true;
    Nearest nearest{s.pool.data(), k, 0, kIgnored};
    kernel.nearest(s.keys.data(), padded(n), nearest);
    const int64_t found = std::min(k, nearest.count);
    std::partial_sort(nearest.pool, nearest.pool + found, nearest.pool + nearest.count);
    for (int64_t r = 0; r < k; ++r) {
        const int32_t bits = r < found ? ordered(key_of(nearest.pool[r])) : kIgnored;
        std::memcpy(out.hit_key.row(i) + r, &bits, sizeof bits);
        out.hits.row(i)[r] = r < found ? row_of(nearest.pool[r]) : -1;
    }
    return true;
}

}  // namespace

void count_matches(const QueryLabels& query, const GalleryLabels& gallery, int64_t* matches) {
    for (int64_t i = 0; i < query.rows; ++i) {
        matches[i] = 0;
        each_of_identity(query, i, gallery, [&](int64_t) { ++matches[i]; }, [](int64_t) {});
    }
}

int64_t score_rows(Matrix<const float> block, const float* scale, const float* bias, const QueryLabels& query,
                   const GalleryLabels& gallery, const Scores& out, int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    int64_t most = 0;
    for (int64_t i = 0; i < query.rows; ++i) most = std::max(most, query.identity[2 * i + 1] - query.identity[2 * i]);
    const int64_t parts = std::min<int64_t>(usable_threads(threads), query.rows);
    std::vector<Scratch> scratch(static_cast<size_t>(parts), Scratch(gallery.rows, most, out.hits.cols));
    std::vector<int64_t> unusable(static_cast<size_t>(parts), query.rows);
    parallel_for(parts, 1, threads, [&](int64_t begin, int64_t end) {
        for (int64_t part = begin; part < end; ++part)
            for (int64_t i = part; i < query.rows; i += parts)
                if (!score_row(kernel, block.row(i), scale, bias, query, i, gallery, out, scratch[part]))
                    unusable[part] = std::min(unusable[part], i);
    });
    const int64_t first = parts ? *std::min_element(unusable.begin(), unusable.end()) : 0;
    return first < query.rows ? first : -1;
}

}  // namespace unrealperson
