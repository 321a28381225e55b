#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "dot.h"
#include "parallel.h"
#include "shortlist.h"
#include "simd.h"
#include "tile.h"

namespace unrealperson {
namespace {

constexpr int64_t kBlock = 510;  // queries whose integers stay in the cache: whole groups
static_assert(kBlock % kTileQueries == 0, "blocks are whole groups of queries");

// A gallery row within the bounds of its key; where they meet, they are the key.
struct Bounded {
    float lower, upper;
    int64_t index;
};

bool nearer(const Bounded& a, const Bounded& b) {
    return a.lower < b.lower || (a.lower == b.lower && a.index < b.index);
}

// What rows contribute to the bounds of their keys as members of the gallery. With p = step_q step_g n_q.n_g and
// the integers' lengths and errors, a key lies within
//   bias + scale * p -+ (slack + (length_q + error_q) * near + error_q * far)
struct BoundTerms {
    std::vector<float> scale, bias, slack, near, far;

    BoundTerms(const SearchedRows& rows, Metric metric) {
        const int64_t n = rows.integers.rows(), cols = rows.integers.cols();
        const int64_t padded = rows.integers.groups() * kTileGallery;
        for (auto* terms : {&scale, &bias, &slack, &near, &far}) terms->resize(static_cast<size_t>(padded));
        // Rounding of the float32 product (dot.h sums cols / 32 terms and a tree) and of the bounds themselves.
        const float rounding = static_cast<float>(cols / 32 + 64) * 0x1p-24f;
        key_terms(metric, rows.norm2, n, scale.data(), bias.data());
        for (int64_t j = 0; j < n; ++j) {
            const float length = rows.integers.length()[j], error = rows.integers.error()[j];
            const float size = std::fabs(scale[j]);
            slack[j] = std::fabs(bias[j]) * 0x1p-20f + size * (static_cast<float>(cols) * 0x1p-148f) + 0x1p-126f;
            near[j] = size * (error + rounding * (length + error)) * 1.00001f;
            far[j] = size * length * 1.00001f;
        }
    }
};

constexpr int kParts = kTileGallery / kLanes;

// One query's products with a group of gallery rows, and the gallery's side of them.
struct TileRow {
    const int32_t* products;
    int32_t offset;  // what the packing added to each product
    float step;
    const float *steps, *scale, *bias;
};

// Bit j: whether lane j of the parts is zero. Mostly none is.
UP_INLINE uint64_t zero_bits(const LaneMask* parts) {
    LaneMask all = parts[0];
    for (int part = 1; part < kParts; ++part) all &= parts[part];
    uint64_t words[kLanes / 2], every = ~uint64_t{0}, bits = 0;
    std::memcpy(words, &all, sizeof words);
    for (uint64_t word : words) every &= word;
    if (every == ~uint64_t{0}) return 0;
    typedef int8_t Bytes __attribute__((vector_size(kLanes)));
    for (int part = 0; part < kParts; ++part) {
        const Bytes bytes = __builtin_convertvector(parts[part], Bytes);
        uint64_t halves[2];
        std::memcpy(halves, &bytes, sizeof halves);
        // The product moves bit 0 of byte i to bit 56 + i.
        for (int half = 0; half < 2; ++half)
            bits |= ((~halves[half] & 0x0101010101010101u) * 0x0102040810204080u >> 56) << (part * kLanes + half * 8);
    }
    return bits;
}

UP_INLINE Lanes approximate_products(const TileRow& row, int part) {
    LaneMask integers;
    std::memcpy(&integers, row.products + part * kLanes, sizeof integers);
    return __builtin_convertvector(integers - row.offset, Lanes) * row.step * lanes(row.steps + part * kLanes);
}

// Bit j: whether the middle of the bounds of gallery row j, as seen by the query, is not beyond `limit`.
UP_INLINE uint64_t within_body(const TileRow& row, float limit) {
    LaneMask beyond[kParts];
    for (int part = 0; part < kParts; ++part) {
        const Lanes products = approximate_products(row, part);
        beyond[part] = lanes(row.bias + part * kLanes) + lanes(row.scale + part * kLanes) * products > limit;
    }
    return zero_bits(beyond);
}

// Bit j: whether the middle of the query's bounds, as seen by gallery row j, is not beyond limits[j] + width.
UP_INLINE uint64_t wanted_body(const TileRow& row, float scale, float bias, const float* limits, float width) {
    LaneMask beyond[kParts];
    for (int part = 0; part < kParts; ++part)
        beyond[part] = bias + scale * approximate_products(row, part) > lanes(limits + part * kLanes) + width;
    return zero_bits(beyond);
}

struct Kernels {
    float (*dot)(const float*, const float*, int64_t);
    uint64_t (*within)(const TileRow&, float);
    uint64_t (*wanted)(const TileRow&, float, float, const float*, float);
};

#define UP_KERNELS(isa, attribute)                                                                                   \
    attribute float dot_##isa(const float* a, const float* b, int64_t n) { return dot_body(a, b, n); }               \
    attribute uint64_t within_##isa(const TileRow& row, float limit) { return within_body(row, limit); }             \
    attribute uint64_t wanted_##isa(const TileRow& row, float scale, float bias, const float* limits, float width) { \
        return wanted_body(row, scale, bias, limits, width);                                                         \
    }                                                                                                                \
    constexpr Kernels kernels_##isa{dot_##isa, within_##isa, wanted_##isa};

UP_EACH_ISA(UP_KERNELS)

float largest(const float* x) { return *std::max_element(x, x + kTileGallery); }

// The candidates of each query of one search.
class Shortlist {
  public:
    // capacity: candidates a query may have before they are thinned out, above k.
    Shortlist(Matrix<const float> q, const SearchedRows& gallery, const BoundTerms& terms, int64_t k, int64_t capacity)
        : q_(q),
          gallery_(gallery),
          terms_(terms),
          kernel_(UP_CHOSEN_ISA(kernels)),
          multiply_(tile_product(gallery.integers.bits())),
          k_(k),
          capacity_(capacity),
          pool_(new Bounded[static_cast<size_t>(q.rows * capacity_)]),
          count_(static_cast<size_t>(q.rows)),
          limit_(new std::atomic<float>[static_cast<size_t>(q.rows)]),
          busy_(new std::atomic<bool>[static_cast<size_t>(q.rows)]) {
        for (int64_t i = 0; i < q.rows; ++i) {
            limit_[i].store(std::numeric_limits<float>::infinity(), std::memory_order_relaxed);
            busy_[i].store(false, std::memory_order_relaxed);
        }
    }

