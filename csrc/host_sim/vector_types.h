// CUDA's short vectors, with its sizes and alignments.
#pragma once

#define UP_SIM_VECTORS(T, name)                                                   \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                            \
    struct name##3 { T x, y, z; };                                                \
    struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; }; \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                    \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }            \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

UP_SIM_VECTORS(float, float)
UP_SIM_VECTORS(int, int)
UP_SIM_VECTORS(short, short)
UP_SIM_VECTORS(unsigned short, ushort)
UP_SIM_VECTORS(signed char, char)
UP_SIM_VECTORS(unsigned char, uchar)
UP_SIM_VECTORS(long long, longlong)
UP_SIM_VECTORS(double, double)

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
#undef UP_SIM_VECTORS
