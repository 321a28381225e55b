// The nearest k by integer products that rule rows out, and float32 products of what is left.
//
// The key of distance.h lies within bounds that cost one integer product (integers.h): a gallery row whose lower bound
// is beyond the k-th nearest key known so far cannot be among the nearest k. All others get their key from the float32
// product of dot.h, so the result is that of comparing every such key, whatever the data: bounds that rule out little
// cost time, never a neighbour.
#pragma once

#include "distance.h"
#include "integers.h"

namespace unrealperson {

// A gallery row is searched for by its features, their integers (packed for tiles as a gallery) and squared lengths.
struct SearchedRows {
    Matrix<const float> features;
    const IntegerRows& integers;
    const float* norm2;
};

// values, indices [q, k] with 1 <= k <= gallery: the nearest of each query, in the order that distance.h states. Unless
// `insist`, gives up and returns false where the bounds rule out too little to be worth it, as a probe of the first
// queries and rows shows.
bool shortlist_topk(Matrix<const float> q, const float* query_norm2, const SearchedRows& gallery, Metric metric,
                    bool insist, Matrix<float> values, Matrix<int64_t> indices, int threads);

// The same for a set against itself. Each pair of different blocks is multiplied once, for both of its directions.
bool shortlist_topk_itself(const SearchedRows& set, Metric metric, bool insist, Matrix<float> values,
                           Matrix<int64_t> indices, int threads);

}  // namespace unrealperson
