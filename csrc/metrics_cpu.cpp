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

// The loops below are plain, for the compiler to vectorise for each instruction set.

UP_INLINE int32_t key_bits(float product, float scale, float bias, int32_t& unusable) {
    const float key = bias + scale * product;
    int32_t bits, given;
    std::memcpy(&bits, &key, sizeof bits);
    std::memcpy(&given, &product, sizeof given);
    unusable |= (given & kExponent) == kExponent;  // NaN or Inf
    return ordered(bits);
}

// keys [n] of one query.
UP_INLINE void keys_body(const float* products, int64_t n, const float* scale, const float* bias, int32_t* keys,
                         int32_t* unusable) {
    int32_t found = 0;
    for (int64_t j = 0; j < n; ++j) keys[j] = key_bits(products[j], scale[j], bias[j], found);
    *unusable = found;
}

constexpr int64_t kAcross = 16;  // queries: a cache line of products

// keys [count, n] of up to kAcross queries whose products lie side by side, turned by way of a tile.
UP_INLINE void keys_across(const float* products, int64_t stride, int64_t count, int64_t n, const float* scale,
                           const float* bias, int32_t* keys, int32_t* unusable) {
    int32_t found[kAcross] = {}, tile[kAcross][kAcross];
    for (int64_t j = 0; j < n; j += kAcross) {
        const int64_t rows = std::min(kAcross, n - j);
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < count; ++i)
                tile[r][i] = key_bits(products[(j + r) * stride + i], scale[j + r], bias[j + r], found[i]);
        for (int64_t i = 0; i < count; ++i)
            for (int64_t r = 0; r < rows; ++r) keys[i * n + j + r] = tile[r][i];
    }
    std::copy(found, found + count, unusable);
}

UP_INLINE void keys_across_body(const float* products, int64_t stride, int64_t count, int64_t n, const float* scale,
                                const float* bias, int32_t* keys, int32_t* unusable) {
    if (count == kAcross) return keys_across(products, stride, kAcross, n, scale, bias, keys, unusable);
    keys_across(products, stride, count, n, scale, bias, keys, unusable);
}

UP_INLINE int64_t count_body(const int32_t* keys, int64_t n, int32_t limit) {
    int32_t below = 0;
    for (int64_t j = 0; j < n; ++j) below += keys[j] < limit;
    return below;
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
struct Hits {
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

UP_INLINE void hits_body(const int32_t* keys, int64_t n, Hits& hits) {
    constexpr int64_t step = 32;
    for (int64_t j = 0; j < n; j += step) {
        const int64_t length = std::min(step, n - j);
        if (count_body(keys + j, length, hits.threshold) == 0) continue;
        for (int64_t i = j; i < j + length; ++i) hits.push(keys[i], i);
    }
}

struct Kernels {
    void (*keys)(const float*, int64_t, const float*, const float*, int32_t*, int32_t*);
    void (*across)(const float*, int64_t, int64_t, int64_t, const float*, const float*, int32_t*, int32_t*);
    int64_t (*count)(const int32_t*, int64_t, int32_t);
    void (*hits)(const int32_t*, int64_t, Hits&);
};

#define UP_KERNELS(isa, attribute)                                                                                    \
    attribute void keys_##isa(const float* products, int64_t n, const float* scale, const float* bias, int32_t* keys, \
                              int32_t* unusable) {                                                                    \
        keys_body(products, n, scale, bias, keys, unusable);                                                          \
    }                                                                                                                 \
    attribute void across_##isa(const float* products, int64_t stride, int64_t count, int64_t n, const float* scale,  \
                                const float* bias, int32_t* keys, int32_t* unusable) {                                \
        keys_across_body(products, stride, count, n, scale, bias, keys, unusable);                                    \
    }                                                                                                                 \
    attribute int64_t count_##isa(const int32_t* keys, int64_t n, int32_t limit) {                                    \
        return count_body(keys, n, limit);                                                                            \
    }                                                                                                                 \
    attribute void hits_##isa(const int32_t* keys, int64_t n, Hits& hits) { hits_body(keys, n, hits); }               \
    constexpr Kernels kernels_##isa{keys_##isa, across_##isa, count_##isa, hits_##isa};
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

// What one thread needs.
struct Scratch {
    std::vector<int32_t> keys;  // [queries at once, gallery]
    std::vector<int64_t> matches, ranks;
    std::vector<uint64_t> sorted, pool;

    Scratch(int64_t keys_at_once, int64_t most_matches, int64_t k)
        : keys(keys_at_once), matches(most_matches), ranks(most_matches), sorted(most_matches), pool(2 * k + 16) {}
};

