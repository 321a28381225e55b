#include <cstring>

#include "simd.h"
#include "tile.h"

#if defined(__x86_64__)
#    include <immintrin.h>
#endif

namespace unrealperson {
namespace {

template <class Query, class Element>
void product_scalar(const int32_t* queries, const int32_t* gallery, int64_t words, int32_t* out) {
    constexpr int elements = 4 / sizeof(Element);
    std::memset(out, 0, sizeof(int32_t) * kTileQueries * kTileGallery);
    for (int64_t w = 0; w < words; ++w)
        for (int i = 0; i < kTileQueries; ++i)
            for (int j = 0; j < kTileGallery; ++j) {
                Query a[elements];
                Element b[elements];
                std::memcpy(a, queries + w * kTileQueries + i, sizeof a);
                std::memcpy(b, gallery + w * kTileGallery + j, sizeof b);
                for (int e = 0; e < elements; ++e) out[i * kTileGallery + j] += a[e] * b[e];
            }
}

#if defined(__x86_64__)

// 16-bit pairs are what AVX2 multiplies and adds without saturation, so 8-bit elements are widened first.
__attribute__((target("avx2"))) void product8_avx2(const int32_t* queries, const int32_t* gallery, int64_t words,
                                                   int32_t* out) {
    for (int first = 0; first < kTileGallery; first += 8) {
        __m256i sum[kTileQueries][2] = {};
        for (int64_t w = 0; w < words; ++w) {
            const auto* packed = reinterpret_cast<const __m128i*>(gallery + w * kTileGallery + first);
            const __m256i low = _mm256_cvtepu8_epi16(_mm_loadu_si128(packed));
            const __m256i high = _mm256_cvtepu8_epi16(_mm_loadu_si128(packed + 1));
            for (int i = 0; i < kTileQueries; ++i) {
                const __m256i query = _mm256_cvtepi8_epi16(_mm_set1_epi32(queries[w * kTileQueries + i]));
                sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(low, query));
                sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(high, query));
            }
        }
        for (int i = 0; i < kTileQueries; ++i) {
            const __m256i pairs = _mm256_hadd_epi32(sum[i][0], sum[i][1]);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i * kTileGallery + first),
                                _mm256_permute4x64_epi64(pairs, 0xd8));
        }
    }
}

__attribute__((target("avx2"))) void product16_avx2(const int32_t* queries, const int32_t* gallery, int64_t words,
                                                    int32_t* out) {
    for (int first = 0; first < kTileGallery; first += 16) {
        __m256i sum[kTileQueries][2] = {};
        for (int64_t w = 0; w < words; ++w) {
            const auto* packed = reinterpret_cast<const __m256i*>(gallery + w * kTileGallery + first);
            const __m256i low = _mm256_loadu_si256(packed), high = _mm256_loadu_si256(packed + 1);
            for (int i = 0; i < kTileQueries; ++i) {
                const __m256i query = _mm256_set1_epi32(queries[w * kTileQueries + i]);
                sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(low, query));
                sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(high, query));
            }
        }
        for (int i = 0; i < kTileQueries; ++i)
            for (int half = 0; half < 2; ++half)
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i * kTileGallery + first + 8 * half),
                                    sum[i][half]);
    }
}

#    define UP_VNNI __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512vnni")))

UP_VNNI UP_INLINE __m512i add_products(__m512i sum, __m512i gallery, __m512i query, bool wide) {
    return wide ? _mm512_dpwssd_epi32(sum, gallery, query) : _mm512_dpbusd_epi32(sum, gallery, query);
}

template <bool wide>
UP_VNNI void product_vnni(const int32_t* queries, const int32_t* gallery, int64_t words, int32_t* out) {
    constexpr int parts = kTileGallery / 16;
    __m512i sum[kTileQueries][parts];
#    pragma GCC unroll 6
    for (int i = 0; i < kTileQueries; ++i)
#    pragma GCC unroll 4
        for (int part = 0; part < parts; ++part) sum[i][part] = _mm512_setzero_si512();
    for (int64_t w = 0; w < words; ++w, queries += kTileQueries, gallery += kTileGallery) {
        __m512i packed[parts];
#    pragma GCC unroll 4
        for (int part = 0; part < parts; ++part) packed[part] = _mm512_loadu_si512(gallery + 16 * part);
#    pragma GCC unroll 6
        for (int i = 0; i < kTileQueries; ++i) {
            const __m512i query = _mm512_set1_epi32(queries[i]);
#    pragma GCC unroll 4
            for (int part = 0; part < parts; ++part)
                sum[i][part] = add_products(sum[i][part], packed[part], query, wide);
        }
    }
#    pragma GCC unroll 6
    for (int i = 0; i < kTileQueries; ++i)
#    pragma GCC unroll 4
        for (int part = 0; part < parts; ++part) _mm512_storeu_si512(out + i * kTileGallery + 16 * part, sum[i][part]);
}

bool has_vnni() { return isa_in_use() == Isa::avx512 && __builtin_cpu_supports("avx512vnni"); }

#endif

}  // namespace

bool has_fast_integers() {
#if defined(__x86_64__)
    return has_vnni();
#else
    return false;
#endif
}

TileProduct tile_product(int bits) {
#if defined(__x86_64__)
    if (has_vnni()) return bits == 8 ? product_vnni<false> : product_vnni<true>;
    if (isa_in_use() != Isa::scalar) return bits == 8 ? product8_avx2 : product16_avx2;
#endif
    return bits == 8 ? product_scalar<int8_t, uint8_t> : product_scalar<int16_t, int16_t>;
}

}  // namespace unrealperson
