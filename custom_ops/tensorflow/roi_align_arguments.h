// Reads and checks the attributes and inputs of AwsdetRoiAlign and AwsdetRoiAlignGrad, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_

#include <cmath>
#include <string>
#include <vector>

#include "kernels/roi_align_axis.h"
#include "tensorflow/core/framework/tensor_util.h"
#include "tensorflow/op.h"

namespace awsdet {

// The attributes that both operators have.
struct RoiAlignAttributes {
  RoiAlignSettings settings;
  std::vector<float> strides;

  explicit RoiAlignAttributes(OpKernelConstruction* context) {
    int size, ratio, levels;
    OP_REQUIRES_OK(context, context->GetAttr("output_size", &size));
    OP_REQUIRES_OK(context, context->GetAttr("sampling_ratio", &ratio));
    OP_REQUIRES_OK(context, context->GetAttr("finest_scale", &settings.finest_scale));
    OP_REQUIRES_OK(context, context->GetAttr("aligned", &settings.aligned));
    OP_REQUIRES_OK(context, context->GetAttr("strides", &strides));
    OP_REQUIRES_OK(context, context->GetAttr("num_levels", &levels));
    settings.output_size = size;
    settings.sampling_ratio = ratio;
    OP_REQUIRES(context, static_cast<int>(strides.size()) == levels,
                InvalidArgument("roi_align: strides has ", strides.size(), " entries for a pyramid of ", levels,
                                " levels"));
    for (const float stride : strides) {
      OP_REQUIRES(context, stride > 0 && std::isfinite(stride),
                  InvalidArgument("roi_align: strides must be positive numbers, not ", stride));
    }
    OP_REQUIRES(context, settings.finest_scale > 0 && std::isfinite(settings.finest_scale),
                InvalidArgument("roi_align: finest_scale must be a positive number, not ", settings.finest_scale));
  }
};

// The inputs of either operator.
struct RoiAlignArguments {
  std::vector<TensorShape> levels;  // of the pyramid, [B, H_l, W_l, C]
  const Tensor* boxes;              // [R, 4]
  const Tensor* image_index;        // [R]; its values are not checked
  TensorShape pooled;               // [R, P, P, C]

  int64_t batch() const { return levels[0].dim_size(0); }
  int64_t channels() const { return levels[0].dim_size(3); }
};

// Checks that a level has four dimensions, and as many images and channels as the first level.
inline Status CheckLevel(const TensorShape& shape, const TensorShape& first, int level) {
  const std::string name = "roi_align: pyramid[" + std::to_string(level) + "] " + shape.DebugString();
  if (shape.dims() != 4) return InvalidArgument(name, " must have 4 dimensions");
  if (shape.dim_size(0) != first.dim_size(0) || shape.dim_size(3) != first.dim_size(3)) {
    return InvalidArgument(name, " differs from pyramid[0] ", first.DebugString(), " in images or channels");
  }
  if (shape.dim_size(1) > kMaxExtent || shape.dim_size(2) > kMaxExtent) {
    return InvalidArgument(name, " has a side of more than ", kMaxExtent, " pixels");
  }
  return OkStatus();
}

// Takes boxes and image_index from the inputs `first` and `first + 1`. The levels must be set already.
inline Status ReadRois(OpKernelContext* context, int first, const RoiAlignSettings& settings,
                       RoiAlignArguments* arguments) {
  for (size_t i = 0; i < arguments->levels.size(); ++i) {
    TF_RETURN_IF_ERROR(CheckLevel(arguments->levels[i], arguments->levels[0], static_cast<int>(i)));
  }
  const Tensor &boxes = context->input(first), &index = context->input(first + 1);
  if (boxes.dims() != 2 || boxes.dim_size(1) != 4) {
    return InvalidArgument("roi_align: boxes must be [R, 4], not ", boxes.shape().DebugString());
  }
  if (index.shape() != TensorShape({boxes.dim_size(0)})) {
    return InvalidArgument("roi_align: image_index ", index.shape().DebugString(), " must have an entry for each of ",
                           "boxes ", boxes.shape().DebugString());
  }
  arguments->boxes = &boxes;
  arguments->image_index = &index;
  return TensorShape::BuildTensorShape(
      {boxes.dim_size(0), settings.output_size, settings.output_size, arguments->channels()}, &arguments->pooled);
}

// The inputs of AwsdetRoiAlign; `pyramid` holds the feature maps.
inline Status ReadForward(OpKernelContext* context, const RoiAlignSettings& settings, OpInputList* pyramid,
                          RoiAlignArguments* arguments) {
  TF_RETURN_IF_ERROR(context->input_list("pyramid", pyramid));
  for (const Tensor& features : *pyramid) arguments->levels.push_back(features.shape());
  return ReadRois(context, pyramid->size(), settings, arguments);
}

// The inputs of AwsdetRoiAlignGrad; `gradient` [R, P, P, C].
inline Status ReadGradient(OpKernelContext* context, const RoiAlignSettings& settings, const Tensor** gradient,
                           RoiAlignArguments* arguments) {
  OpInputList shapes;
  TF_RETURN_IF_ERROR(context->input_list("shapes", &shapes));
  for (const Tensor& shape : shapes) {
    TF_RETURN_IF_ERROR(tensorflow::tensor::MakeShape(shape, &arguments->levels.emplace_back()));
  }
  TF_RETURN_IF_ERROR(ReadRois(context, 1, settings, arguments));
  *gradient = &context->input(0);
  return CheckShape("roi_align: gradient", **gradient, arguments->pooled, arguments->pooled.DebugString());
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_
