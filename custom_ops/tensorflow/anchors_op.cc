// Registration of AwsdetAnchors, and its CPU kernel.
#include "tensorflow/anchors_arguments.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

Status AnchorsShape(InferenceContext* context) {
  std::vector<tensorflow::int32> strides;
  std::vector<float> shapes;
  TF_RETURN_IF_ERROR(context->GetAttr("strides", &strides));
  TF_RETURN_IF_ERROR(context->GetAttr("shapes", &shapes));
  const int64_t levels = strides.size();
  ShapeHandle sizes, image_size;
  if (!context->Merge(context->input(0), context->Matrix(levels, 2), &sizes).ok()) {
    return InvalidArgument("anchors: sizes must be [L, 2] for ", levels, " strides, not ",
                           context->DebugString(context->input(0)));
  }
  if (!context->Merge(context->input(1), context->Matrix(context->UnknownDim(), 2), &image_size).ok()) {
    return InvalidArgument("anchors: image_size must be [B, 2], not ", context->DebugString(context->input(1)));
  }
  DimensionHandle count = context->UnknownDim();
  const Tensor* known = context->input_tensor(0);
  if (known != nullptr && levels > 0) {
    int64_t anchors = 0;
    for (int64_t level = 0; level < levels; ++level) {
      const int64_t cells = int64_t{known->matrix<int32_t>()(level, 0)} * known->matrix<int32_t>()(level, 1);
      anchors += cells * (shapes.size() / 4 / levels);
    }
    if (anchors >= 0) count = context->MakeDim(anchors);
  }
  context->set_output(0, context->Matrix(count, 4));
  context->set_output(1, context->Matrix(context->Dim(image_size, 0), count));
  return OkStatus();
}

REGISTER_OP("AwsdetAnchors")
    .Input("sizes: int32")
    .Input("image_size: int32")
    .Output("boxes: float")
    .Output("valid: bool")
    .Attr("strides: list(int)")
    .Attr("shapes: list(float)")
    .Attr("pad_multiple: int >= 1")
    .Attr("allowed_border: float")
    .SetShapeFn(AnchorsShape);

Status RunAnchors(OpKernelContext* context, const AnchorsAttributes&, const AnchorsCall& call) {
  Anchors(call.problem, call.image_size->flat<int32_t>().data(), call.image_size->dim_size(0), WorkerThreads(context),
          call.boxes->flat<float>().data(), call.valid->flat<bool>().data());
  return OkStatus();
}

REGISTER_KERNEL_BUILDER(Name("AwsdetAnchors").Device(DEVICE_CPU), Kernel<AnchorsCall, RunAnchors>);

}  // namespace
}  // namespace awsdet
