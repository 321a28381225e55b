// k-reciprocal re-ranking and the Jaccard distance between neighbourhoods (Zhong et al., CVPR 2017), kept sparse.
//
// Each of n rows has a list of its nearest rows, itself among them. With L(i) the first `forward` of row i's list:
//   R(i) = {j in L(i): i in L(j)}, and H(i) the same on the first `half` of each list;
//   E(i) = R(i) and every H(c), c in R(i), that R(i) holds more than two thirds of;
//   V(i, j) = exp(-distance(i, j) / scale(i)) for j in E(i), 0 elsewhere, divided by the row's sum;
//   W(i) = mean of V over the first k2 of row i's list;
//   jaccard(i, j) = 1 - m / (2 - m), m = sum over c of min(W(i, c), W(j, c)).
// Sums run in float64 and in ascending order of columns, so results do not depend on threads and jaccard is symmetric
// to the bit.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor.h"

namespace unrealperson {

constexpr int32_t kNoRow = -1;  // ends a list that is shorter than others

struct ListSizes {
    int64_t forward, half, k2;

    int64_t width() const { return forward > k2 ? forward : k2; }
};

// Rows of two matrices of one width, numbered through: all queries, then all of the gallery.
struct Features {
    Matrix<const float> queries, gallery;

    UP_HOST_DEVICE int64_t rows() const { return queries.rows + gallery.rows; }
    UP_HOST_DEVICE const float* row(int64_t i) const {
        return i < queries.rows ? queries.row(i) : gallery.row(i - queries.rows);
    }
};

// The nearest rows of each, nearest first, with their distances.
struct Lists {
    int64_t width;
    std::vector<int32_t> index;
    std::vector<float> distance;

    const int32_t* rows_of(int64_t i) const { return index.data() + i * width; }
    const float* distances_of(int64_t i) const { return distance.data() + i * width; }
};

// Row i holds index[offset[i] .. offset[i + 1]), ascending, with their values, none of them 0.
struct SparseRows {
    std::vector<int64_t> offset{0};
    std::vector<int32_t> index;
    std::vector<float> value;

    int64_t rows() const { return static_cast<int64_t>(offset.size()) - 1; }
};

// The neighbourhoods W of all rows, and what follows from them.
class Neighborhoods {
  public:
    // index and distance [n, width]; index kNoRow ends a list. scale [n], or null for 1 everywhere; a scale of 0 counts
    // every distance as 0. Throws std::invalid_argument where an index lies beyond n.
    Neighborhoods(Matrix<const int64_t> index, Matrix<const float> distance, const Features& x, const float* scale,
                  ListSizes sizes, int threads);

    int64_t rows() const { return expanded_.rows(); }

    // Turns squared distances [rows of block, gallery] of the rows `first` and on, in place, into
    // (1 - lambda) jaccard + lambda distance / scale. The gallery is the last cols(block) rows; scale belongs to the
    // block.
    void blend(Matrix<float> block, int64_t first, const float* scale, float lambda, int threads) const;

    // How many rows of each have a Jaccard distance below 1 and at most eps, itself included.
    void count_graph(float eps, int64_t* counts, int threads) const;
    // These rows and their distances, nearest first, equal ones ascending; offset [rows + 1] from the counts. The
    // distance to itself is 0.
    void fill_graph(float eps, const int64_t* offset, int32_t* index, float* distance, int threads) const;

    // The row that `blend` would give for a query that joins as row 0, which was left empty (all kNoRow) until now.
    // query [1, d] and gallery [rows - 1, d] in x, distance [rows - 1] to the gallery, overwritten by the result.
    // scale [rows - 1] as constructed, without the query.
    void blend_query(const Features& x, float* distance, const float* scale, float query_scale, float lambda,
                     int threads) const;

  private:
    ListSizes sizes_;
    Lists lists_;
    std::vector<int32_t> half_sets_;  // [n, half], kNoRow ends a set
    SparseRows weights_;              // V
    SparseRows expanded_;             // W
    SparseRows columns_;              // W transposed
};

// largest[i] = max(largest[i], max_j bias[j] + scale[j] * products[i, j])
void raise_to_largest_key(Matrix<const float> products, const float* scale, const float* bias, float* largest,
                          int threads);

// out [cols, rows] = block [rows, cols] transposed
void transpose(Matrix<const float> block, Matrix<float> out, int threads);

}  // namespace unrealperson

// Launchers of rerank_cuda.cu: the same steps on GPU memory, on the caller's device and stream; each returns a
// cudaError_t. rows, index and value triples are sparse rows; where a step makes such rows, a call with a null offset
// counts the entries of each and a second one fills them.
extern "C" {
int up_cuda_half_sets(const int32_t* lists, int64_t rows, int64_t width, int64_t half, int32_t* sets, int device,
                      void* stream);
bool up_cuda_weights_fit(int64_t forward, int64_t half);  // whether up_cuda_weights takes lists of such sizes
int up_cuda_weights(const int32_t* lists, const float* distances, int64_t rows, int64_t width, int64_t forward,
                    int64_t half, const int32_t* half_sets, unrealperson::Matrix<const float> q,
                    unrealperson::Matrix<const float> g, const float* scale, const int64_t* offset, int64_t* counts,
                    int32_t* index, float* value, int device, void* stream);
int up_cuda_expand(const int32_t* lists, int64_t rows, int64_t width, int64_t k2, const int64_t* weights_offset,
                   const int32_t* weights_index, const float* weights_value, const int64_t* offset, int64_t* counts,
                   int32_t* index, float* value, int device, void* stream);
// counts [rows] starts as 0, next [rows] as the offsets of the columns.
int up_cuda_count_columns(const int32_t* index, int64_t entries, int64_t* counts, int device, void* stream);
int up_cuda_fill_columns(const int64_t* offset, const int32_t* index, const float* value, int64_t rows, int64_t* next,
                         int32_t* column_index, float* column_value, int device, void* stream);
// sums [workers, rows] starts and ends as 0, met [workers, rows] is scratch.
int up_cuda_blend(const int64_t* offset, const int32_t* index, const float* value, const int64_t* column_offset,
                  const int32_t* column_index, const float* column_value, int64_t rows, int32_t* sums, int64_t workers,
                  unrealperson::Matrix<float> out, int64_t first, const float* scale, float lambda, int device,
                  void* stream);
int up_cuda_graph(const int64_t* offset, const int32_t* index, const float* value, const int64_t* column_offset,
                  const int32_t* column_index, const float* column_value, int64_t rows, int32_t* sums, int32_t* met,
                  int64_t workers, float eps, const int64_t* graph_offset, int64_t* counts, int32_t* graph_index,
                  float* graph_distance, int device, void* stream);
int up_cuda_sort_rows(const int64_t* offset, const int32_t* index, const float* distance, int64_t rows,
                      int32_t* sorted_index, float* sorted_distance, int device, void* stream);
}