// ranks [m], ascending.
void ranks_of_many(const int32_t* keys, int64_t n, int64_t m, Scratch& s) {
    for (int64_t t = 0; t < m; ++t) s.sorted[t] = packed(keys[s.matches[t]], s.matches[t]);
    std::sort(s.sorted.begin(), s.sorted.begin() + m);
    std::fill(s.ranks.begin(), s.ranks.begin() + m, 0);
    const uint64_t last = s.sorted[m - 1];
    for (int64_t j = 0; j < n; ++j) {
        const uint64_t candidate = packed(keys[j], j);
        if (candidate > last) continue;
        const uint64_t* place = s.sorted.data();  // the first match that is no smaller
        for (int64_t length = m; length > 1; length -= length / 2)
            place += place[length / 2 - 1] < candidate ? length / 2 : 0;
        ++s.ranks[place - s.sorted.data()];
    }
    for (int64_t t = 1; t < m; ++t) s.ranks[t] += s.ranks[t - 1];
}

void score_query(const Kernels& kernel, int32_t* keys, const QueryLabels& query, int64_t i,
                 const GalleryLabels& gallery, const Scores& out, Scratch& s) {
    const int64_t n = gallery.rows, k = out.hits.cols;
    int64_t m = 0;
    each_of_identity(
        query, i, gallery, [&](int64_t row) { s.matches[m++] = row; }, [&](int64_t row) { keys[row] = kIgnored; });

    if (m > kMany) {
        ranks_of_many(keys, n, m, s);
    } else {
        for (int64_t t = 0; t < m; ++t) {
            // An equal key counts on the left of the match, not on its right.
            const int64_t row = s.matches[t];
            s.ranks[t] = 1 + kernel.count(keys, row, keys[row] + 1) + kernel.count(keys + row, n - row, keys[row]);
        }
        std::sort(s.ranks.begin(), s.ranks.begin() + m);
    }
    double sum = 0;
    for (int64_t t = 0; t < m; ++t) sum += static_cast<double>(t + 1) / static_cast<double>(s.ranks[t]);
    out.first[i] = m ? s.ranks[0] : 0;
    out.precision[i] = m ? sum / static_cast<double>(m) : 0;
    out.inverse[i] = m ? static_cast<double>(m) / static_cast<double>(s.ranks[m - 1]) : 0;

    if (k == 0) return;
    Hits hits{s.pool.data(), k, 0, kIgnored};
    kernel.hits(keys, n, hits);
    const int64_t found = std::min(k, hits.count);
    std::partial_sort(hits.pool, hits.pool + found, hits.pool + hits.count);
    for (int64_t r = 0; r < k; ++r) {
        const int32_t bits = r < found ? ordered(key_of(hits.pool[r])) : kIgnored;
        std::memcpy(out.hit_key.row(i) + r, &bits, sizeof bits);
        out.hits.row(i)[r] = r < found ? row_of(hits.pool[r]) : -1;
    }
}

}  // namespace

void count_matches(const QueryLabels& query, const GalleryLabels& gallery, int64_t* matches) {
    for (int64_t i = 0; i < query.rows; ++i) {
        matches[i] = 0;
        each_of_identity(query, i, gallery, [&](int64_t) { ++matches[i]; }, [](int64_t) {});
    }
}

int64_t score_rows(const Products& products, const float* scale, const float* bias, const QueryLabels& query,
                   const GalleryLabels& gallery, const Scores& out, int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    const int64_t n = gallery.rows, at_once = products.row_stride == 1 || n == 1 ? 1 : kAcross;
    const int64_t groups = (query.rows + at_once - 1) / at_once;
    const int64_t parts = std::min<int64_t>(usable_threads(threads), groups);
    int64_t most = 0;
    for (int64_t i = 0; i < query.rows; ++i) most = std::max(most, query.identity[2 * i + 1] - query.identity[2 * i]);
    std::vector<Scratch> scratch(static_cast<size_t>(parts), Scratch(at_once * n, most, out.hits.cols));
    std::vector<int32_t> unusable(static_cast<size_t>(query.rows));

    const auto score_group = [&](int64_t first, Scratch& s) {
        const int64_t count = std::min(at_once, query.rows - first);
        const float* block = products.data + first * products.query_stride;
        if (at_once == 1)
            kernel.keys(block, n, scale, bias, s.keys.data(), &unusable[first]);
        else
            kernel.across(block, products.row_stride, count, n, scale, bias, s.keys.data(), &unusable[first]);
        for (int64_t i = 0; i < count; ++i)
            if (!unusable[first + i]) score_query(kernel, s.keys.data() + i * n, query, first + i, gallery, out, s);
    };
    parallel_for(parts, 1, threads, [&](int64_t begin, int64_t end) {
        for (int64_t part = begin; part < end; ++part)
            for (int64_t group = part; group < groups; group += parts) score_group(group * at_once, scratch[part]);
    });
    const auto first = std::find(unusable.begin(), unusable.end(), 1);
    return first == unusable.end() ? -1 : first - unusable.begin();
}

}  // namespace unrealperson
