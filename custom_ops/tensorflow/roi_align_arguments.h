// The attributes and shapes that AwsdetRoiAlign and AwsdetRoiAlignGrad check alike on every device.
#ifndef AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_

#include <cmath>
#include <string>
#include <vector>

#include "kernels/roi_align_axis.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace awsdet {

// The attributes that both operators have.
struct RoiAlignAttributes {
  RoiAlignSettings settings;
  std::vector<float> strides;

  explicit RoiAlignAttributes(tensorflow::OpKernelConstruction* context) {
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
                tensorflow::errors::InvalidArgument("roi_align: strides has ", strides.size(),
                                                    " entries for a pyramid of ", levels, " levels"));
    for (const float stride : strides) {
      OP_REQUIRES(context, stride > 0 && std::isfinite(stride),
                  tensorflow::errors::InvalidArgument("roi_align: strides must be positive numbers, not ", stride));
    }
    OP_REQUIRES(context, settings.finest_scale > 0 && std::isfinite(settings.finest_scale),
                tensorflow::errors::InvalidArgument("roi_align: finest_scale must be a positive number, not ",
                                                    settings.finest_scale));
  }
};

// boxes [R, 4] and image_index [R].
inline tensorflow::Status CheckRoiShapes(const tensorflow::TensorShape& boxes, const tensorflow::TensorShape& index) {
  using tensorflow::errors::InvalidArgument;
  if (boxes.dims() != 2 || boxes.dim_size(1) != 4) {
    return InvalidArgument("roi_align: boxes must be [R, 4], not ", boxes.DebugString());
  }
  if (index.dims() != 1 || index.dim_size(0) != boxes.dim_size(0)) {
    return InvalidArgument("roi_align: image_index ", index.DebugString(), " must have an entry for each of boxes ",
                           boxes.DebugString());
  }
  return tensorflow::OkStatus();
}

// All levels must have four dimensions, and agree in images and channels.
inline tensorflow::Status CheckLevel(const tensorflow::TensorShape& shape, const tensorflow::TensorShape& first,
                                     int level) {
  using tensorflow::errors::InvalidArgument;
  const std::string name = "roi_align: pyramid[" + std::to_string(level) + "] " + shape.DebugString();
  if (shape.dims() != 4) return InvalidArgument(name, " must have 4 dimensions");
  if (shape.dim_size(0) != first.dim_size(0) || shape.dim_size(3) != first.dim_size(3)) {
    return InvalidArgument(name, " differs from pyramid[0] ", first.DebugString(), " in images or channels");
  }
  if (shape.dim_size(1) > kMaxExtent || shape.dim_size(2) > kMaxExtent) {
    return InvalidArgument(name, " has a side of more than ", kMaxExtent, " pixels");
  }
  return tensorflow::OkStatus();
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_ROI_ALIGN_ARGUMENTS_H_
