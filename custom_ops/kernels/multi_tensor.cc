#include "kernels/multi_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/low_precision.h"
#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

// About the time of a byte that comes from memory or goes there, in cycles of one thread.
constexpr double kCyclesPerByte = 0.15;

// Calls work(tensor, begin, end, chunk) for every chunk, a range of elements of a tensor, on several threads.
template <typename Tensor, typename Work>
void ForEachChunk(const std::vector<Tensor>& tensors, int64_t bytes_per_element, const ParallelFor& parallel_for,
                  const Work& work) {
  std::vector<int64_t> first = {0};  // number of each tensor's first chunk
  for (const Tensor& tensor : tensors) first.push_back(first.back() + ChunksOf(tensor.size));
  const int64_t cost = std::max<int64_t>(1, static_cast<int64_t>(kCyclesPerByte * bytes_per_element * kChunk));
  parallel_for(first.back(), cost, [&](int64_t begin, int64_t end) {
    size_t t = std::upper_bound(first.begin(), first.end(), begin) - first.begin() - 1;
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      while (chunk >= first[t + 1]) ++t;
      const int64_t from = (chunk - first[t]) * kChunk;
      work(tensors[t], from, std::min(from + kChunk, tensors[t].size), chunk);
    }
  });
}

// Calls work(array of the type) for an array of `type`.
template <typename Work>
auto WithType(FloatType type, const void* values, const Work& work) {
  switch (type) {
    case FloatType::kHalf:
      return work(static_cast<const Half*>(values));
    case FloatType::kBFloat16:
      return work(static_cast<const Bfloat16*>(values));
    default:
      return work(static_cast<const float*>(values));
  }
}

// Only plain functions can be cloned, not templates.
#define AWSDET_CLONED(T)                                                                                         \
  AWSDET_VECTOR_CLONES                                                                                           \
  void SgdChunk(const SgdRule& given, const T* __restrict__ gradient, float* __restrict__ variable,              \
                float* __restrict__ momentum, int64_t size) {                                                    \
    const SgdRule rule = given; /* not in memory that the loop could write */                                    \
    for (int64_t i = 0; i < size; ++i) SgdElement(rule, ToFloat(gradient[i]), variable + i, momentum + i);       \
  }                                                                                                              \
  AWSDET_VECTOR_CLONES                                                                                           \
  void AdamwChunk(const AdamwRule& given, const T* __restrict__ gradient, float* __restrict__ variable,            \
                  float* __restrict__ first, float* __restrict__ second, int64_t size) {                         \
    const AdamwRule rule = given;                                                                                \
    for (int64_t i = 0; i < size; ++i) {                                                                         \
      AdamwElement(rule, ToFloat(gradient[i]), variable + i, first + i, second + i);                             \
    }                                                                                                            \
  }                                                                                                              \
  AWSDET_VECTOR_CLONES                                                                                           \
  void AccumulateChunk(float factor, const T* __restrict__ addend, float* __restrict__ sum, int64_t size) {      \
    for (int64_t i = 0; i < size; ++i) AccumulateElement(factor, ToFloat(addend[i]), sum + i);                   \
  }
AWSDET_CLONED(float)
AWSDET_CLONED(Half)
AWSDET_CLONED(Bfloat16)
#undef AWSDET_CLONED

AWSDET_VECTOR_CLONES
void AverageChunk(float rest, const float* __restrict__ value, float* __restrict__ average, int64_t size) {
  for (int64_t i = 0; i < size; ++i) AverageElement(rest, value[i], average + i);
}

#define AWSDET_CLONED(T)                                                                            \
  AWSDET_VECTOR_CLONES                                                                              \
  void CastChunk(const float* __restrict__ values, T* __restrict__ results, int64_t size) {         \
    for (int64_t i = 0; i < size; ++i) FromFloat(values[i], results + i);                           \
  }
AWSDET_CLONED(Half)
AWSDET_CLONED(Bfloat16)
#undef AWSDET_CLONED

double SumOfLanes(double* lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// The sums of the lanes are vectors, so that they stay in registers. With an array g++ 12 kept them in memory, and 44 M
// elements took 20 ms instead of 8.
using Floats = float __attribute__((vector_size(32)));
using Doubles = double __attribute__((vector_size(64)));
constexpr int kVectors = kLanes / 8;

AWSDET_VECTOR_CLONES
double SumOfSquares(const float* values, int64_t size) {
  Doubles sums[kVectors] = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      Floats some;
      std::memcpy(&some, values + i + 8 * v, sizeof(some));
      const Doubles wide = __builtin_convertvector(some, Doubles);
      sums[v] += wide * wide;
    }
  }
  double lanes[kLanes];
  std::memcpy(lanes, sums, sizeof(lanes));
  for (int l = 0; i + l < size; ++l) lanes[l] += static_cast<double>(values[i + l]) * values[i + l];
  return SumOfLanes(lanes);
}

