#include "kernels/weighted_sum.h"

#include <algorithm>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/vector_clones.h"

// With a fused multiply-add each step is rounded once instead of twice. The order of additions is the same in each
// clone.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=fast", "unroll-loops")
#endif

#define AWSDET_INLINE inline __attribute__((always_inline))

namespace awsdet {
namespace {

constexpr int64_t kMostTerms = 8;  // per pass over the result; for more terms there are several passes

// result[i] (+)= sum over the N rows. It is one expression, so that the compiler keeps sums and weights in registers.
template <int N, bool kAdd, typename T>
AWSDET_INLINE void Sum(const T* __restrict rows, int64_t stride, int64_t length, const float* weights,
                       float* __restrict result) {
  float weight[N];
  for (int k = 0; k < N; ++k) weight[k] = weights[k];
  for (int64_t i = 0; i < length; ++i) {
    float sum = weight[0] * ToFloat(rows[i]);
    for (int k = 1; k < N; ++k) sum += weight[k] * ToFloat(rows[k * stride + i]);
    result[i] = kAdd ? result[i] + sum : sum;
  }
}

#ifdef AWSDET_HAS_VECTOR_CLONES
// Converts half with F16C's instructions, kHalves at a time; GCC 12 does not use them by itself. Operations and their
// order are those of `Sum`, so the bits are those of its clones with fused multiply-add.
#define AWSDET_F16C __attribute__((target("avx2,fma,f16c")))

constexpr int64_t kHalves = 8;

bool HasF16c() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

struct HalfByF16c {
  uint16_t bits;
};

AWSDET_F16C AWSDET_INLINE __m256 Load(const HalfByF16c* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

// `length` is a multiple of kHalves.
template <int N, bool kAdd>
AWSDET_F16C void Sum(const HalfByF16c* rows, int64_t stride, int64_t length, const float* weights, float* result) {
  __m256 weight[N];
  for (int k = 0; k < N; ++k) weight[k] = _mm256_set1_ps(weights[k]);
  for (int64_t i = 0; i < length; i += kHalves) {
    __m256 sum = weight[0] * Load(rows + i);
    for (int k = 1; k < N; ++k) sum += weight[k] * Load(rows + k * stride + i);
    if (kAdd) sum = _mm256_loadu_ps(result + i) + sum;
    _mm256_storeu_ps(result + i, sum);
  }
}

// `count` is a multiple of kHalves.
AWSDET_F16C void RoundByF16c(const float* values, int64_t count, Half* result) {
  for (int64_t i = 0; i < count; i += kHalves) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(result + i), halves);
  }
}
#endif

template <bool kAdd, typename T>
AWSDET_INLINE void SumOf(int64_t count, const T* rows, int64_t stride, int64_t length, const float* weights,
                         float* result) {
  switch (count) {
    case 1: return Sum<1, kAdd>(rows, stride, length, weights, result);
    case 2: return Sum<2, kAdd>(rows, stride, length, weights, result);
    case 3: return Sum<3, kAdd>(rows, stride, length, weights, result);
    case 4: return Sum<4, kAdd>(rows, stride, length, weights, result);
    case 5: return Sum<5, kAdd>(rows, stride, length, weights, result);
    case 6: return Sum<6, kAdd>(rows, stride, length, weights, result);
    case 7: return Sum<7, kAdd>(rows, stride, length, weights, result);
    case 8: return Sum<8, kAdd>(rows, stride, length, weights, result);
  }
}

template <bool kAdd, typename T>
AWSDET_INLINE void SumsOf(const T* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans,
                          float* result) {
  for (int64_t i = 0; i < num_spans; ++i, result += length) {
    const Span& span = spans[i];
    const T* first = rows + span.first * stride;
    int64_t done = std::min(span.count, kMostTerms);
    if (!kAdd && done == 0) std::fill_n(result, length, 0.0f);
    SumOf<kAdd>(done, first, stride, length, span.weights, result);
    for (; done < span.count; done += kMostTerms) {
      const int64_t count = std::min(span.count - done, kMostTerms);
      SumOf<true>(count, first + done * stride, stride, length, span.weights + done, result);
    }
  }
}

template <typename T>
AWSDET_INLINE void RoundAll(const float* __restrict values, int64_t count, T* __restrict result) {
  for (int64_t i = 0; i < count; ++i) FromFloat(values[i], result + i);
}

// Only plain functions can be cloned, not templates.
#define AWSDET_CLONED_SUMS(name, add, T)                                                                       \
  AWSDET_VECTOR_CLONES void name(const T* rows, int64_t stride, int64_t length, const Span* spans,             \
                                 int64_t num_spans, float* result) {                                           \
    SumsOf<add>(rows, stride, length, spans, num_spans, result);                                               \
  }
AWSDET_CLONED_SUMS(SumsOfFloat, false, float)
AWSDET_CLONED_SUMS(SumsOfHalf, false, Half)
AWSDET_CLONED_SUMS(SumsOfBfloat16, false, Bfloat16)
AWSDET_CLONED_SUMS(AddSumsOfFloat, true, float)
#undef AWSDET_CLONED_SUMS

AWSDET_VECTOR_CLONES void RoundToHalfByBits(const float* values, int64_t count, Half* result) {
  RoundAll(values, count, result);
}
void RoundToHalf(const float* values, int64_t count, Half* result) {
#ifdef AWSDET_HAS_VECTOR_CLONES
  if (HasF16c() && count % kHalves == 0) return RoundByF16c(values, count, result);
#endif
  RoundToHalfByBits(values, count, result);
}
AWSDET_VECTOR_CLONES void RoundToBfloat16(const float* values, int64_t count, Bfloat16* result) {
  RoundAll(values, count, result);
}

void Copy(const void* values, size_t bytes, bool stream, void* result) {
#if defined(__SSE2__)
  constexpr size_t kVector = sizeof(__m128i);
  if (stream && reinterpret_cast<uintptr_t>(result) % kVector == 0) {
    const auto* from = static_cast<const __m128i*>(values);
    auto* to = static_cast<__m128i*>(result);
    for (size_t i = 0; i < bytes / kVector; ++i) _mm_stream_si128(to + i, _mm_loadu_si128(from + i));
    values = from + bytes / kVector;
    result = to + bytes / kVector;
    bytes %= kVector;
  }
#endif
  std::memcpy(result, values, bytes);
}

template <typename T>
void StoreRounded(void (*round)(const float*, int64_t, T*), const float* values, int64_t count, bool stream,
                  T* result) {
  constexpr int64_t kPart = 2048;
  T rounded[kPart];
  for (int64_t done = 0; done < count; done += kPart) {
    const int64_t part = std::min(count - done, kPart);
    round(values + done, part, rounded);
    Copy(rounded, part * sizeof(T), stream, result + done);
  }
}

}  // namespace

