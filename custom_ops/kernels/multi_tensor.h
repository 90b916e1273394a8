// One pass over many tensors at once: the updates of SGD and AdamW, the global norm, sums, moving averages, zeros, casts
// to 16 bits.
//
// The tensors of a call are cut into chunks of kChunk elements, the last of a tensor being shorter. Chunks are numbered
// from the first tensor on; an empty tensor has none. CPU and GPU have the same chunks.
//
// Gradients may have 16 bits, each tensor its own type: they are converted to float32 as they are read, which is exact.
#ifndef AWSDET_KERNELS_MULTI_TENSOR_H_
#define AWSDET_KERNELS_MULTI_TENSOR_H_

#include <cstdint>
#include <vector>

#include "kernels/adamw_rule.h"
#include "kernels/float_type.h"
#include "kernels/parallel.h"
#include "kernels/portable.h"

namespace awsdet {

constexpr int64_t kChunk = 8192;
constexpr int kLanes = 128;  // partial sums of a chunk's squares; see GlobalNorm

AWSDET_HOST_DEVICE inline int64_t ChunksOf(int64_t size) { return (size + kChunk - 1) / kChunk; }

struct SgdTensor {
  float* variable;
  float* momentum;
  const void* gradient;
  int64_t size;
  FloatType gradient_type = FloatType::kFloat;
};

struct SgdRule {
  float learning_rate;
  float factor;  // of the gradient
  float momentum;
  float weight_decay;
};

// One element of the rule, each operation rounded to float32.
AWSDET_HOST_DEVICE inline void SgdElement(const SgdRule& rule, float gradient, float* variable, float* momentum) {
  const float step = RoundedAdd(RoundedMultiply(rule.factor, gradient), RoundedMultiply(rule.weight_decay, *variable));
  *momentum = RoundedAdd(RoundedMultiply(rule.momentum, *momentum), step);
  *variable = RoundedAdd(*variable, -RoundedMultiply(rule.learning_rate, *momentum));
}

// momentum = rule.momentum * momentum + (factor * gradient + weight_decay * variable), then
// variable -= learning_rate * momentum. The arrays of a tensor do not overlap, nor do those of two tensors.
void SgdUpdate(const std::vector<SgdTensor>& tensors, const SgdRule& rule, const ParallelFor& parallel_for);

struct AdamwTensor {
  float* variable;
  float* first_moment;
  float* second_moment;
  const void* gradient;
  int64_t size;
  float rate_factor;
  float weight_decay;
  FloatType gradient_type = FloatType::kFloat;
};

// Update number `update`, from 1 on, of AdamW by factor * gradient; see kernels/adamw_rule.h. The arrays of a tensor do
// not overlap, nor do those of two tensors.
void AdamwUpdate(const std::vector<AdamwTensor>& tensors, const AdamwSettings& settings, float learning_rate,
                 float factor, int64_t update, const ParallelFor& parallel_for);

struct ConstTensor {
  const void* values;
  int64_t size;
  FloatType type = FloatType::kFloat;
};

// The L2 norm of all elements together. If one is not finite, the result is infinite or NaN.
//
// Squares are exact and summed in float64, so they do not overflow. The order is fixed, so the result depends on nothing
// but the numbers: in a chunk, lane l sums the elements l, l + kLanes, ...; the lanes are added by halves (l and l + 64,
// l and l + 32, ...); the sums of the chunks are added in the same manner, as if they were elements.
float GlobalNorm(const std::vector<ConstTensor>& tensors, const ParallelFor& parallel_for);

struct SumTensor {
  float* sum;
  const void* addend;
  int64_t size;
  FloatType addend_type = FloatType::kFloat;
};

AWSDET_HOST_DEVICE inline void AccumulateElement(float factor, float addend, float* sum) {
  *sum = RoundedAdd(*sum, RoundedMultiply(factor, addend));
}

// sum += factor * addend.
void Accumulate(const std::vector<SumTensor>& tensors, float factor, const ParallelFor& parallel_for);

struct AverageTensor {
  float* average;
  const float* value;
  int64_t size;
};

// rest: 1 - decay.
AWSDET_HOST_DEVICE inline void AverageElement(float rest, float value, float* average) {
  *average = RoundedAdd(*average, -RoundedMultiply(RoundedAdd(*average, -value), rest));
}

// average -= (average - value) * (1 - decay), the exponential moving average in the order of Keras.
void MovingAverage(const std::vector<AverageTensor>& tensors, float decay, const ParallelFor& parallel_for);

struct MutableTensor {
  float* values;
  int64_t size;
};

void SetZero(const std::vector<MutableTensor>& tensors, const ParallelFor& parallel_for);

struct CastTensor {
  const float* values;
  void* results;
  int64_t size;
};

// results = values, rounded to the nearest number of the type, ties to even. `type` has 16 bits.
void Cast(const std::vector<CastTensor>& tensors, FloatType type, const ParallelFor& parallel_for);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_MULTI_TENSOR_H_
