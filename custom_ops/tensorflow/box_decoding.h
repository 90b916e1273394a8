// Reads the attributes by which an operator makes boxes of deltas.
#ifndef AWSDET_TENSORFLOW_BOX_DECODING_H_
#define AWSDET_TENSORFLOW_BOX_DECODING_H_

#include <cmath>
#include <string>
#include <vector>

#include "kernels/box_rule.h"
#include "tensorflow/op.h"

namespace awsdet {

// `name`: of the operator, for the error texts.
inline Status ReadDecoding(OpKernelConstruction* context, const std::string& name, BoxDecoding* decoding) {
  std::vector<float> stds;
  TF_RETURN_IF_ERROR(context->GetAttr("stds", &stds));
  TF_RETURN_IF_ERROR(context->GetAttr("max_log_ratio", &decoding->max_log_ratio));
  if (stds.size() != 4) return InvalidArgument(name, ": stds must be four numbers, not ", stds.size());
  for (int i = 0; i < 4; ++i) {
    if (!(stds[i] > 0) || std::isinf(stds[i])) {
      return InvalidArgument(name, ": stds must be positive numbers, not ", stds[i]);
    }
    decoding->stds[i] = stds[i];
  }
  if (!(decoding->max_log_ratio > 0 && decoding->max_log_ratio <= kLargestLogRatio)) {
    return InvalidArgument(name, ": max_log_ratio must be above 0 and at most ", kLargestLogRatio, ", not ",
                           decoding->max_log_ratio);
  }
  return OkStatus();
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_BOX_DECODING_H_
