// Reads and checks the attributes and inputs of AwsdetTopBoxes, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_TOP_BOXES_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_TOP_BOXES_ARGUMENTS_H_

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/top_boxes_rule.h"
#include "tensorflow/box_decoding.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {

struct TopBoxesAttributes {
  TopBoxesRule rule;

  Status Read(OpKernelConstruction* context) {
    tensorflow::int64 limit;
    TF_RETURN_IF_ERROR(context->GetAttr("limit", &limit));
    TF_RETURN_IF_ERROR(context->GetAttr("min_size", &rule.min_size));
    if (limit < 1 || limit > std::numeric_limits<int32_t>::max()) {
      return InvalidArgument("top_boxes: limit must be at least 1 and below 2^31, not ", limit);
    }
    rule.limit = limit;
    if (std::isnan(rule.min_size)) return InvalidArgument("top_boxes: min_size is not a number");
    return ReadDecoding(context, "top_boxes", &rule.decoding);
  }
};

// Checks the shapes of a level, given the first one.
inline Status CheckScoredLevel(const Tensor& logits, const Tensor& deltas, const Tensor& first, int level) {
  const std::string number = "[" + std::to_string(level) + "]";
  if (logits.dims() != 3) {
    return InvalidArgument("top_boxes: logits", number, " must be [B, N, C], not ", logits.shape().DebugString());
  }
  if (logits.dim_size(0) != first.dim_size(0) || logits.dim_size(2) != first.dim_size(2)) {
    return InvalidArgument("top_boxes: logits", number, " ", logits.shape().DebugString(), " differs from logits[0] ",
                           first.shape().DebugString(), " in images or classes");
  }
  if (logits.dim_size(1) * logits.dim_size(2) > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument("top_boxes: logits", number, " ", logits.shape().DebugString(),
                           " are too many per image; indices are int32");
  }
  const std::string name = "top_boxes: deltas" + number;
  return CheckShape(name.c_str(), deltas, TensorShape({logits.dim_size(0), logits.dim_size(1), 4}),
                    "[B, N, 4] like logits", number, " ", logits.shape().DebugString());
}

// The inputs and outputs of one call; the lists have one tensor per level.
struct TopBoxesCall {
  using Attributes = TopBoxesAttributes;
  OpInputList logits;  // [B, N, C]
  OpInputList deltas;  // [B, N, 4]
  const Tensor* anchors;
  const Tensor* image_size;
  TopBoxesResult result;

  int64_t images() const { return logits[0].dim_size(0); }
  int64_t classes() const { return logits[0].dim_size(2); }

  Status Read(OpKernelContext* context, const TopBoxesAttributes& attributes) {
    TF_RETURN_IF_ERROR(context->input_list("logits", &logits));
    TF_RETURN_IF_ERROR(context->input_list("deltas", &deltas));
    TF_RETURN_IF_ERROR(context->input("anchors", &anchors));
    TF_RETURN_IF_ERROR(context->input("image_size", &image_size));
    int64_t count = 0, chosen = 0;
    for (int level = 0; level < logits.size(); ++level) {
      TF_RETURN_IF_ERROR(CheckScoredLevel(logits[level], deltas[level], logits[0], level));
      count += logits[level].dim_size(1);
      chosen += std::min(attributes.rule.limit, logits[level].dim_size(1) * classes());
    }
    if (classes() < 1) {
      return InvalidArgument("top_boxes: logits[0] ", logits[0].shape().DebugString(), " has no class");
    }
    TF_RETURN_IF_ERROR(CheckShape("top_boxes: anchors", *anchors, TensorShape({count, 4}), "[N, 4] for the ", count,
                                  " anchors of all levels"));
    TF_RETURN_IF_ERROR(CheckShape("top_boxes: image_size", *image_size, TensorShape({images(), 2}), "[B, 2] for ",
                                  images(), " images"));
    return Allocate(context, chosen);
  }

 private:
  Status Allocate(OpKernelContext* context, int64_t chosen) {
    const TensorShape row({images(), chosen});
    Tensor *boxes, *top_logits, *labels, *levels;
    TF_RETURN_IF_ERROR(context->allocate_output(0, TensorShape({images(), chosen, 4}), &boxes));
    TF_RETURN_IF_ERROR(context->allocate_output(1, row, &top_logits));
    TF_RETURN_IF_ERROR(context->allocate_output(2, row, &labels));
    TF_RETURN_IF_ERROR(context->allocate_output(3, row, &levels));
    result = {boxes->flat<float>().data(), top_logits->flat<float>().data(), labels->flat<int32_t>().data(),
              levels->flat<int32_t>().data()};
    return OkStatus();
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_TOP_BOXES_ARGUMENTS_H_
