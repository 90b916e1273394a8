// Reads and checks the attributes and inputs of AwsdetTopBoxes, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_TOP_BOXES_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_TOP_BOXES_ARGUMENTS_H_

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/top_boxes_rule.h"
#include "tensorflow/box_decoding.h"
#include "tensorflow/op.h"

namespace awsdet {

inline Status ReadRule(OpKernelConstruction* context, TopBoxesRule* rule) {
  tensorflow::int64 limit;
  TF_RETURN_IF_ERROR(context->GetAttr("limit", &limit));
  TF_RETURN_IF_ERROR(context->GetAttr("min_size", &rule->min_size));
  if (limit < 1 || limit > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument("top_boxes: limit must be at least 1 and below 2^31, not ", limit);
  }
  rule->limit = limit;
  if (std::isnan(rule->min_size)) return InvalidArgument("top_boxes: min_size is not a number");
  return ReadDecoding(context, "top_boxes", &rule->decoding);
}

// The inputs; their lists have one tensor per level.
struct TopBoxesArguments {
  OpInputList logits;  // [B, N, C]
  OpInputList deltas;  // [B, N, 4]
  const Tensor* anchors;
  const Tensor* image_size;
  int64_t chosen;  // M

  int64_t images() const { return logits[0].dim_size(0); }
  int64_t classes() const { return logits[0].dim_size(2); }
};

// Checks the shapes of a level, given the first one.
inline Status CheckLevel(const Tensor& logits, const Tensor& deltas, const Tensor& first, int level) {
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

inline Status ReadArguments(OpKernelContext* context, const TopBoxesRule& rule, TopBoxesArguments* arguments) {
  TF_RETURN_IF_ERROR(context->input_list("logits", &arguments->logits));
  TF_RETURN_IF_ERROR(context->input_list("deltas", &arguments->deltas));
  TF_RETURN_IF_ERROR(context->input("anchors", &arguments->anchors));
  TF_RETURN_IF_ERROR(context->input("image_size", &arguments->image_size));
  int64_t anchors = 0;
  arguments->chosen = 0;
  for (int level = 0; level < arguments->logits.size(); ++level) {
    const Tensor& logits = arguments->logits[level];
    TF_RETURN_IF_ERROR(CheckLevel(logits, arguments->deltas[level], arguments->logits[0], level));
    anchors += logits.dim_size(1);
    arguments->chosen += std::min(rule.limit, logits.dim_size(1) * logits.dim_size(2));
  }
  if (arguments->classes() < 1) {
    return InvalidArgument("top_boxes: logits[0] ", arguments->logits[0].shape().DebugString(), " has no class");
  }
  TF_RETURN_IF_ERROR(CheckShape("top_boxes: anchors", *arguments->anchors, TensorShape({anchors, 4}),
                                "[N, 4] for the ", anchors, " anchors of all levels"));
  return CheckShape("top_boxes: image_size", *arguments->image_size, TensorShape({arguments->images(), 2}),
                    "[B, 2] for ", arguments->images(), " images");
}

// Allocated results, in the order of the operator's outputs.
struct TopBoxesOutputs {
  Tensor *boxes, *logits, *classes, *levels;

  Status Allocate(OpKernelContext* context, const TopBoxesArguments& arguments) {
    const TensorShape row({arguments.images(), arguments.chosen});
    TF_RETURN_IF_ERROR(
        context->allocate_output(0, TensorShape({arguments.images(), arguments.chosen, 4}), &boxes));
    TF_RETURN_IF_ERROR(context->allocate_output(1, row, &logits));
    TF_RETURN_IF_ERROR(context->allocate_output(2, row, &classes));
    return context->allocate_output(3, row, &levels);
  }
  TopBoxesResult result() const {
    return {boxes->flat<float>().data(), logits->flat<float>().data(), classes->flat<int32_t>().data(),
            levels->flat<int32_t>().data()};
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_TOP_BOXES_ARGUMENTS_H_
