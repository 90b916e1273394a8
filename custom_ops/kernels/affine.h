// A scale and an offset per channel, then a residual, then ReLU, in one pass over memory; and the gradients, in another.
//
// Arrays of features are [rows, C] without gaps. T is float, Half or Bfloat16; all arithmetic is float32, and each result
// is rounded to T once. Results may be written over the features, the residual or the upstream gradient.
#ifndef AWSDET_KERNELS_AFFINE_H_
#define AWSDET_KERNELS_AFFINE_H_

#include <cstdint>

#include "kernels/affine_rule.h"
#include "kernels/low_precision.h"
#include "kernels/parallel.h"

namespace awsdet {

struct AffineSize {
  int64_t rows;
  int64_t channels;
};

// outputs = features * scale + offset + residual, and 0 instead of negative numbers if `relu`. NaN stays NaN.
// `residual` may be null.
template <typename T>
void Affine(const AffineSize& size, const AffineParameters& parameters, const T* features, const T* residual, bool relu,
            const ParallelFor& parallel, T* outputs);

// Reads and writes of the gradient; see AffineGrad.
template <typename T>
struct AffineGradient {
  const T* upstream;
  const T* outputs;         // of Affine with ReLU; null without ReLU
  const T* features;        // null unless gamma_gradient is wanted
  T* features_gradient;     // null if it is not wanted
  T* residual_gradient;     // null if it is not wanted; without gamma it is the gradient of the features
  float* gamma_gradient;    // [C]; null if it is not wanted
  float* beta_gradient;     // [C]; of beta or of the bias; null if it is not wanted
};

// The gradient g of what ReLU got is `upstream`, or 0 wherever the outputs are not positive. Then
//   gradient of the features: g * scale; of the residual: g; of beta: sum of g over the rows;
//   of gamma: sum of g * (features - mean), divided by the standard deviation.
// The order of each sum depends on the size alone, so results do not depend on the number of threads. gamma_gradient is
// wanted only together with beta_gradient.
template <typename T>
void AffineGrad(const AffineSize& size, const AffineParameters& parameters, const AffineGradient<T>& gradient,
                const ParallelFor& parallel);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_AFFINE_H_
