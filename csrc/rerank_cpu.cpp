#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>

#include "parallel.h"
#include "rerank.h"
#include "simd.h"

namespace unrealperson {
namespace {

UP_INLINE float squared_distance_body(const float* a, const float* b, int64_t n) {
    Lanes even{}, odd{};
    int64_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        const Lanes first = lanes(a + i) - lanes(b + i), second = lanes(a + i + kLanes) - lanes(b + i + kLanes);
        even += first * first;
        odd += second * second;
    }
    even += odd;
    float parts[kLanes], sum = 0.0f;
    std::memcpy(parts, &even, sizeof parts);
    for (; i < n; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    for (float part : parts) sum += part;
    return sum;
}

UP_INLINE float largest_body(const float* products, int64_t n, const float* scale, const float* bias, float largest) {
    Lanes kept;
    for (int lane = 0; lane < kLanes; ++lane) kept[lane] = largest;
    int64_t j = 0;
    for (; j + kLanes <= n; j += kLanes) {
        const Lanes key = lanes(bias + j) + lanes(scale + j) * lanes(products + j);
        kept = key > kept ? key : kept;
    }
    for (int lane = 0; lane < kLanes; ++lane) largest = std::max(largest, kept[lane]);
    for (; j < n; ++j) largest = std::max(largest, bias[j] + scale[j] * products[j]);
    return largest;
}

// The value of two neighbourhoods that share no row.
UP_INLINE void apart_body(float* row, int64_t n, float scale, float lambda) {
    for (int64_t j = 0; j < n; ++j) row[j] = (1.0f - lambda) + lambda * (scale > 0.0f ? row[j] / scale : 0.0f);
}

struct Kernels {
    float (*squared_distance)(const float*, const float*, int64_t);
    float (*largest)(const float*, int64_t, const float*, const float*, float);
    void (*apart)(float*, int64_t, float, float);
};

#define UP_KERNELS(isa, attribute)                                                                         \
    attribute float squared_distance_##isa(const float* a, const float* b, int64_t n) {                    \
        return squared_distance_body(a, b, n);                                                             \
    }                                                                                                      \
    attribute float largest_##isa(const float* products, int64_t n, const float* scale, const float* bias, \
                                  float largest) {                                                         \
        return largest_body(products, n, scale, bias, largest);                                            \
    }                                                                                                      \
    attribute void apart_##isa(float* row, int64_t n, float scale, float lambda) {                         \
        apart_body(row, n, scale, lambda);                                                                 \
    }                                                                                                      \
    constexpr Kernels kernels_##isa{squared_distance_##isa, largest_##isa, apart_##isa};

UP_EACH_ISA(UP_KERNELS)

constexpr int64_t kChunk = 64;  // rows that a thread takes at a time

// Calls body(scratch, begin, end) on chunks of [0, n), each thread with a scratch of its own: chunks go to whoever is
// free, so rows of very different cost share the threads evenly.
template <class Scratch, class Body>
void for_chunks(int64_t n, int64_t scratch_rows, int threads, const Body& body) {
    const int64_t chunks = (n + kChunk - 1) / kChunk;
    const int64_t workers = std::min<int64_t>(usable_threads(threads), chunks);
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr failure;
    parallel_for(workers, 1, threads, [&](int64_t, int64_t) {
        try {
            Scratch scratch(scratch_rows);
            for (int64_t chunk; !failed && (chunk = next++) < chunks;)
                body(scratch, chunk * kChunk, std::min(n, (chunk + 1) * kChunk));
        } catch (...) {
            if (!failed.exchange(true)) failure = std::current_exception();
        }
    });
    if (failure) std::rethrow_exception(failure);
}

// A vector over all rows that is empty again after each use.
struct Sums {
    std::vector<double> at;
    std::vector<int32_t> touched;

    explicit Sums(int64_t rows) : at(static_cast<size_t>(rows), 0.0) {}

    // Every `value` is above 0, so a place still at 0 is a new one.
    void add(int32_t row, float value) {
        if (at[row] == 0.0) touched.push_back(row);
        at[row] += value;
    }
    void clear() {
        for (int32_t row : touched) at[row] = 0.0;
        touched.clear();
    }
};

struct Members {
    enum : uint8_t { kOut = 0, kReciprocal = 1, kExpanded = 2 };
    std::vector<int32_t> place;  // in the row's list, -1 where it is not there
    std::vector<uint8_t> state;
    std::vector<int32_t> rows;
    std::vector<float> distance;

    explicit Members(int64_t n) : place(static_cast<size_t>(n), -1), state(static_cast<size_t>(n), kOut) {}
};