#define AWSDET_CLONED(T)                                                                                       \
  AWSDET_VECTOR_CLONES                                                                                         \
  void WidenChunk(const T* __restrict__ values, float* __restrict__ results, int64_t size) {                   \
    for (int64_t i = 0; i < size; ++i) results[i] = ToFloat(values[i]);                                        \
  }
AWSDET_CLONED(Half)
AWSDET_CLONED(Bfloat16)
#undef AWSDET_CLONED

// Of a chunk of 16-bit numbers. The copy in float32 stays in the cache.
template <typename T>
double SumOfSquares(const T* values, int64_t size) {
  float wide[kChunk];
  WidenChunk(values, wide, size);
  return SumOfSquares(wide, size);
}

}  // namespace

void SgdUpdate(const std::vector<SgdTensor>& tensors, const SgdRule& rule, const ParallelFor& parallel_for) {
  ForEachChunk(tensors, 20, parallel_for, [&](const SgdTensor& tensor, int64_t begin, int64_t end, int64_t) {
    WithType(tensor.gradient_type, tensor.gradient, [&](const auto* gradient) {
      SgdChunk(rule, gradient + begin, tensor.variable + begin, tensor.momentum + begin, end - begin);
    });
  });
}

void AdamwUpdate(const std::vector<AdamwTensor>& tensors, const AdamwSettings& settings, float learning_rate,
                 float factor, int64_t update, const ParallelFor& parallel_for) {
  const AdamwCorrection correction = CorrectionOf(settings, update);
  ForEachChunk(tensors, 28, parallel_for, [&](const AdamwTensor& tensor, int64_t begin, int64_t end, int64_t) {
    const AdamwRule rule =
        RuleOf(settings, correction, learning_rate, factor, tensor.rate_factor, tensor.weight_decay);
    WithType(tensor.gradient_type, tensor.gradient, [&](const auto* gradient) {
      AdamwChunk(rule, gradient + begin, tensor.variable + begin, tensor.first_moment + begin,
                 tensor.second_moment + begin, end - begin);
    });
  });
}

float GlobalNorm(const std::vector<ConstTensor>& tensors, const ParallelFor& parallel_for) {
  int64_t chunks = 0;
  for (const ConstTensor& tensor : tensors) chunks += ChunksOf(tensor.size);
  std::vector<double> squares(chunks);
  ForEachChunk(tensors, 4, parallel_for, [&](const ConstTensor& tensor, int64_t begin, int64_t end, int64_t chunk) {
    squares[chunk] = WithType(tensor.type, tensor.values,
                              [&](const auto* values) { return SumOfSquares(values + begin, end - begin); });
  });
  double lanes[kLanes] = {};
  for (int64_t chunk = 0; chunk < chunks; ++chunk) lanes[chunk % kLanes] += squares[chunk];
  return static_cast<float>(std::sqrt(SumOfLanes(lanes)));
}

void Accumulate(const std::vector<SumTensor>& tensors, float factor, const ParallelFor& parallel_for) {
  ForEachChunk(tensors, 12, parallel_for, [&](const SumTensor& tensor, int64_t begin, int64_t end, int64_t) {
    WithType(tensor.addend_type, tensor.addend, [&](const auto* addend) {
      AccumulateChunk(factor, addend + begin, tensor.sum + begin, end - begin);
    });
  });
}

void MovingAverage(const std::vector<AverageTensor>& tensors, float decay, const ParallelFor& parallel_for) {
  ForEachChunk(tensors, 12, parallel_for, [&](const AverageTensor& tensor, int64_t begin, int64_t end, int64_t) {
    AverageChunk(1 - decay, tensor.value + begin, tensor.average + begin, end - begin);
  });
}

void SetZero(const std::vector<MutableTensor>& tensors, const ParallelFor& parallel_for) {
  ForEachChunk(tensors, 4, parallel_for, [&](const MutableTensor& tensor, int64_t begin, int64_t end, int64_t) {
    std::fill(tensor.values + begin, tensor.values + end, 0.0f);
  });
}

void Cast(const std::vector<CastTensor>& tensors, FloatType type, const ParallelFor& parallel_for) {
  ForEachChunk(tensors, 6, parallel_for, [&](const CastTensor& tensor, int64_t begin, int64_t end, int64_t) {
    if (type == FloatType::kHalf) {
      CastChunk(tensor.values + begin, static_cast<Half*>(tensor.results) + begin, end - begin);
    } else {
      CastChunk(tensor.values + begin, static_cast<Bfloat16*>(tensor.results) + begin, end - begin);
    }
  });
}

}  // namespace awsdet
