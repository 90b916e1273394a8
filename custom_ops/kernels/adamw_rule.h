// The rule of AdamW for one element, which CPU and GPU compute in the same operations.
//
// It is that of torch.optim.AdamW. In update t, from 1 on, with the rate and the weight decay of the tensor:
//
//   variable -= rate * weight_decay * variable
//   first = beta_1 * first + (1 - beta_1) * gradient, second = beta_2 * second + (1 - beta_2) * gradient^2
//   variable -= rate * (first / (1 - beta_1^t)) / (sqrt(second / (1 - beta_2^t)) + epsilon)
//
// The moments move as TensorFlow's ResourceApplyAdam moves them: first += (gradient - first) * (1 - beta_1).
#ifndef AWSDET_KERNELS_ADAMW_RULE_H_
#define AWSDET_KERNELS_ADAMW_RULE_H_

#include <cstdint>

#include "kernels/portable.h"

namespace awsdet {

struct AdamwSettings {
  float beta_1;
  float beta_2;
  float epsilon;
};

// What update t makes of rate and epsilon. With root = sqrt(1 - beta_2^t) the last line of the rule is
//   variable -= rate * root / (1 - beta_1^t) * first / (sqrt(second) + root * epsilon)
struct AdamwCorrection {
  float rate;  // a factor
  float epsilon;
};

// base^exponent by squaring. pow() of two libraries may differ in the last bit; products do not.
AWSDET_HOST_DEVICE inline double Power(double base, int64_t exponent) {
  double power = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) power = RoundedMultiply(power, base);
    base = RoundedMultiply(base, base);
  }
  return power;
}

// In float64, since 1 - beta_2^t is a small difference. `update`: t.
AWSDET_HOST_DEVICE inline AdamwCorrection CorrectionOf(const AdamwSettings& settings, int64_t update) {
  const double first = RoundedAdd(1.0, -Power(settings.beta_1, update));
  const double root = RoundedSqrt(RoundedAdd(1.0, -Power(settings.beta_2, update)));
  return {static_cast<float>(RoundedDivide(root, first)),
          static_cast<float>(RoundedMultiply(root, static_cast<double>(settings.epsilon)))};
}

// The numbers of one update of one tensor.
struct AdamwRule {
  float factor;  // of the gradient
  float shrink;  // the share of a variable that decays
  float rest_1;  // 1 - beta_1
  float rest_2;
  float rate;  // corrected, as epsilon
  float epsilon;
};

// rate_factor, weight_decay: of the tensor.
AWSDET_HOST_DEVICE inline AdamwRule RuleOf(const AdamwSettings& settings, const AdamwCorrection& correction,
                                           float learning_rate, float factor, float rate_factor, float weight_decay) {
  const float rate = RoundedMultiply(learning_rate, rate_factor);
  return {factor,
          RoundedMultiply(rate, weight_decay),
          RoundedAdd(1.0f, -settings.beta_1),
          RoundedAdd(1.0f, -settings.beta_2),
          RoundedMultiply(rate, correction.rate),
          correction.epsilon};
}

// Each operation is rounded to float32.
AWSDET_HOST_DEVICE inline void AdamwElement(const AdamwRule& rule, float gradient, float* variable, float* first,
                                            float* second) {
  const float scaled = RoundedMultiply(rule.factor, gradient);
  *first = RoundedAdd(*first, RoundedMultiply(RoundedAdd(scaled, -*first), rule.rest_1));
  *second = RoundedAdd(*second, RoundedMultiply(RoundedAdd(RoundedMultiply(scaled, scaled), -*second), rule.rest_2));
  const float shrunk = RoundedAdd(*variable, -RoundedMultiply(rule.shrink, *variable));
  const float root = RoundedAdd(RoundedSqrt(*second), rule.epsilon);
  *variable = RoundedAdd(shrunk, -RoundedDivide(RoundedMultiply(*first, rule.rate), root));
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ADAMW_RULE_H_
