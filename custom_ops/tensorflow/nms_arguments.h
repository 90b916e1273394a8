// Checks of AwsdetNms's attributes and shapes, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_NMS_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_NMS_ARGUMENTS_H_

#include <cmath>
#include <limits>
#include <string>

#include "kernels/nms.h"
#include "tensorflow/op.h"

namespace awsdet {

inline Status ReadRule(OpKernelConstruction* context, NmsRule* rule) {
  std::string method;
  tensorflow::int32 max_output;
  TF_RETURN_IF_ERROR(context->GetAttr("method", &method));
  TF_RETURN_IF_ERROR(context->GetAttr("iou_threshold", &rule->iou_threshold));
  TF_RETURN_IF_ERROR(context->GetAttr("score_threshold", &rule->score_threshold));
  TF_RETURN_IF_ERROR(context->GetAttr("sigma", &rule->sigma));
  TF_RETURN_IF_ERROR(context->GetAttr("max_output", &max_output));
  rule->max_output = max_output;
  rule->method = method == "hard"     ? NmsMethod::kHard
                 : method == "linear" ? NmsMethod::kLinear
                                      : NmsMethod::kGaussian;
  if (!(rule->iou_threshold >= 0 && rule->iou_threshold <= 1)) {
    return InvalidArgument("nms: iou_threshold must be in [0, 1], not ", rule->iou_threshold);
  }
  if (std::isnan(rule->score_threshold)) return InvalidArgument("nms: score_threshold is not a number");
  if (rule->method != NmsMethod::kHard && rule->score_threshold < 0) {
    return InvalidArgument("nms: score_threshold must not be negative for method ", method, ", not ",
                           rule->score_threshold);
  }
  if (!(rule->sigma > 0) || std::isinf(rule->sigma)) {
    return InvalidArgument("nms: sigma must be a positive number, not ", rule->sigma);
  }
  return OkStatus();
}

// Whether the caller promises that the boxes come in order.
inline Status ReadOrder(OpKernelConstruction* context, const NmsRule& rule, bool* in_order) {
  TF_RETURN_IF_ERROR(context->GetAttr("in_order", in_order));
  if (*in_order && rule.method != NmsMethod::kHard) {
    return InvalidArgument("nms: in_order must be false for the soft methods");
  }
  return OkStatus();
}

inline Status CheckShapes(const Tensor& boxes, const Tensor& scores, const Tensor& classes) {
  if (boxes.dims() != 3 || boxes.dim_size(2) != 4) {
    return InvalidArgument("nms: boxes must be [B, N, 4], not ", boxes.shape().DebugString());
  }
  if (boxes.dim_size(1) > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument("nms: boxes has ", boxes.dim_size(1), " boxes per image; indices are int32");
  }
  const TensorShape wanted({boxes.dim_size(0), boxes.dim_size(1)});
  TF_RETURN_IF_ERROR(CheckShape("nms: scores", scores, wanted, "[B, N] like boxes ", boxes.shape().DebugString()));
  return CheckShape("nms: classes", classes, wanted, "[B, N] like boxes ", boxes.shape().DebugString());
}

// Allocated results, in the order of the operator's outputs.
struct NmsOutputs {
  Tensor *indices, *scores, *count, *boxes, *classes, *valid;

  Status Allocate(OpKernelContext* context, int64_t images, int64_t max_output) {
    const TensorShape row({images, max_output});
    TF_RETURN_IF_ERROR(context->allocate_output(0, row, &indices));
    TF_RETURN_IF_ERROR(context->allocate_output(1, row, &scores));
    TF_RETURN_IF_ERROR(context->allocate_output(2, TensorShape({images}), &count));
    TF_RETURN_IF_ERROR(context->allocate_output(3, TensorShape({images, max_output, 4}), &boxes));
    TF_RETURN_IF_ERROR(context->allocate_output(4, row, &classes));
    return context->allocate_output(5, row, &valid);
  }
  KeptBoxes kept() const {
    return {indices->flat<int32_t>().data(), scores->flat<float>().data(),    count->flat<int32_t>().data(),
            boxes->flat<float>().data(),     classes->flat<int32_t>().data(), valid->flat<bool>().data()};
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_NMS_ARGUMENTS_H_
