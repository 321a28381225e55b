// Products of integer vectors, a tile at a time.
//
// Vectors are packed in groups of adjacent rows: word w of row r of a group lies at [w * rows_of_group + r], a word
// being four 8-bit or two 16-bit elements of one row. 8-bit elements of a gallery group are stored with 128 added,
// because the multiplier takes unsigned times signed; the caller takes 128 times the query's sum of elements off again.
#pragma once

#include <cstdint>

namespace unrealperson {

constexpr int kTileQueries = 6, kTileGallery = 64;  // rows of a group on either side: 24 sums of 16 lanes, in registers

// out [kTileQueries, kTileGallery] = products of one group of queries with one group of the gallery.
using TileProduct = void (*)(const int32_t* queries, const int32_t* gallery, int64_t words, int32_t* out);

// For elements of 8 or 16 bits, on the instruction set in use. All give the same integers where no sum leaves int32.
TileProduct tile_product(int bits);

// Whether this machine multiplies integers in one instruction, and so much faster than floats.
bool has_fast_integers();

}  // namespace unrealperson