// The chunks' rows one after the other.
SparseRows joined(std::vector<SparseRows>& chunks) {
    SparseRows all;
    size_t rows = 1, entries = 0;
    for (const SparseRows& chunk : chunks) {
        rows += static_cast<size_t>(chunk.rows());
        entries += chunk.index.size();
    }
    all.offset.reserve(rows);
    all.index.reserve(entries);
    all.value.reserve(entries);
    for (SparseRows& chunk : chunks) {
        const int64_t before = all.offset.back();
        for (int64_t row = 0; row < chunk.rows(); ++row) all.offset.push_back(before + chunk.offset[row + 1]);
        all.index.insert(all.index.end(), chunk.index.begin(), chunk.index.end());
        all.value.insert(all.value.end(), chunk.value.begin(), chunk.value.end());
        chunk = SparseRows();
    }
    return all;
}

// n sparse rows, made by append(scratch, i, rows) in any order.
template <class Scratch, class Append>
SparseRows make_rows(int64_t n, int64_t scratch_rows, int threads, const Append& append) {
    std::vector<SparseRows> chunks(static_cast<size_t>((n + kChunk - 1) / kChunk));
    for_chunks<Scratch>(n, scratch_rows, threads, [&](Scratch& scratch, int64_t begin, int64_t end) {
        SparseRows& chunk = chunks[begin / kChunk];
        for (int64_t i = begin; i < end; ++i) {
            append(scratch, i, chunk);
            chunk.offset.push_back(static_cast<int64_t>(chunk.index.size()));
        }
    });
    return joined(chunks);
}

bool contains(const int32_t* list, int64_t length, int32_t row) {
    return std::find(list, list + length, row) != list + length;
}

// Calls found(j) for those of the first `length` of row i's list that have i among their own first `length`.
template <class Found>
void for_reciprocals(const Lists& lists, int64_t i, int64_t length, const Found& found) {
    const int32_t* list = lists.rows_of(i);
    for (int64_t r = 0; r < length && list[r] != kNoRow; ++r)
        if (contains(lists.rows_of(list[r]), length, static_cast<int32_t>(i))) found(list[r]);
}

void fill_half_set(const Lists& lists, int64_t i, int64_t half, int32_t* set) {
    int64_t count = 0;
    for_reciprocals(lists, i, half, [&](int32_t j) { set[count++] = j; });
    std::fill(set + count, set + half, kNoRow);
}

// E(i) in ascending order.
void find_members(const Lists& lists, const std::vector<int32_t>& half_sets, const ListSizes& sizes, int64_t i,
                  Members& members) {
    const auto join = [&](int32_t j, uint8_t state) {
        if (members.state[j] != Members::kOut) return;
        members.state[j] = state;
        members.rows.push_back(j);
    };
    members.rows.clear();
    for_reciprocals(lists, i, sizes.forward, [&](int32_t j) { join(j, Members::kReciprocal); });
    const size_t reciprocals = members.rows.size();
    for (size_t r = 0; r < reciprocals; ++r) {
        const int32_t* set = half_sets.data() + members.rows[r] * sizes.half;
        const int32_t* end = std::find(set, set + sizes.half, kNoRow);
        const auto common =
            std::count_if(set, end, [&](int32_t j) { return members.state[j] == Members::kReciprocal; });
        if (3 * common > 2 * (end - set))
            for (const int32_t* j = set; j < end; ++j) join(*j, Members::kExpanded);
    }
    for (int32_t j : members.rows) members.state[j] = Members::kOut;
    std::sort(members.rows.begin(), members.rows.end());
}

// V(i). Distances that neither row's list holds are computed from the features.
void append_weights(const Lists& lists, const std::vector<int32_t>& half_sets, const ListSizes& sizes,
                    const Features& x, float scale, const Kernels& kernel, int64_t i, Members& members,
                    SparseRows& out) {
    find_members(lists, half_sets, sizes, i, members);
    const int32_t* list = lists.rows_of(i);
    const int64_t length = std::find(list, list + lists.width, kNoRow) - list;
    for (int64_t r = length - 1; r >= 0; --r) members.place[list[r]] = static_cast<int32_t>(r);
    members.distance.clear();
    float nearest = std::numeric_limits<float>::infinity();
    for (int32_t j : members.rows) {
        float distance;
        const int32_t* other = lists.rows_of(j);
        if (members.place[j] >= 0)
            distance = lists.distances_of(i)[members.place[j]];
        else if (const int64_t r = std::find(other, other + lists.width, i) - other; r < lists.width)
            distance = lists.distances_of(j)[r];
        else
            distance = kernel.squared_distance(x.row(i), x.row(j), x.gallery.cols);
        distance = scale > 0.0f ? distance / scale : 0.0f;
        nearest = std::min(nearest, distance);
        members.distance.push_back(distance);
    }
    for (int64_t r = 0; r < length; ++r) members.place[list[r]] = -1;
    double sum = 0.0;
    for (float& weight : members.distance) sum += weight = std::exp(nearest - weight);
    for (size_t r = 0; r < members.rows.size(); ++r) {
        const auto weight = static_cast<float>(members.distance[r] / sum);
        if (weight == 0.0f) continue;
        out.index.push_back(members.rows[r]);
        out.value.push_back(weight);
    }
}

