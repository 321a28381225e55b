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

// A gallery row by a lower bound of its key or, where exact, the key.
struct Bounded {
    float lower;
    bool exact;
    int64_t index;
};

bool nearer(const Bounded& a, const Bounded& b) {
    return a.lower < b.lower || (a.lower == b.lower && a.index < b.index);
}

// What a row contributes to the bounds of its keys as a member of the gallery:
//   bias + product * step_q n_q.n_g -+ (slack + (|q^| + |e_q|) * near + |e_q| * far)
struct BoundTerms {
    std::vector<float> scale, bias, product, slack, near, far;

    BoundTerms(const SearchedRows& rows, Metric metric) {
        const int64_t n = rows.integers.rows(), cols = rows.integers.cols();
        const int64_t padded = rows.integers.groups() * kTileGallery;
        for (auto* terms : {&scale, &bias, &product, &slack, &near, &far}) terms->resize(static_cast<size_t>(padded));
        // Rounding of the float32 product (dot.h sums cols / 32 terms and a tree) and of the bounds themselves.
        const float rounding = static_cast<float>(cols / 32 + 64) * 0x1p-24f;
        key_terms(metric, rows.norm2, n, scale.data(), bias.data());
        for (int64_t j = 0; j < n; ++j) {
            const float length = rows.integers.length()[j], error = rows.integers.error()[j];
            const float size = std::fabs(scale[j]);
            product[j] = scale[j] * rows.integers.step()[j];
            slack[j] = std::fabs(bias[j]) * 0x1p-20f + size * (static_cast<float>(cols) * 0x1p-148f) + 0x1p-126f;
            near[j] = size * (error + rounding * (length + error)) * 1.00001f;
            far[j] = size * length * 1.00001f;
        }
    }
};

struct Tile {
    int32_t products[kTileQueries * kTileGallery];
};

constexpr int kParts = kTileGallery / kLanes;

// Bit j: whether lane j of the parts is zero. Mostly none is.
UP_INLINE uint64_t zero_bits(const LaneMask* parts) {
    LaneMask any{};
    for (int part = 0; part < kParts; ++part) any |= ~parts[part];
    uint64_t words[kLanes / 2], some = 0, bits = 0;
    std::memcpy(words, &any, sizeof words);
    for (uint64_t word : words) some |= word;
    if (some == 0) return 0;
    for (int j = 0; j < kTileGallery; ++j) bits |= static_cast<uint64_t>(parts[j / kLanes][j % kLanes] == 0) << j;
    return bits;
}

// Bit j: whether row j of the group may be among the nearest of a query, by its lower bound and the query's limit.
UP_INLINE uint64_t within_body(const int32_t* products, int32_t sum, float step, float length, float error, float limit,
                               const BoundTerms& terms, int64_t first) {
    LaneMask beyond[kParts];
    for (int part = 0; part < kParts; ++part) {
        const int64_t j = first + part * kLanes;
        LaneMask whole;
        std::memcpy(&whole, products + part * kLanes, sizeof whole);
        const Lanes dots = __builtin_convertvector(whole - sum, Lanes) * step;
        const Lanes width = lanes(&terms.near[j]) * length + lanes(&terms.far[j]) * error + lanes(&terms.slack[j]);
        const Lanes lower = lanes(&terms.bias[j]) + lanes(&terms.product[j]) * dots - width;
        beyond[part] = lower > limit;
    }
    return zero_bits(beyond);
}

// Bit j: whether the query may be among the nearest of row j of the group.
UP_INLINE uint64_t wanted_body(const int32_t* products, int32_t sum, const IntegerRows& rows, int64_t first,
                               const float* limits, float bias, float product, float slack, float near, float far) {
    LaneMask beyond[kParts];
    for (int part = 0; part < kParts; ++part) {
        const int64_t j = first + part * kLanes;
        LaneMask whole;
        std::memcpy(&whole, products + part * kLanes, sizeof whole);
        const Lanes dots = __builtin_convertvector(whole - sum, Lanes) * lanes(rows.step() + j);
        const Lanes errors = lanes(rows.error() + j);
        const Lanes width = (lanes(rows.length() + j) + errors) * near + errors * far + slack;
        const Lanes lower = bias + product * dots - width;
        beyond[part] = lower > lanes(limits + part * kLanes);
    }
    return zero_bits(beyond);
}

struct Kernels {
    float (*dot)(const float*, const float*, int64_t);
    uint64_t (*within)(const int32_t*, int32_t, float, float, float, float, const BoundTerms&, int64_t);
    uint64_t (*wanted)(const int32_t*, int32_t, const IntegerRows&, int64_t, const float*, float, float, float, float,
                       float);
};

