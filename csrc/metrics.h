// Ranks of the correct answers and the scores that follow from them (CPU only).
//
// A gallery row is ignored for a query where its bias is +infinity (such rows belong to no query's identity), or where
// it shows the query's identity under the query's camera or under an unknown one; the other rows of that identity are
// the query's matches. The rank of a match is 1
// plus the number of rows not ignored with a smaller (key, gallery index), the key being that of distance.h: counting
// replaces the sort. Keys are compared as integers of the same order, so every path gives the same ranks.
//
// With ranks r_1 < ... < r_m of a query's m matches:
//   first = r_1    precision = (1 / r_1 + ... + m / r_m) / m, summed in float64 in that order    inverse = m / r_m
#pragma once

#include <cstdint>

#include "tensor.h"

namespace unrealperson {

constexpr int64_t kUnknownCamera = -1;

// Below 2^31 rows.
struct GalleryLabels {
    int64_t rows;
    const int64_t* by_identity;  // [rows] gallery rows ordered by (identity, row)
    const int64_t* camera;       // [rows]
};

struct QueryLabels {
    int64_t rows;
    const int64_t* identity;  // [rows, 2] begin and end of the query's identity within by_identity
    const int64_t* camera;    // [rows]
};

// matches[i] = number of matches of query i.
void count_matches(const QueryLabels& query, const GalleryLabels& gallery, int64_t* matches);

struct Scores {
    int64_t* first;         // [rows]; 0 where there is no match
    double* precision;      // [rows]
    double* inverse;        // [rows]
    Matrix<int64_t> hits;   // [rows, k] the nearest rows not ignored, nearest first, -1 where there are fewer
    Matrix<float> hit_key;  // [rows, k] their keys, +infinity where there are fewer
};

// Products of query i and gallery row j, at data[i * query_stride + j * row_stride]; one of the two strides is 1.
struct Products {
    const float* data;
    int64_t query_stride, row_stride;
};

// key = bias + scale * product. Returns the first query with NaN or Inf, whose scores are then meaningless, or -1.
int64_t score_rows(const Products& products, const float* scale, const float* bias, const QueryLabels& query,
                   const GalleryLabels& gallery, const Scores& out, int threads);

}  // namespace unrealperson