// One sparse row, wherever it lies.
struct RowView {
    const int32_t* index;
    const float* value;
    int64_t count;
};

RowView row_view(const SparseRows& rows, int64_t i) {
    const int64_t begin = rows.offset[i];
    return {rows.index.data() + begin, rows.value.data() + begin, rows.offset[i + 1] - begin};
}

// W(i), from view(j) = V(j).
template <class View>
void append_expanded(const Lists& lists, int64_t k2, int64_t i, const View& view, Sums& sums, SparseRows& out) {
    const auto own = static_cast<int32_t>(i);
    const int32_t* members = k2 == 1 ? &own : lists.rows_of(i);  // a row need not head its own list
    const int64_t count = std::find(members, members + k2, kNoRow) - members;
    for (int64_t r = 0; r < count; ++r) {
        const RowView row = view(members[r]);
        for (int64_t e = 0; e < row.count; ++e) sums.add(row.index[e], row.value[e]);
    }
    std::sort(sums.touched.begin(), sums.touched.end());
    for (int32_t j : sums.touched) {
        const auto mean = static_cast<float>(sums.at[j] / static_cast<double>(count));
        if (mean == 0.0f) continue;
        out.index.push_back(j);
        out.value.push_back(mean);
    }
    sums.clear();
}

SparseRows transposed(const SparseRows& rows, int threads) {
    const int64_t n = rows.rows();
    SparseRows columns;
    columns.offset.assign(static_cast<size_t>(n) + 1, 0);
    for (int32_t j : rows.index) ++columns.offset[j + 1];
    for (int64_t j = 0; j < n; ++j) columns.offset[j + 1] += columns.offset[j];
    columns.index.resize(rows.index.size());
    columns.value.resize(rows.index.size());
    std::vector<int64_t> next(columns.offset.begin(), columns.offset.end() - 1);
    // Each thread reads every row and writes the columns of its own range.
    parallel_for(n, 4096, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = 0; i < n; ++i) {
            const int32_t* last = rows.index.data() + rows.offset[i + 1];
            const int32_t* at = std::lower_bound(rows.index.data() + rows.offset[i], last, begin);
            for (; at < last && *at < end; ++at) {
                const int64_t place = next[*at]++;
                columns.index[place] = static_cast<int32_t>(i);
                columns.value[place] = rows.value[at - rows.index.data()];
            }
        }
    });
    return columns;
}

// sums.at[j] = m(row, j) for every row j that shares a column with it.
void add_overlaps(const RowView& row, const SparseRows& columns, Sums& sums) {
    for (int64_t e = 0; e < row.count; ++e) {
        const RowView column = row_view(columns, row.index[e]);
        for (int64_t at = 0; at < column.count; ++at)
            sums.add(column.index[at], std::min(row.value[e], column.value[at]));
    }
}

// What the shared part m takes from a Jaccard distance of 1.
double nearness(double m) { return m / (2.0 - m); }

float jaccard(double m) { return static_cast<float>(std::max(0.0, 1.0 - nearness(m))); }

// Calls found(j, distance) for each row below a distance of 1 and at most eps, itself included, in any order.
template <class Found>
void for_near(const SparseRows& rows, const SparseRows& columns, int64_t i, float eps, Sums& sums, const Found& found) {
    add_overlaps(row_view(rows, i), columns, sums);
    found(static_cast<int32_t>(i), 0.0f);
    for (int32_t j : sums.touched) {
        const float distance = jaccard(sums.at[j]);
        if (j != i && distance < 1.0f && distance <= eps) found(j, distance);
    }
    sums.clear();
}

