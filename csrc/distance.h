// Distances between feature vectors, and the nearest k of them.
//
// A product q.g becomes a *key*, in which every gallery row is ranked (smaller is nearer), and the key a *value*:
//   sqeuclidean    key = |g|^2 - 2 q.g    value = max(0, key + |q|^2)
//   cosine         key = -q.g / |g|       value = 1 + key / |q|, within [0, 2]; 1 where a vector is zero
//   inner_product  key = -q.g             value = q.g
// The key lacks the query's own term, which cannot change the order but would round different keys to one value.
// Rows are ordered by (key, gallery index), so equal keys go to the lower index on every path. A key needs one
// multiplication and one addition, and for each metric one of the two is exact: fused or not, the bits are the same.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensor.h"

namespace unrealperson {

enum class Metric : int { sqeuclidean = 0, cosine = 1, inner_product = 2 };

inline Metric metric_of(const std::string& name) {
    if (name == "sqeuclidean") return Metric::sqeuclidean;
    if (name == "cosine") return Metric::cosine;
    if (name == "inner_product") return Metric::inner_product;
    throw std::invalid_argument("metric must be \"sqeuclidean\", \"cosine\" or \"inner_product\", got \"" + name +
                                "\"");
}

// Above this squared length, keys could overflow float32.
constexpr float kLargestNorm2 = 8.0e37f;

UP_HOST_DEVICE inline float key_scale(Metric metric, float norm2) {
    if (metric == Metric::sqeuclidean) return -2.0f;
    if (metric == Metric::inner_product) return -1.0f;
    const float scale = -1.0f / sqrtf(norm2 > 0.0f ? norm2 : 1.0f);  // without a branch, so that it is vectorised
    return norm2 > 0.0f ? scale : 0.0f;
}

UP_HOST_DEVICE inline float key_bias(Metric metric, float norm2) {
    return metric == Metric::sqeuclidean ? norm2 : 0.0f;
}

UP_HOST_DEVICE inline float value_of(Metric metric, float key, float query_norm2) {
    if (metric == Metric::inner_product) return 0.0f - key;
    if (metric == Metric::sqeuclidean) {
        const float value = key + query_norm2;
        return value > 0.0f ? value : 0.0f;
    }
    const float value = query_norm2 > 0.0f ? 1.0f + key / sqrtf(query_norm2) : 1.0f;
    return value > 0.0f ? (value < 2.0f ? value : 2.0f) : 0.0f;
}

// The first row whose norm2 is NaN or above kLargestNorm2, or -1.
int64_t first_unusable(const float* norm2, int64_t n);

// norm2[i] = |x_i|^2. Returns first_unusable of it.
int64_t row_norms(Matrix<const float> x, float* norm2, int threads);

// The two halves of the key, key = bias + scale * product, for n gallery rows.
void key_terms(Metric metric, const float* norm2, int64_t n, float* scale, float* bias);

// Turns products [q, g] into values, in place.
void products_to_values(Matrix<float> block, const float* scale, const float* bias, const float* query_norm2,
                        Metric metric, int threads);

struct Candidate {
    float key;
    int64_t index;
};

// The nearest k of the columns seen so far, for each of `rows` queries.
class Nearest {
  public:
    Nearest(int64_t rows, int64_t k);
    // Columns of one call follow those of the call before: `first` is the gallery index of column 0.
    void add(Matrix<const float> products, const float* scale, const float* bias, int64_t first, int threads);
    // The same for a few queries [rows, d] and gallery rows of float, Float16 or int8_t from `first` on, in one pass
    // over memory: a row is widened, multiplied and ranked while it is in the cache. Returns the first row that is not
    // usable, after which nothing may be read from here, or -1.
    template <class T>
    int64_t add_rows(Matrix<const float> q, Matrix<const T> g, Metric metric, int64_t first, int threads);
    // values, indices [rows, k]; at least k columns must have been added.
    void finish(const float* query_norm2, Metric metric, Matrix<float> values, Matrix<int64_t> indices, int threads);
    int64_t rows() const { return rows_; }
    int64_t k() const { return k_; }
    int64_t seen() const { return seen_; }

  private:
    void take(const Nearest& part);

    int64_t rows_, k_, capacity_, seen_ = 0;
    std::unique_ptr<Candidate[]> pool_;  // [rows, capacity]
    std::vector<int64_t> count_;         // [rows]
    std::vector<float> threshold_;       // [rows] a key must be below it to matter
};

// The GPU twin (distance_cuda.cu). Every entry returns a cudaError_t, 0 for success, and works on `stream` of `device`.
// bad_row [1], which the caller sets to -1, becomes the first row whose norm2 is NaN or above kLargestNorm2.
extern "C" {
int up_cuda_row_norms(Matrix<const float> x, float* norm2, int64_t* bad_row, int device, void* stream);
// out [q, g]
int up_cuda_products(Matrix<const float> q, Matrix<const float> g, Matrix<float> out, int device, void* stream);
int64_t up_cuda_few_queries();
// The same for up to up_cuda_few_queries(), and row_norms(g), in one pass over g, whose row 0 counts as `first`.
int up_cuda_products_and_norms(Matrix<const float> q, Matrix<const float> g, int64_t first, Matrix<float> out,
                               float* norm2, int64_t* bad_row, int device, void* stream);
// out [q, g], which may be the products, of values, or of keys.
int up_cuda_products_to_values(Matrix<const float> products, const float* norm2, const float* query_norm2, int metric,
                               bool keys, Matrix<float> out, int device, void* stream);
int64_t up_cuda_nearest_limit();
// Takes products [q, columns] into lists [q, parts, k], k <= up_cuda_nearest_limit(): each part of the columns of every
// call has a list of its own. Columns of one call follow those of the call before: `first` is the gallery index of
// column 0, and 0 starts the lists. `largest` [q, parts], or null: the largest key. Indices stay below 2^32.
int up_cuda_nearest_add(Matrix<const float> products, const float* norm2, int64_t first, int metric, int64_t parts,
                        int64_t k, int64_t* lists, float* largest, int device, void* stream);
// values, indices [q, k]; at least k columns must have been added.
int up_cuda_nearest_finish(const int64_t* lists, int64_t queries, int64_t parts, int64_t k, const float* query_norm2,
                           int metric, float* values, int64_t* indices, int device, void* stream);
}

}  // namespace unrealperson
