// Reads and checks the attributes and inputs of AwsdetRoiAlign and AwsdetRoiAlignGrad, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_

#include <cmath>
#include <vector>

#include "kernels/roi_align_axis.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/pyramid.h"

namespace awsdet {

// Those that both operators have.
struct RoiAlignAttributes {
  RoiAlignSettings settings;
  std::vector<float> strides;

  Status Read(OpKernelConstruction* context) {
    int size, ratio, levels;
    TF_RETURN_IF_ERROR(context->GetAttr("output_size", &size));
    TF_RETURN_IF_ERROR(context->GetAttr("sampling_ratio", &ratio));
    TF_RETURN_IF_ERROR(context->GetAttr("finest_scale", &settings.finest_scale));
    TF_RETURN_IF_ERROR(context->GetAttr("aligned", &settings.aligned));
    TF_RETURN_IF_ERROR(context->GetAttr("strides", &strides));
    TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &levels));
    settings.output_size = size;
    settings.sampling_ratio = ratio;
    if (static_cast<int>(strides.size()) != levels) {
      return InvalidArgument("roi_align: strides has ", strides.size(), " entries for a pyramid of ", levels,
                             " levels");
    }
    for (const float stride : strides) {
      if (!(stride > 0) || std::isinf(stride)) {
        return InvalidArgument("roi_align: strides must be positive numbers, not ", stride);
      }
    }
    if (!(settings.finest_scale > 0) || std::isinf(settings.finest_scale)) {
      return InvalidArgument("roi_align: finest_scale must be a positive number, not ", settings.finest_scale);
    }
    return OkStatus();
  }
};

// The inputs of either operator.
struct RoiAlignCall {
  using Attributes = RoiAlignAttributes;
  Pyramid pyramid;
  const Tensor* boxes;        // [R, 4]
  const Tensor* image_index;  // [R]; its values are not checked
  TensorShape pooled_shape;   // [R, P, P, C]

  // Takes boxes and image_index from the inputs `first` and `first + 1`. The pyramid must be set already.
  Status ReadRois(OpKernelContext* context, int first, const RoiAlignSettings& settings) {
    TF_RETURN_IF_ERROR(pyramid.Check("roi_align", kMaxExtent, "pixels"));
    boxes = &context->input(first);
    image_index = &context->input(first + 1);
    if (boxes->dims() != 2 || boxes->dim_size(1) != 4) {
      return InvalidArgument("roi_align: boxes must be [R, 4], not ", boxes->shape().DebugString());
    }
    if (image_index->shape() != TensorShape({boxes->dim_size(0)})) {
      return InvalidArgument("roi_align: image_index ", image_index->shape().DebugString(),
                             " must have an entry for each of boxes ", boxes->shape().DebugString());
    }
    const int64_t size = settings.output_size;
    return TensorShape::BuildTensorShape({boxes->dim_size(0), size, size, pyramid.channels()}, &pooled_shape);
  }
};

// One call of AwsdetRoiAlign.
struct RoiAlignForward : RoiAlignCall {
  OpInputList features;
  Tensor* pooled;

  Status Read(OpKernelContext* context, const RoiAlignAttributes& attributes) {
    TF_RETURN_IF_ERROR(pyramid.ReadFeatures(context, &features));
    TF_RETURN_IF_ERROR(ReadRois(context, features.size(), attributes.settings));
    return context->allocate_output(0, pooled_shape, &pooled);
  }
};

// One call of AwsdetRoiAlignGrad.
struct RoiAlignBackward : RoiAlignCall {
  const Tensor* gradient;  // [R, P, P, C]
  std::vector<Tensor*> features_gradient;

  Status Read(OpKernelContext* context, const RoiAlignAttributes& attributes) {
    TF_RETURN_IF_ERROR(pyramid.ReadShapes(context));
    TF_RETURN_IF_ERROR(ReadRois(context, 1, attributes.settings));
    gradient = &context->input(0);
    TF_RETURN_IF_ERROR(CheckShape("roi_align: gradient", *gradient, pooled_shape, pooled_shape.DebugString()));
    return pyramid.Allocate(context, &features_gradient);
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_