    // Queries first, first + 1, .. against the gallery groups [begin, end), and, if mutual, these against the queries.
    void search(const IntegerRows& queries, int64_t first, int64_t begin, int64_t end, bool mutual, int threads) {
        std::atomic<int64_t> next{begin};
        const int workers = usable_threads(threads);
        parallel_for(workers, 1, workers, [&](int64_t, int64_t) {
            for (int64_t group; (group = next.fetch_add(1, std::memory_order_relaxed)) < end;)
                search_group(queries, first, group, mutual);
        });
    }

    void finish(const float* query_norm2, Metric metric, Matrix<float> values, Matrix<int64_t> indices, int threads) {
        parallel_for(q_.rows, 1, threads, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                Bounded* pool = pool_.get() + i * capacity_;
                limit_by_bounds(i);
                limit_by_keys(i);
                resolve(i, pool, pool + count_[i]);
                std::partial_sort(pool, pool + k_, pool + count_[i], nearer);
                for (int64_t r = 0; r < k_; ++r) {
                    values.row(i)[r] = value_of(metric, pool[r].lower, query_norm2[i]);
                    indices.row(i)[r] = pool[r].index;
                }
            }
        });
    }

    // Gallery rows, of all queries together, whose keys the bounds leave to be found.
    int64_t undecided() {
        int64_t rows = 0;
        for (int64_t i = 0; i < q_.rows; ++i) {
            limit_by_bounds(i);
            limit_by_keys(i);
            rows += count_[i];
        }
        return rows;
    }

  private:
    Matrix<const float> q_;
    const SearchedRows& gallery_;
    const BoundTerms& terms_;
    const Kernels& kernel_;
    TileProduct multiply_;
    int64_t k_, capacity_;
    std::unique_ptr<Bounded[]> pool_;              // [q, capacity]
    std::vector<int64_t> count_;                   // [q]
    std::unique_ptr<std::atomic<float>[]> limit_;  // [q] a key beyond it does not matter
    std::unique_ptr<std::atomic<bool>[]> busy_;    // [q] guards the three above

    void search_group(const IntegerRows& queries, int64_t first, int64_t group, bool mutual) {
        const IntegerRows& rounded = gallery_.integers;
        const int64_t column = group * kTileGallery;
        const int64_t columns = std::min<int64_t>(kTileGallery, gallery_.features.rows - column);
        const uint64_t real = columns == 64 ? ~uint64_t{0} : (uint64_t{1} << columns) - 1;
        // One width of bounds for the whole group: what gets through is bounded one by one.
        const float near = largest(&terms_.near[column]), far = largest(&terms_.far[column]);
        const float slack = largest(&terms_.slack[column]), error = largest(rounded.error() + column);
        const float length = largest(rounded.length() + column) + error;
        alignas(64) int32_t products[kTileQueries * kTileGallery];
        alignas(64) float limits[kTileGallery] = {};
        if (mutual)
            for (int64_t j = 0; j < columns; ++j) limits[j] = limit_[column + j].load(std::memory_order_relaxed);
        for (int64_t turn = 0; turn < queries.groups(); ++turn) {
            const int64_t block = (turn + group) % queries.groups();  // threads keep out of each other's way
            multiply_(queries.group(block), rounded.group(group), queries.words(), products);
            const int64_t begin = block * kTileQueries, end = std::min(queries.rows(), begin + kTileQueries);
            for (int64_t r = begin; r < end; ++r) {
                const int64_t i = first + r;
                const TileRow row{products + (r - begin) * kTileGallery,
                                  queries.bits() == 8 ? 128 * queries.sum()[r] : 0,
                                  queries.step()[r],
                                  rounded.step() + column,
                                  &terms_.scale[column],
                                  &terms_.bias[column]};
                const float width = (queries.length()[r] + queries.error()[r]) * near + queries.error()[r] * far;
                uint64_t within = real & kernel_.within(row, (limit(i) + width) + slack);
                if (within != 0) {
                    const Guard guard(busy_[i]);
                    for (; within != 0; within &= within - 1) {
                        const int j = __builtin_ctzll(within);
                        push(i, bounded(column + j, row, j, queries.length()[r], queries.error()[r]));
                    }
                }
                if (!mutual) continue;
                uint64_t wanted =
                    real & kernel_.wanted(row, terms_.scale[i], terms_.bias[i], limits,
                                          length * terms_.near[i] + error * terms_.far[i] + terms_.slack[i]);
                for (; wanted != 0; wanted &= wanted - 1) {
                    const int j = __builtin_ctzll(wanted);
                    const Guard guard(busy_[column + j]);
                    push(column + j, bounded(i, row, j, rounded.length()[column + j], rounded.error()[column + j]));
                    limits[j] = limit(column + j);
                }
            }
        }
    }

    float limit(int64_t i) const { return limit_[i].load(std::memory_order_relaxed); }

    struct Guard {
        explicit Guard(std::atomic<bool>& busy) : busy_(busy) {
            while (busy_.exchange(true, std::memory_order_acquire)) {
            }
        }
        ~Guard() { busy_.store(false, std::memory_order_release); }
        std::atomic<bool>& busy_;
    };

    // Row `index` of the gallery as seen by a query of that length and error, from lane j of the tile's row.
    Bounded bounded(int64_t index, const TileRow& row, int j, float length, float error) const {
        const float product = static_cast<float>(row.products[j] - row.offset) * row.step * row.steps[j];
        const float middle = terms_.bias[index] + terms_.scale[index] * product;
        const float width = (length + error) * terms_.near[index] + error * terms_.far[index] + terms_.slack[index];
        if (std::isfinite(middle - width) && std::isfinite(middle + width))
            return {middle - width, middle + width, index};
        constexpr float infinity = std::numeric_limits<float>::infinity();
        return {-infinity, infinity, index};
    }

    void push(int64_t i, const Bounded& candidate) {
        if (candidate.lower > limit(i)) return;
        Bounded* pool = pool_.get() + i * capacity_;
        pool[count_[i]++] = candidate;
        if (count_[i] < capacity_) return;
        limit_by_bounds(i);
        if (2 * count_[i] < capacity_) return;
        limit_by_keys(i);
        if (2 * count_[i] < capacity_) return;
        resolve(i, pool, pool + count_[i]);
        limit_by_keys(i);
        count_[i] = std::min(count_[i], k_);
    }

    // No key of the nearest k is beyond the k-th smallest upper bound.
    void limit_by_bounds(int64_t i) {
        Bounded* pool = pool_.get() + i * capacity_;
        std::nth_element(pool, pool + k_ - 1, pool + count_[i],
                         [](const Bounded& a, const Bounded& b) { return a.upper < b.upper; });
        drop_beyond(i, pool[k_ - 1].upper);
    }

    // Nor beyond the worst of any k keys: those of the most promising, which come first afterwards.
    void limit_by_keys(int64_t i) {
        Bounded* pool = pool_.get() + i * capacity_;
        std::nth_element(pool, pool + k_ - 1, pool + count_[i], nearer);
        resolve(i, pool, pool + k_);
        drop_beyond(i, std::max_element(pool, pool + k_, nearer)->lower);
    }

    void drop_beyond(int64_t i, float limit) {
        Bounded *pool = pool_.get() + i * capacity_, *end = pool + count_[i];
        limit_[i].store(limit, std::memory_order_relaxed);
        count_[i] = std::remove_if(pool, end, [&](const Bounded& row) { return row.lower > limit; }) - pool;
    }

    void resolve(int64_t i, Bounded* begin, Bounded* end) const {
        for (Bounded* row = begin; row != end; ++row) {
            if (row->lower == row->upper) continue;
            const float product = kernel_.dot(q_.row(i), gallery_.features.row(row->index), q_.cols);
            row->lower = row->upper = terms_.bias[row->index] + terms_.scale[row->index] * product;
        }
    }
};

