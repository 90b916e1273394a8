// Attributes, checks and outputs of AwsdetNms, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_NMS_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_NMS_ARGUMENTS_H_

#include <cmath>
#include <limits>
#include <string>

#include "kernels/nms.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {

struct NmsAttributes {
  NmsRule rule;
  bool in_order;  // whether the caller promises that the boxes come in order

  Status Read(OpKernelConstruction* context) {
    std::string method;
    tensorflow::int32 max_output;
    TF_RETURN_IF_ERROR(context->GetAttr("method", &method));
    TF_RETURN_IF_ERROR(context->GetAttr("iou_threshold", &rule.iou_threshold));
    TF_RETURN_IF_ERROR(context->GetAttr("score_threshold", &rule.score_threshold));
    TF_RETURN_IF_ERROR(context->GetAttr("sigma", &rule.sigma));
    TF_RETURN_IF_ERROR(context->GetAttr("max_output", &max_output));
    TF_RETURN_IF_ERROR(context->GetAttr("in_order", &in_order));
    rule.max_output = max_output;
    rule.method = method == "hard"     ? NmsMethod::kHard
                  : method == "linear" ? NmsMethod::kLinear
                                       : NmsMethod::kGaussian;
    return Check(method);
  }

 private:
  Status Check(const std::string& method) const {
    if (!(rule.iou_threshold >= 0 && rule.iou_threshold <= 1)) {
      return InvalidArgument("nms: iou_threshold must be in [0, 1], not ", rule.iou_threshold);
    }
    if (std::isnan(rule.score_threshold)) return InvalidArgument("nms: score_threshold is not a number");
    if (rule.method != NmsMethod::kHard && rule.score_threshold < 0) {
      return InvalidArgument("nms: score_threshold must not be negative for method ", method, ", not ",
                             rule.score_threshold);
    }
    if (!(rule.sigma > 0) || std::isinf(rule.sigma)) {
      return InvalidArgument("nms: sigma must be a positive number, not ", rule.sigma);
    }
    if (in_order && rule.method != NmsMethod::kHard) {
      return InvalidArgument("nms: in_order must be false for the soft methods");
    }
    return OkStatus();
  }
};

// The inputs and outputs of one call.
struct NmsCall {
  using Attributes = NmsAttributes;
  const Tensor *boxes, *scores, *classes;
  KeptBoxes kept;

  int64_t images() const { return boxes->dim_size(0); }
  int64_t count() const { return boxes->dim_size(1); }

  Status Read(OpKernelContext* context, const NmsAttributes& attributes) {
    boxes = &context->input(0);
    scores = &context->input(1);
    classes = &context->input(2);
    const auto words = boxes->shape().DebugString();
    if (boxes->dims() != 3 || boxes->dim_size(2) != 4) {
      return InvalidArgument("nms: boxes must be [B, N, 4], not ", words);
    }
    if (count() > std::numeric_limits<int32_t>::max()) {
      return InvalidArgument("nms: boxes has ", count(), " boxes per image; indices are int32");
    }
    const TensorShape wanted({images(), count()});
    TF_RETURN_IF_ERROR(CheckShape("nms: scores", *scores, wanted, "[B, N] like boxes ", words));
    TF_RETURN_IF_ERROR(CheckShape("nms: classes", *classes, wanted, "[B, N] like boxes ", words));
    return Allocate(context, attributes.rule.max_output);
  }

 private:
  Status Allocate(OpKernelContext* context, int64_t max_output) {
    const TensorShape row({images(), max_output}), counts({images()}), corners({images(), max_output, 4});
    const TensorShape* const shapes[] = {&row, &row, &counts, &corners, &row, &row};
    Tensor* outputs[6];
    for (int i = 0; i < 6; ++i) TF_RETURN_IF_ERROR(context->allocate_output(i, *shapes[i], &outputs[i]));
    kept = {outputs[0]->flat<int32_t>().data(), outputs[1]->flat<float>().data(),
            outputs[2]->flat<int32_t>().data(), outputs[3]->flat<float>().data(),
            outputs[4]->flat<int32_t>().data(), outputs[5]->flat<bool>().data()};
    return OkStatus();
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_NMS_ARGUMENTS_H_
