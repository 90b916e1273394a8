// Attributes, checks and outputs of AwsdetAnchors, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_ANCHORS_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_ANCHORS_ARGUMENTS_H_

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/anchors.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {

struct AnchorsAttributes {
  AnchorProblem rule;  // all but the levels' sizes

  Status Read(OpKernelConstruction* context);
};

// The inputs and outputs of one call.
struct AnchorsCall {
  using Attributes = AnchorsAttributes;
  AnchorProblem problem;
  const Tensor* image_size;
  Tensor *boxes, *valid;

  // The inputs are sizes [L, 2], in host memory, and image_size [B, 2].
  Status Read(OpKernelContext* context, const AnchorsAttributes& attributes);

 private:
  Status SetSizes(const Tensor& sizes);
};

inline Status AnchorsAttributes::Read(OpKernelConstruction* context) {
  std::vector<tensorflow::int32> strides;
  std::vector<float> shapes;
  tensorflow::int32 pad_multiple;
  TF_RETURN_IF_ERROR(context->GetAttr("strides", &strides));
  TF_RETURN_IF_ERROR(context->GetAttr("shapes", &shapes));
  TF_RETURN_IF_ERROR(context->GetAttr("pad_multiple", &pad_multiple));
  TF_RETURN_IF_ERROR(context->GetAttr("allowed_border", &rule.allowed_border));
  const size_t levels = strides.size();
  if (levels < 1 || levels > kMostAnchorLevels) {
    return InvalidArgument("anchors: strides must name 1 to ", kMostAnchorLevels, " levels, not ", levels);
  }
  if (shapes.empty() || shapes.size() % (4 * levels) != 0 || shapes.size() > 4 * kMostAnchorShapes) {
    return InvalidArgument("anchors: shapes must be 4 numbers for each shape of each of ", levels, " levels, for at most ",
                           kMostAnchorShapes, " shapes in all; got ", shapes.size(), " numbers");
  }
  rule = {static_cast<int32_t>(levels), static_cast<int32_t>(shapes.size() / 4 / levels), pad_multiple,
          rule.allowed_border, {}, {}, {}, {}, {}};
  for (size_t level = 0; level < levels; ++level) {
    if (strides[level] < 1) return InvalidArgument("anchors: strides must be positive, not ", strides[level]);
    rule.stride[level] = strides[level];
  }
  for (size_t i = 0; i < shapes.size() / 4; ++i) {
    rule.shape[i] = {shapes[4 * i], shapes[4 * i + 1], shapes[4 * i + 2], shapes[4 * i + 3]};
  }
  return OkStatus();
}

inline Status AnchorsCall::SetSizes(const Tensor& sizes) {
  const auto cells = sizes.matrix<int32_t>();
  problem.first[0] = 0;
  for (int32_t level = 0; level < problem.levels; ++level) {
    const int64_t height = cells(level, 0), width = cells(level, 1);
    // Of the anchors' number, so that this does not overflow.
    if (height < 0 || width < 0 || height * width > std::numeric_limits<int32_t>::max() / problem.per_cell) {
      return InvalidArgument("anchors: a level has ", height, " x ", width, " cells");
    }
    problem.height[level] = cells(level, 0);
    problem.width[level] = cells(level, 1);
    problem.first[level + 1] = problem.first[level] + height * width * problem.per_cell;
  }
  if (problem.Count() > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument("anchors: ", problem.Count(), " anchors are too many; indices are int32");
  }
  return OkStatus();
}

inline Status AnchorsCall::Read(OpKernelContext* context, const AnchorsAttributes& attributes) {
  problem = attributes.rule;
  const Tensor& sizes = context->input(0);
  image_size = &context->input(1);
  TF_RETURN_IF_ERROR(CheckShape("anchors: sizes", sizes, {problem.levels, 2}, "[L, 2] for ", problem.levels,
                                " strides"));
  if (image_size->dims() != 2 || image_size->dim_size(1) != 2) {
    return InvalidArgument("anchors: image_size must be [B, 2], not ", image_size->shape().DebugString());
  }
  TF_RETURN_IF_ERROR(SetSizes(sizes));
  TF_RETURN_IF_ERROR(context->allocate_output(0, TensorShape({problem.Count(), 4}), &boxes));
  return context->allocate_output(1, TensorShape({image_size->dim_size(0), problem.Count()}), &valid);
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_ANCHORS_ARGUMENTS_H_
