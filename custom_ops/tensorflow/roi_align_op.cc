// The operators AwsdetRoiAlign and AwsdetRoiAlignGrad: registration, checks of the arguments, CPU kernels.
#include "kernels/roi_align.h"

#include <string>
#include <vector>

#include "tensorflow/kernel.h"
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
  DimensionHandle images, channels, count;
  TF_RETURN_IF_ERROR(MergeLevels(context, "roi_align", levels, &images, &channels));
  TF_RETURN_IF_ERROR(RoisShape(context, levels, &count));
  context->set_output(0, context->MakeShape({count, size, size, channels}));
  return OkStatus();
}

Status GradShape(InferenceContext* context) {
  ShapeHandle gradient;
  DimensionHandle count;
  TF_RETURN_IF_ERROR(Ranked(context, 0, 4, "gradient", &gradient));
  TF_RETURN_IF_ERROR(RoisShape(context, 1, &count));
  return ShapeLevels(context, 3);
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
Status MakeRois(const RoiAlignCall& call, Rois* rois) {
  *rois = {call.boxes->flat<float>().data(), call.image_index->flat<int32_t>().data(), call.boxes->dim_size(0)};
  for (int64_t i = 0; i < rois->count; ++i) {
    if (rois->image[i] < 0 || rois->image[i] >= call.pyramid.images()) {
      return InvalidArgument("roi_align: image_index[", i, "] is ", rois->image[i], ", but the pyramid holds ",
                             call.pyramid.images(), " images");
    }
  }
  return OkStatus();
}

template <typename T>
Status RunRoiAlign(OpKernelContext* context, const RoiAlignAttributes& attributes, const RoiAlignForward& call) {
  Rois rois;
  TF_RETURN_IF_ERROR(MakeRois(call, &rois));
  std::vector<PyramidLevel<const KernelType<T>>> levels;
  for (int i = 0; i < call.pyramid.size(); ++i) {
    levels.push_back({KernelData<T>(call.features[i]), call.pyramid.height(i), call.pyramid.width(i),
                      attributes.strides[i]});
  }
  if (call.pooled->NumElements() == 0) return OkStatus();
  RoiAlign(levels, call.pyramid.channels(), rois, attributes.settings, WorkerThreads(context),
           KernelData<T>(call.pooled));
  return OkStatus();
}

template <typename T>
Status RunRoiAlignGrad(OpKernelContext* context, const RoiAlignAttributes& attributes, const RoiAlignBackward& call) {
  Rois rois;
  TF_RETURN_IF_ERROR(MakeRois(call, &rois));
  const Pyramid& pyramid = call.pyramid;
  std::vector<PyramidLevel<KernelType<T>>> levels;
  for (int i = 0; i < pyramid.size(); ++i) {
    levels.push_back({KernelData<T>(call.features_gradient[i]), pyramid.height(i), pyramid.width(i),
                      attributes.strides[i]});
  }
  RoiAlignGrad(KernelData<T>(*call.gradient), levels, pyramid.images(), pyramid.channels(), rois, attributes.settings,
               WorkerThreads(context));
  return OkStatus();
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetRoiAlign").Device(DEVICE_CPU), RoiAlignForward, RunRoiAlign)
AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetRoiAlignGrad").Device(DEVICE_CPU), RoiAlignBackward, RunRoiAlignGrad)

}  // namespace
}  // namespace awsdet