Lists checked_lists(Matrix<const int64_t> index, Matrix<const float> distance, int64_t width) {
    Lists lists{width, {}, {}};
    lists.index.assign(static_cast<size_t>(index.rows * width), kNoRow);
    lists.distance.assign(static_cast<size_t>(index.rows * width), std::numeric_limits<float>::infinity());
    for (int64_t i = 0; i < index.rows; ++i)
        for (int64_t r = 0; r < std::min(width, index.cols) && index.row(i)[r] != kNoRow; ++r) {
            const int64_t j = index.row(i)[r];
            if (j < 0 || j >= index.rows) throw std::invalid_argument("indices must lie within the rows, or be -1");
            lists.index[i * width + r] = static_cast<int32_t>(j);
            lists.distance[i * width + r] = distance.row(i)[r];
        }
    return lists;
}

}  // namespace

Neighborhoods::Neighborhoods(Matrix<const int64_t> index, Matrix<const float> distance, const Features& x,
                             const float* scale, ListSizes sizes, int threads)
    : sizes_(sizes), lists_(checked_lists(index, distance, sizes.width())) {
    const int64_t n = index.rows;
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    half_sets_.resize(static_cast<size_t>(n * sizes.half));
    parallel_for(n, kChunk, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) fill_half_set(lists_, i, sizes.half, &half_sets_[i * sizes.half]);
    });
    weights_ = make_rows<Members>(n, n, threads, [&](Members& members, int64_t i, SparseRows& out) {
        append_weights(lists_, half_sets_, sizes_, x, scale == nullptr ? 1.0f : scale[i], kernel, i, members, out);
    });
    const auto view = [&](int64_t j) { return row_view(weights_, j); };
    expanded_ = make_rows<Sums>(n, n, threads, [&](Sums& sums, int64_t i, SparseRows& out) {
        append_expanded(lists_, sizes_.k2, i, view, sums, out);
    });
    columns_ = transposed(expanded_, threads);
}

void Neighborhoods::blend(Matrix<float> block, int64_t first, const float* scale, float lambda, int threads) const {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    const int64_t gallery = rows() - block.cols;
    for_chunks<Sums>(block.rows, rows(), threads, [&](Sums& sums, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            float* row = block.row(i);
            kernel.apart(row, block.cols, scale[i], lambda);
            add_overlaps(row_view(expanded_, first + i), columns_, sums);
            for (int32_t j : sums.touched)
                if (j >= gallery) row[j - gallery] -= (1.0f - lambda) * static_cast<float>(nearness(sums.at[j]));
            sums.clear();
        }
    });
}

void Neighborhoods::count_graph(float eps, int64_t* counts, int threads) const {
    for_chunks<Sums>(rows(), rows(), threads, [&](Sums& sums, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            counts[i] = 0;
            for_near(expanded_, columns_, i, eps, sums, [&](int32_t, float) { ++counts[i]; });
        }
    });
}

void Neighborhoods::fill_graph(float eps, const int64_t* offset, int32_t* index, float* distance, int threads) const {
    // Distances are 0 or more, so that their bits order them, and equal ones go by row.
    struct Scratch : Sums {
        using Sums::Sums;
        std::vector<uint64_t> keys;
    };
    for_chunks<Scratch>(rows(), rows(), threads, [&](Scratch& scratch, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            scratch.keys.clear();
            for_near(expanded_, columns_, i, eps, scratch, [&](int32_t j, float value) {
                uint32_t bits;
                std::memcpy(&bits, &value, sizeof bits);
                scratch.keys.push_back(uint64_t{bits} << 32 | static_cast<uint32_t>(j));
            });
            std::sort(scratch.keys.begin(), scratch.keys.end());
            int64_t at = offset[i];
            for (const uint64_t key : scratch.keys) {
                const auto bits = static_cast<uint32_t>(key >> 32);
                std::memcpy(&distance[at], &bits, sizeof bits);
                index[at++] = static_cast<int32_t>(key);
            }
        }
    });
}

