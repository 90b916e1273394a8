// The two 16-bit floating-point formats, converted by integer arithmetic, which compilers vectorise for any processor.
// weighted_sum.cc also uses the processor's own conversions of half, if it has them.
#ifndef AWSDET_KERNELS_LOW_PRECISION_H_
#define AWSDET_KERNELS_LOW_PRECISION_H_

#include <cstdint>
#include <cstring>

namespace awsdet {

struct Half {  // IEEE 754 binary16
  uint16_t bits;
};
struct Bfloat16 {  // the upper half of a binary32
  uint16_t bits;
};

inline float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint32_t BitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float ToFloat(float value) { return value; }

inline float ToFloat(Bfloat16 value) { return FloatOfBits(static_cast<uint32_t>(value.bits) << 16); }

inline float ToFloat(Half value) {
  const uint32_t magnitude = (value.bits & 0x7fffu) << 13, sign = (value.bits & 0x8000u) << 16;
  const uint32_t normal = magnitude + (112u << 23);  // from half's exponent bias to that of binary32
  const uint32_t special = magnitude | 0x7f800000u;  // infinity, NaN
  // A subnormal half is the difference of two normal numbers: TensorFlow's threads set subnormal binary32 to zero.
  const uint32_t subnormal = BitsOfFloat(FloatOfBits(magnitude + (113u << 23)) - FloatOfBits(113u << 23));
  const uint32_t finite = magnitude < (1u << 23) ? subnormal : normal;
  return FloatOfBits(sign | (magnitude >= (31u << 23) ? special : finite));
}

inline void FromFloat(float value, float* result) { *result = value; }

// Rounds to the nearest, ties to even. NaN stays NaN.
inline void FromFloat(float value, Bfloat16* result) {
  const uint32_t bits = BitsOfFloat(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  result->bits = static_cast<uint16_t>(nan ? (bits >> 16) | 0x40u : rounded);
}

// Rounds to the nearest, ties to even. Values above the largest half become infinity; NaN stays NaN.
inline void FromFloat(float value, Half* result) {
  const uint32_t bits = BitsOfFloat(value), magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // After adding 1/2 the last bits are a multiple of 2^-24, half's smallest step: the addition rounds.
  const uint32_t subnormal = BitsOfFloat(FloatOfBits(magnitude) + 0.5f) - BitsOfFloat(0.5f);
  const uint32_t finite = magnitude < (113u << 23) ? subnormal : normal;
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  result->bits = static_cast<uint16_t>(sign | (magnitude >= (143u << 23) ? special : finite));
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_LOW_PRECISION_H_
