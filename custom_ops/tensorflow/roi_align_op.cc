// The operators AwsdetRoiAlign and AwsdetRoiAlignGrad: registration, checks of the arguments, CPU kernels.
#include "kernels/roi_align.h"

#include <string>
#include <vector>

#include "tensorflow/kernel_type.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"
#include "tensorflow/roi_align_arguments.h"

namespace awsdet {
namespace {

// Gets the shape of an input, or an error that names the argument.
Status Ranked(InferenceContext* context, int input, int rank, const std::string& name, ShapeHandle* shape) {
  if (!context->WithRank(context->input(input), rank, shape).ok()) {
    return InvalidArgument("roi_align: ", name, " must have ", rank, " dimensions, not the shape ",
                           context->DebugString(context->input(input)));
  }
  return OkStatus();
}

// Checks boxes and image_index, the inputs `first` and `first + 1`, and gets the number of RoIs.
Status RoisShape(InferenceContext* context, int first, DimensionHandle* count) {
  ShapeHandle boxes, index;
  DimensionHandle four;
  TF_RETURN_IF_ERROR(Ranked(context, first, 2, "boxes", &boxes));
  TF_RETURN_IF_ERROR(Ranked(context, first + 1, 1, "image_index", &index));
  if (!context->WithValue(context->Dim(boxes, 1), 4, &four).ok()) {
    return InvalidArgument("roi_align: boxes must be [R, 4], not ", context->DebugString(boxes));
  }
  if (!context->Merge(context->Dim(boxes, 0), context->Dim(index, 0), count).ok()) {
    return InvalidArgument("roi_align: image_index ", context->DebugString(index), " must have an entry for each of ",
                           "boxes ", context->DebugString(boxes));
  }
  return OkStatus();
}

Status ForwardShape(InferenceContext* context) {
  int levels, size;
  std::vector<float> strides;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &levels));
  TF_RETURN_IF_ERROR(context->GetAttr("output_size", &size));
  TF_RETURN_IF_ERROR(context->GetAttr("strides", &strides));
  if (static_cast<int>(strides.size()) != levels) {
    return InvalidArgument("roi_align: strides has ", strides.size(), " entries for a pyramid of ", levels, " levels");
  }
  DimensionHandle batch = context->UnknownDim(), channels = context->UnknownDim(), count;
  for (int level = 0; level < levels; ++level) {
    ShapeHandle features;
    TF_RETURN_IF_ERROR(Ranked(context, level, 4, "pyramid[" + std::to_string(level) + "]", &features));
    if (!context->Merge(batch, context->Dim(features, 0), &batch).ok() ||
        !context->Merge(channels, context->Dim(features, 3), &channels).ok()) {
      return InvalidArgument("roi_align: pyramid[", level, "] ", context->DebugString(features), " differs from ",
                             "pyramid[0] ", context->DebugString(context->input(0)), " in images or channels");
    }
  }
  TF_RETURN_IF_ERROR(RoisShape(context, levels, &count));
  context->set_output(0, context->MakeShape({count, size, size, channels}));
  return OkStatus();
}

Status GradShape(InferenceContext* context) {
  int levels;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &levels));
  ShapeHandle gradient;
  DimensionHandle count;
  TF_RETURN_IF_ERROR(Ranked(context, 0, 4, "gradient", &gradient));
  TF_RETURN_IF_ERROR(RoisShape(context, 1, &count));
  for (int level = 0; level < levels; ++level) {
    ShapeHandle features;
    TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(3 + level, &features));
    TF_RETURN_IF_ERROR(context->WithRank(features, 4, &features));
    context->set_output(level, features);
  }
  return OkStatus();
}

REGISTER_OP("AwsdetRoiAlign")
    .Input("pyramid: num_levels * T")
    .Input("boxes: float")
    .Input("image_index: int32")
    .Output("pooled: T")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_levels: int >= 1")
    .Attr("strides: list(float) >= 1")
    .Attr("output_size: int >= 1")
    .Attr("finest_scale: float")
    .Attr("sampling_ratio: int >= 0")
    .Attr("aligned: bool")
    .SetShapeFn(ForwardShape)
    .Doc("RoIAlign over a feature pyramid; see awsdet/ops/roi_align.py.");