IntegerRows rounded_queries(Matrix<const float> q, int bits, int threads) {
    IntegerRows rounded(q.rows, q.cols, bits, kTileQueries);
    std::vector<float> norm2(static_cast<size_t>(q.rows));
    rounded.set(0, q, norm2.data(), threads);
    return rounded;
}

Matrix<const float> rows_of(Matrix<const float> x, int64_t first, int64_t count) {
    return {x.row(first), std::min(count, x.rows - first), x.cols, x.stride};
}

// Eight bits leave more rows between the bounds than sixteen.
int64_t capacity_for(int64_t k, int bits) { return bits == 8 ? 8 * k + 192 : 3 * k + 64; }

// Whether the bounds rule out most rows, as seen by a few queries and the first rows of the gallery. A key that they
// leave to be found costs about ten times its share of a BLAS product.
bool bounds_tell(Matrix<const float> q, const SearchedRows& gallery, const BoundTerms& terms, int64_t k, int threads) {
    constexpr int64_t kProbeQueries = 8 * kTileQueries, kProbeGroups = 128;
    const Matrix<const float> some = rows_of(q, 0, kProbeQueries);
    const int64_t groups = std::min(gallery.integers.groups(), kProbeGroups);
    const int64_t rows = std::min(groups * kTileGallery, gallery.features.rows);
    if (k > rows) return true;
    Shortlist probe(some, gallery, terms, k, rows + 1);
    probe.search(rounded_queries(some, gallery.integers.bits(), threads), 0, 0, groups, false, threads);
    return probe.undecided() <= some.rows * (4 * k + rows / 16);
}

}  // namespace