void Neighborhoods::blend_query(const Features& x, float* distance, const float* scale, float query_scale, float lambda,
                                int threads) const {
    const int64_t n = rows(), width = lists_.width;
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    const auto scale_of = [&](int64_t i) { return i == 0 ? query_scale : std::max(scale[i - 1], distance[i - 1]); };

    // The query's own list, and its place in the lists of others: before equals, since it is row 0.
    Lists lists = lists_;
    std::vector<std::pair<float, int32_t>> nearest{{0.0f, 0}};
    for (int64_t i = 1; i < n; ++i) nearest.emplace_back(distance[i - 1], static_cast<int32_t>(i));
    const int64_t length = std::min(width, n);
    std::partial_sort(nearest.begin(), nearest.begin() + length, nearest.end());
    for (int64_t r = 0; r < length; ++r) {
        lists.distance[r] = nearest[r].first;
        lists.index[r] = nearest[r].second;
    }
    std::vector<uint8_t> changed(static_cast<size_t>(n),
                                 0);  // rows whose list, then whose R or H, then whose V differs
    changed[0] = 1;
    for (int64_t i = 1; i < n; ++i) {
        int32_t* list = lists.index.data() + i * width;
        float* values = lists.distance.data() + i * width;
        const int64_t place = std::lower_bound(values, values + width, distance[i - 1]) - values;
        if (place == width) continue;
        std::copy_backward(list + place, list + width - 1, list + width);
        std::copy_backward(values + place, values + width - 1, values + width);
        list[place] = 0;
        values[place] = distance[i - 1];
        changed[i] = 1;
    }

    // What a row is made from lies in its list, so a change spreads from a row to those that list it.
    const auto spread = [&](int64_t within) {
        std::vector<uint8_t> wider = changed;
        for (int64_t i = 0; i < n; ++i) {
            const int32_t* list = lists.rows_of(i);
            for (int64_t r = 0; r < within && list[r] != kNoRow && wider[i] == 0; ++r) wider[i] = changed[list[r]];
        }
        changed.swap(wider);
    };
    const auto numbers = [&] {
        std::vector<int32_t> rows;
        for (int64_t i = 0; i < n; ++i)
            if (changed[i] != 0) rows.push_back(static_cast<int32_t>(i));
        return rows;
    };
    std::vector<int32_t> half_sets = half_sets_;
    spread(sizes_.forward);
    for (int32_t i : numbers()) fill_half_set(lists, i, sizes_.half, &half_sets[i * sizes_.half]);
    spread(sizes_.forward);
    for (int64_t i = 1; i < n; ++i)
        if (distance[i - 1] > scale[i - 1]) changed[i] = 1;

    // New rows beside the prepared ones.
    std::vector<int32_t> rows = numbers();
    std::vector<int32_t> slot(static_cast<size_t>(n), -1);
    for (size_t at = 0; at < rows.size(); ++at) slot[rows[at]] = static_cast<int32_t>(at);
    const SparseRows weights = make_rows<Members>(
        static_cast<int64_t>(rows.size()), n, threads, [&](Members& members, int64_t at, SparseRows& out) {
            append_weights(lists, half_sets, sizes_, x, scale_of(rows[at]), kernel, rows[at], members, out);
        });
    const auto view = [&](int64_t j) { return slot[j] >= 0 ? row_view(weights, slot[j]) : row_view(weights_, j); };
    spread(sizes_.k2);
    rows = numbers();
    const SparseRows expanded = make_rows<Sums>(
        static_cast<int64_t>(rows.size()), n, threads,
        [&](Sums& sums, int64_t at, SparseRows& out) { append_expanded(lists, sizes_.k2, rows[at], view, sums, out); });

    Sums sums(n);
    const RowView query = row_view(expanded, 0);
    add_overlaps(query, columns_, sums);
    std::vector<double> shared(std::move(sums.at));
    std::vector<float> own(static_cast<size_t>(n), 0.0f);
    for (int64_t e = 0; e < query.count; ++e) own[query.index[e]] = query.value[e];
    for (size_t at = 0; at < rows.size(); ++at) {
        const RowView row = row_view(expanded, static_cast<int64_t>(at));
        double& m = shared[rows[at]] = 0.0;
        for (int64_t e = 0; e < row.count; ++e) m += std::min(row.value[e], own[row.index[e]]);
    }
    kernel.apart(distance, n - 1, query_scale, lambda);
    for (int64_t i = 1; i < n; ++i)
        if (shared[i] > 0.0) distance[i - 1] -= (1.0f - lambda) * static_cast<float>(nearness(shared[i]));
}

void raise_to_largest_key(Matrix<const float> products, const float* scale, const float* bias, float* largest,
                          int threads) {
    const Kernels& kernel = UP_CHOSEN_ISA(kernels);
    parallel_for(products.rows, 16, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            largest[i] = kernel.largest(products.row(i), products.cols, scale, bias, largest[i]);
    });
}

void transpose(Matrix<const float> block, Matrix<float> out, int threads) {
    constexpr int64_t tile = 16;  // a cache line of floats
    parallel_for((out.rows + tile - 1) / tile, 4, threads, [&](int64_t begin, int64_t end) {
        for (int64_t j0 = begin * tile; j0 < std::min(out.rows, end * tile); j0 += tile)
            for (int64_t i0 = 0; i0 < block.rows; i0 += tile) {
                const int64_t j1 = std::min(out.rows, j0 + tile), i1 = std::min(block.rows, i0 + tile);
                for (int64_t j = j0; j < j1; ++j)
                    for (int64_t i = i0; i < i1; ++i) out.row(j)[i] = block.row(i)[j];
            }
    });
}

}  // namespace unrealperson