template <>
void WeightedSums(const float* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans,
                  float* result) {
  SumsOfFloat(rows, stride, length, spans, num_spans, result);
}
template <>
void WeightedSums(const Half* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans,
                  float* result) {
#ifdef AWSDET_HAS_VECTOR_CLONES
  if (HasF16c() && length % kHalves == 0) {
    return SumsOf<false>(reinterpret_cast<const HalfByF16c*>(rows), stride, length, spans, num_spans, result);
  }
#endif
  SumsOfHalf(rows, stride, length, spans, num_spans, result);
}
template <>
void WeightedSums(const Bfloat16* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans,
                  float* result) {
  SumsOfBfloat16(rows, stride, length, spans, num_spans, result);
}

void AddWeightedSums(const float* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans,
                     float* result) {
  AddSumsOfFloat(rows, stride, length, spans, num_spans, result);
}

template <>
void Store(const float* values, int64_t count, bool stream, float* result) {
  Copy(values, count * sizeof(float), stream, result);
}
template <>
void Store(const float* values, int64_t count, bool stream, Half* result) {
  StoreRounded(RoundToHalf, values, count, stream, result);
}
template <>
void Store(const float* values, int64_t count, bool stream, Bfloat16* result) {
  StoreRounded(RoundToBfloat16, values, count, stream, result);
}

void StoreZeros(int64_t bytes, bool stream, void* result) {
  constexpr int64_t kPart = 4096;
  alignas(64) static const char zeros[kPart] = {};
  for (int64_t done = 0; done < bytes; done += kPart) {
    Copy(zeros, std::min(bytes - done, kPart), stream, static_cast<char*>(result) + done);
  }
}

void FinishStreaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace awsdet