bool shortlist_topk(Matrix<const float> q, const float* query_norm2, const SearchedRows& gallery, Metric metric,
                    bool insist, Matrix<float> values, Matrix<int64_t> indices, int threads) {
    const BoundTerms terms(gallery, metric);
    const int64_t k = values.cols;
    const int bits = gallery.integers.bits();
    if (!insist && !bounds_tell(q, gallery, terms, k, threads)) return false;
    for (int64_t first = 0; first < q.rows; first += kBlock) {
        const Matrix<const float> block = rows_of(q, first, kBlock);
        Shortlist shortlist(block, gallery, terms, k, capacity_for(k, bits));
        shortlist.search(rounded_queries(block, bits, threads), 0, 0, gallery.integers.groups(), false, threads);
        shortlist.finish(query_norm2 + first, metric, {values.row(first), block.rows, k, values.stride},
                         {indices.row(first), block.rows, k, indices.stride}, threads);
    }
    return true;
}

bool shortlist_topk_itself(const SearchedRows& set, Metric metric, bool insist, Matrix<float> values,
                           Matrix<int64_t> indices, int threads) {
    constexpr int64_t kSide = 12 * kTileGallery;
    static_assert(kSide % kTileQueries == 0, "blocks are whole groups of both kinds");
    const BoundTerms terms(set, metric);
    const Matrix<const float> x = set.features;
    const int64_t k = values.cols, groups = set.integers.groups();
    const int bits = set.integers.bits();
    if (!insist && !bounds_tell(x, set, terms, k, threads)) return false;
    Shortlist shortlist(x, set, terms, k, capacity_for(k, bits));
    // Each row meets its own block first, which gives it a limit before it meets others as a column.
    for (const bool own : {true, false})
        for (int64_t first = 0; first < x.rows; first += kSide) {
            const IntegerRows queries = rounded_queries(rows_of(x, first, kSide), bits, threads);
            const int64_t begin = first / kTileGallery, end = std::min(groups, begin + kSide / kTileGallery);
            shortlist.search(queries, first, own ? begin : end, own ? end : groups, !own, threads);
        }
    shortlist.finish(set.norm2, metric, values, indices, threads);
    return true;
}

}  // namespace unrealperson
