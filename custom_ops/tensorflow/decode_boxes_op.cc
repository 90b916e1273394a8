// Registration of AwsdetDecodeBoxes, and its CPU kernel.
#include "kernels/decode_boxes.h"

#include "tensorflow/decode_boxes_arguments.h"
#include "tensorflow/kernel.h"
#include "tensorflow/kernel_type.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

Status DecodeBoxesShape(InferenceContext* context) {
  tensorflow::int64 num_classes;
  TF_RETURN_IF_ERROR(context->GetAttr("num_classes", &num_classes));
  ShapeHandle deltas, boxes, size;
  DimensionHandle unused;
  if (!context->WithRank(context->input(1), 3, &boxes).ok() ||
      !context->WithValue(context->Dim(boxes, 2), 4, &unused).ok()) {
    return InvalidArgument("decode_boxes: boxes must be [B, N, 4], not ", context->DebugString(context->input(1)));
  }
  const ShapeHandle wanted = context->MakeShape(
      {context->Dim(boxes, 0), context->Dim(boxes, 1), context->UnknownDim(), context->MakeDim(4)});
  if (!context->Merge(context->input(0), wanted, &deltas).ok()) {
    return InvalidArgument("decode_boxes: deltas must be [B, N, ", num_classes, " or 1, 4] like boxes ",
                           context->DebugString(boxes), ", not ", context->DebugString(context->input(0)));
  }
  if (!context->Merge(context->input(2), context->Matrix(context->Dim(deltas, 0), 2), &size).ok()) {
    return InvalidArgument("decode_boxes: image_size must be [B, 2] like the images of boxes, not ",
                           context->DebugString(context->input(2)));
  }
  DimensionHandle results;
  TF_RETURN_IF_ERROR(context->Multiply(context->Dim(deltas, 1), num_classes, &results));
  context->set_output(0, context->MakeShape({context->Dim(size, 0), results, context->MakeDim(4)}));
  context->set_output(1, context->Matrix(context->Dim(size, 0), results));
  return OkStatus();
}

REGISTER_OP("AwsdetDecodeBoxes")
    .Input("deltas: T")
    .Input("boxes: float")
    .Input("image_size: int32")
    .Output("decoded: float")
    .Output("classes: int32")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_classes: int >= 1")
    .Attr("stds: list(float)")
    .Attr("max_log_ratio: float")
    .SetShapeFn(DecodeBoxesShape)
    .Doc("The boxes of every class of a box head; see awsdet/ops/decode_boxes.py.");

template <typename T>
Status RunDecodeBoxes(OpKernelContext* context, const DecodeBoxesAttributes& attributes, const DecodeBoxesCall& call) {
  DecodeBoxes(call.sizes, attributes.rule, KernelData<T>(*call.deltas), call.boxes->flat<float>().data(),
              call.image_size->flat<int32_t>().data(), WorkerThreads(context), call.decoded->flat<float>().data(),
              call.classes->flat<int32_t>().data());
  return OkStatus();
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetDecodeBoxes").Device(DEVICE_CPU), DecodeBoxesCall, RunDecodeBoxes)

}  // namespace
}  // namespace awsdet