#define UP_KERNELS(isa, attribute)                                                                                \
    attribute float dot_##isa(const float* a, const float* b, int64_t n) { return dot_body(a, b, n); }            \
    attribute uint64_t within_##isa(const int32_t* products, int32_t sum, float step, float length, float error,  \
                                    float limit, const BoundTerms& terms, int64_t first) {                        \
        return within_body(products, sum, step, length, error, limit, terms, first);                              \
    }                                                                                                             \
    attribute uint64_t wanted_##isa(const int32_t* products, int32_t sum, const IntegerRows& rows, int64_t first, \
                                    const float* limits, float bias, float product, float slack, float near,      \
                                    float far) {                                                                  \
        return wanted_body(products, sum, rows, first, limits, bias, product, slack, near, far);                  \
    }                                                                                                             \
    constexpr Kernels kernels_##isa{dot_##isa, within_##isa, wanted_##isa};

UP_EACH_ISA(UP_KERNELS)

// The candidates of each query of one search.
class Shortlist {
  public:
    Shortlist(Matrix<const float> q, const SearchedRows& gallery, const BoundTerms& terms, int64_t k)
        : q_(q),
          gallery_(gallery),
          terms_(terms),
          kernel_(UP_CHOSEN_ISA(kernels)),
          multiply_(tile_product(gallery.integers.bits())),
          k_(k),
          capacity_(gallery.integers.bits() == 8 ? 8 * k + 192 : 3 * k + 64),
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
                compact(i);
                resolve(i, pool, pool + count_[i]);
                std::partial_sort(pool, pool + k_, pool + count_[i], nearer);
                for (int64_t r = 0; r < k_; ++r) {
                    values.row(i)[r] = value_of(metric, pool[r].lower, query_norm2[i]);
                    indices.row(i)[r] = pool[r].index;
                }
            }
        });
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
        const int64_t column = group * kTileGallery;
        const int64_t columns = std::min<int64_t>(kTileGallery, gallery_.features.rows - column);
        const uint64_t real = columns == 64 ? ~uint64_t{0} : (uint64_t{1} << columns) - 1;
        const int64_t offset = queries.bits() == 8 ? 128 : 0;
        alignas(64) Tile tile;
        alignas(64) float limits[kTileGallery] = {};
        if (mutual)
            for (int64_t j = 0; j < columns; ++j) limits[j] = limit_[column + j].load(std::memory_order_relaxed);
        for (int64_t turn = 0; turn < queries.groups(); ++turn) {
            const int64_t block = (turn + group) % queries.groups();  // threads keep out of each other's way
            multiply_(queries.group(block), gallery_.integers.group(group), queries.words(), tile.products);
            const int64_t rows = std::min<int64_t>(kTileQueries, queries.rows() - block * kTileQueries);
            for (int64_t r = 0; r < rows; ++r) {
                const int64_t row = block * kTileQueries + r, i = first + row;
                const int32_t* products = tile.products + r * kTileGallery;
                const auto sum = static_cast<int32_t>(offset * queries.sum()[row]);
                const float step = queries.step()[row], error = queries.error()[row];
                const float length = queries.length()[row] + error;
                uint64_t within = real & kernel_.within(products, sum, step, length, error,
                                                        limit_[i].load(std::memory_order_relaxed), terms_, column);
                if (within != 0) add(i, within, products, sum, step, length, error, column);
                if (!mutual) continue;
                uint64_t wanted =
                    real & kernel_.wanted(products, sum, gallery_.integers, column, limits, terms_.bias[i],
                                          terms_.product[i], terms_.slack[i], terms_.near[i], terms_.far[i]);
                for (; wanted != 0; wanted &= wanted - 1) {
                    const int64_t j = column + __builtin_ctzll(wanted);
                    const IntegerRows& rounded = gallery_.integers;
                    Guard guard(busy_[j]);
                    push(j, bounded(i, products[j - column] - sum, rounded.step()[j],
                                    rounded.length()[j] + rounded.error()[j], rounded.error()[j]));
                    limits[j - column] = limit_[j].load(std::memory_order_relaxed);
                }
            }
        }
    }

    struct Guard {
        explicit Guard(std::atomic<bool>& busy) : busy_(busy) {
            while (busy_.exchange(true, std::memory_order_acquire)) {
            }
        }
        ~Guard() { busy_.store(false, std::memory_order_release); }
        std::atomic<bool>& busy_;
    };

    void add(int64_t i, uint64_t within, const int32_t* products, int32_t sum, float step, float length, float error,
             int64_t column) {
        Guard guard(busy_[i]);
        for (; within != 0; within &= within - 1) {
            const int j = __builtin_ctzll(within);
            push(i, bounded(column + j, products[j] - sum, step, length, error));
        }
    }

    Bounded bounded(int64_t j, int32_t product, float step, float length, float error) const {
        const float middle = terms_.bias[j] + terms_.product[j] * (static_cast<float>(product) * step);
        const float width = terms_.near[j] * length + terms_.far[j] * error + terms_.slack[j];
        const float lower = middle - width;
        return {std::isnan(lower) ? -std::numeric_limits<float>::infinity() : lower, false, j};
    }

    void push(int64_t i, const Bounded& candidate) {
        if (candidate.lower > limit_[i].load(std::memory_order_relaxed)) return;
        Bounded* pool = pool_.get() + i * capacity_;
        pool[count_[i]++] = candidate;
        if (count_[i] < capacity_) return;
        compact(i);
        if (2 * count_[i] < capacity_) return;
        // The bounds cannot tell so many rows apart: keys do.
        resolve(i, pool, pool + count_[i]);
        std::nth_element(pool, pool + k_ - 1, pool + count_[i], nearer);
        count_[i] = k_;
        limit_[i].store(pool[k_ - 1].lower, std::memory_order_relaxed);
    }

    // Finds the keys of the k most promising, which limit all others.
    void compact(int64_t i) {
        Bounded *pool = pool_.get() + i * capacity_, *end = pool + count_[i];
        std::nth_element(pool, pool + k_ - 1, end, nearer);
        resolve(i, pool, pool + k_);
        float limit = pool[0].lower;
        for (int64_t r = 1; r < k_; ++r) limit = std::max(limit, pool[r].lower);
        limit_[i].store(limit, std::memory_order_relaxed);
        count_[i] = std::remove_if(pool, end, [&](const Bounded& row) { return row.lower > limit; }) - pool;
    }

    void resolve(int64_t i, Bounded* begin, Bounded* end) const {
        for (Bounded* row = begin; row != end; ++row) {
            if (row->exact) continue;
            const float product = kernel_.dot(q_.row(i), gallery_.features.row(row->index), q_.cols);
            row->lower = terms_.bias[row->index] + terms_.scale[row->index] * product;
            row->exact = true;
        }
    }
};

