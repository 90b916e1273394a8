// The scale and the offset of a channel, with the same float32 operations on CPU and GPU.
#ifndef AWSDET_KERNELS_AFFINE_RULE_H_
#define AWSDET_KERNELS_AFFINE_RULE_H_

#include <cmath>
#include <cstdint>

#include "kernels/portable.h"

namespace awsdet {

// What belongs to each of C channels: a bias, or the parameters and the stored statistics of a batch norm.
struct AffineParameters {
  const float* gamma;     // [C]; null: there is only a bias
  const float* beta;      // [C]; the bias, if there is no gamma
  const float* mean;      // [C]; used with gamma only
  const float* variance;  // [C]; used with gamma only
  float epsilon;
};

// Square root and quotient are rounded as IEEE 754 says, on either processor.
AWSDET_HOST_DEVICE inline float InverseDeviation(const AffineParameters& parameters, int64_t channel) {
  return 1.0f / sqrtf(RoundedAdd(parameters.variance[channel], parameters.epsilon));
}

AWSDET_HOST_DEVICE inline float ScaleOf(const AffineParameters& parameters, int64_t channel) {
  if (parameters.gamma == nullptr) return 1.0f;
  return RoundedMultiply(parameters.gamma[channel], InverseDeviation(parameters, channel));
}

// `scale` is that of the channel.
AWSDET_HOST_DEVICE inline float OffsetOf(const AffineParameters& parameters, int64_t channel, float scale) {
  if (parameters.gamma == nullptr) return parameters.beta[channel];
  return RoundedAdd(parameters.beta[channel], -RoundedMultiply(parameters.mean[channel], scale));
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_AFFINE_RULE_H_