REGISTER_OP("AwsdetRoiAlignGrad")
    .Input("gradient: T")
    .Input("boxes: float")
    .Input("image_index: int32")
    .Input("shapes: num_levels * int32")
    .Output("pyramid_gradient: num_levels * T")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_levels: int >= 1")
    .Attr("strides: list(float) >= 1")
    .Attr("output_size: int >= 1")
    .Attr("finest_scale: float")
    .Attr("sampling_ratio: int >= 0")
    .Attr("aligned: bool")
    .SetShapeFn(GradShape)
    .Doc("The gradient of AwsdetRoiAlign with respect to its pyramid, whose shapes are given.");

// Checks every image index, because the kernels do not.
Status MakeRois(const RoiAlignArguments& arguments, Rois* rois) {
  *rois = {arguments.boxes->flat<float>().data(), arguments.image_index->flat<int32_t>().data(),
           arguments.boxes->dim_size(0)};
  for (int64_t i = 0; i < rois->count; ++i) {
    if (rois->image[i] < 0 || rois->image[i] >= arguments.batch()) {
      return InvalidArgument("roi_align: image_index[", i, "] is ", rois->image[i], ", but the pyramid holds ",
                             arguments.batch(), " images");
    }
  }
  return OkStatus();
}

template <typename T>
class RoiAlignOp : public OpKernel {
 public:
  explicit RoiAlignOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {}

  void Compute(OpKernelContext* context) override {
    OpInputList features;
    RoiAlignArguments arguments;
    OP_REQUIRES_OK(context, ReadForward(context, attributes_.settings, &features, &arguments));
    Rois rois;
    OP_REQUIRES_OK(context, MakeRois(arguments, &rois));
    std::vector<PyramidLevel<const KernelType<T>>> pyramid;
    for (int i = 0; i < features.size(); ++i) {
      pyramid.push_back({reinterpret_cast<const KernelType<T>*>(features[i].template flat<T>().data()),
                         features[i].dim_size(1), features[i].dim_size(2), attributes_.strides[i]});
    }
    Tensor* pooled;
    OP_REQUIRES_OK(context, context->allocate_output(0, arguments.pooled, &pooled));
    if (pooled->NumElements() == 0) return;
    RoiAlign(pyramid, arguments.channels(), rois, attributes_.settings, WorkerThreads(context),
             reinterpret_cast<KernelType<T>*>(pooled->template flat<T>().data()));
  }

 private:
  const RoiAlignAttributes attributes_;
};

template <typename T>
class RoiAlignGradOp : public OpKernel {
 public:
  explicit RoiAlignGradOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {}

  void Compute(OpKernelContext* context) override {
    const Tensor* gradient;
    RoiAlignArguments arguments;
    OP_REQUIRES_OK(context, ReadGradient(context, attributes_.settings, &gradient, &arguments));
    Rois rois;
    OP_REQUIRES_OK(context, MakeRois(arguments, &rois));
    std::vector<PyramidLevel<KernelType<T>>> pyramid;
    for (size_t i = 0; i < arguments.levels.size(); ++i) {
      const TensorShape& shape = arguments.levels[i];
      Tensor* features;
      OP_REQUIRES_OK(context, context->allocate_output(static_cast<int>(i), shape, &features));
      pyramid.push_back({reinterpret_cast<KernelType<T>*>(features->template flat<T>().data()), shape.dim_size(1),
                         shape.dim_size(2), attributes_.strides[i]});
    }
    RoiAlignGrad(reinterpret_cast<const KernelType<T>*>(gradient->template flat<T>().data()), pyramid,
                 arguments.batch(), arguments.channels(), rois, attributes_.settings, WorkerThreads(context));
  }

 private:
  const RoiAlignAttributes attributes_;
};

#define AWSDET_REGISTER(T)                                                                                    \
  REGISTER_KERNEL_BUILDER(Name("AwsdetRoiAlign").Device(DEVICE_CPU).TypeConstraint<T>("T"),       \
                          RoiAlignOp<T>);                                                                     \
  REGISTER_KERNEL_BUILDER(Name("AwsdetRoiAlignGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"),   \
                          RoiAlignGradOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