IntegerRows rounded_queries(Matrix<const float> q, int bits, int threads) {
    IntegerRows rounded(q.rows, q.cols, bits, kTileQueries);
    rounded.set(0, q, threads);
    return rounded;
}

Matrix<const float> rows_of(Matrix<const float> x, int64_t first, int64_t count) {
    return {x.row(first), std::min(count, x.rows - first), x.cols, x.stride};
}

}  // namespace

void shortlist_topk(Matrix<const float> q, const float* query_norm2, const SearchedRows& gallery, Metric metric,
                    Matrix<float> values, Matrix<int64_t> indices, int threads) {
    const BoundTerms terms(gallery, metric);
    for (int64_t first = 0; first < q.rows; first += kBlock) {
        const Matrix<const float> block = rows_of(q, first, kBlock);
        Shortlist shortlist(block, gallery, terms, values.cols);
        shortlist.search(rounded_queries(block, gallery.integers.bits(), threads), 0, 0, gallery.integers.groups(),
                         false, threads);
        shortlist.finish(query_norm2 + first, metric, {values.row(first), block.rows, values.cols, values.stride},
                         {indices.row(first), block.rows, indices.cols, indices.stride}, threads);
    }
}

void shortlist_topk_itself(const SearchedRows& set, Metric metric, Matrix<float> values, Matrix<int64_t> indices,
                           int threads) {
    constexpr int64_t kSide = 3 * 2 * kTileGallery * 2;  // 768: whole groups of both kinds
    static_assert(kSide % kTileQueries == 0 && kSide % kTileGallery == 0, "blocks are whole groups");
    const BoundTerms terms(set, metric);
    const Matrix<const float> x = set.features;
    Shortlist shortlist(x, set, terms, values.cols);
    const int64_t groups = set.integers.groups();
    // Each row meets its own block first, which gives it a limit before it meets others as a column.
    for (const bool own : {true, false})
        for (int64_t first = 0; first < x.rows; first += kSide) {
            const IntegerRows queries = rounded_queries(rows_of(x, first, kSide), set.integers.bits(), threads);
            const int64_t begin = first / kTileGallery, end = std::min(groups, begin + kSide / kTileGallery);
            shortlist.search(queries, first, own ? begin : end, own ? end : groups, !own, threads);
        }
    shortlist.finish(set.norm2, metric, values, indices, threads);
}

}  // namespace unrealperson
