// The 16-bit floats as bits: exact to float32, and back to the nearest (ties to even).
#pragma once

#include <cstdint>
#include <cstring>

#include "tensor.h"

namespace unrealperson {

UP_HOST_DEVICE inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

UP_HOST_DEVICE inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

UP_HOST_DEVICE inline float to_float(float x) { return x; }

UP_HOST_DEVICE inline float to_float(BFloat16 x) { return float_of_bits(static_cast<uint32_t>(x.bits) << 16); }

UP_HOST_DEVICE inline float to_float(Float16 x) {
    // The exponent's bias differs by 112; the multiplication also normalises subnormal numbers.
    const uint32_t magnitude = (x.bits & 0x7fffu) << 13, sign = (x.bits & 0x8000u) << 16;
    const uint32_t scaled = bits_of_float(float_of_bits(magnitude) * float_of_bits((127u + 112u) << 23));
    const uint32_t special = magnitude >= (0x7c00u << 13) ? 0x7f800000u : 0u;  // Inf and NaN
    return float_of_bits(scaled | special | sign);
}

template <class T>
UP_HOST_DEVICE T from_float(float x);

template <>
UP_HOST_DEVICE inline float from_float<float>(float x) {
    return x;
}

template <>
UP_HOST_DEVICE inline BFloat16 from_float<BFloat16>(float x) {
    const uint32_t bits = bits_of_float(x);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return {static_cast<uint16_t>(nan ? 0x7fc0u : rounded)};
}

template <>
UP_HOST_DEVICE inline Float16 from_float<Float16>(float x) {
    const uint32_t bits = bits_of_float(x), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    // Normal numbers: the bias goes down by 112 and 13 bits are rounded away. From 65520 on that gives infinity.
    const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    // Subnormal numbers: adding 0.5 leaves the value, rounded to 2^-24, in the low bits.
    const uint32_t tiny = bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f);
    const uint32_t finite = magnitude < (113u << 23) ? tiny : normal;
    const uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return {static_cast<uint16_t>(sign | (magnitude >= 0x477ff000u ? large : finite))};
}

}  // namespace unrealperson
