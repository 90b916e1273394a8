// Registration of AwsdetTopBoxes, and its CPU kernel.
#include "kernels/top_boxes.h"

#include <algorithm>
#include <string>

#include "tensorflow/kernel.h"
#include "tensorflow/kernel_type.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"
#include "tensorflow/top_boxes_arguments.h"

namespace awsdet {
namespace {

// Merges what is known of a level's logits and deltas, and of the images and classes that all levels share.
Status LevelShape(InferenceContext* context, int level, int levels, DimensionHandle* images, DimensionHandle* classes,
                  DimensionHandle* anchors) {
  const std::string number = "[" + std::to_string(level) + "]";
  const ShapeHandle logits = context->input(level), deltas = context->input(levels + level);
  ShapeHandle scored, moved;
  if (!context->Merge(logits, context->MakeShape({*images, context->UnknownDim(), *classes}), &scored).ok()) {
    return InvalidArgument("top_boxes: logits", number, " must be [B, N, C] with the same B and C at all levels, not ",
                           context->DebugString(logits));
  }
  *images = context->Dim(scored, 0);
  *anchors = context->Dim(scored, 1);
  *classes = context->Dim(scored, 2);
  if (!context->Merge(deltas, context->MakeShape({*images, *anchors, context->MakeDim(4)}), &moved).ok()) {
    return InvalidArgument("top_boxes: deltas", number, " must be [B, N, 4] like logits", number, " ",
                           context->DebugString(logits), ", not ", context->DebugString(deltas));
  }
  *images = context->Dim(moved, 0);
  *anchors = context->Dim(moved, 1);
  return OkStatus();
}

Status TopBoxesShape(InferenceContext* context) {
  int levels;
  tensorflow::int64 limit;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &levels));
  TF_RETURN_IF_ERROR(context->GetAttr("limit", &limit));
  DimensionHandle images = context->UnknownDim(), classes = context->UnknownDim(), anchors;
  DimensionHandle chosen = context->MakeDim(static_cast<int64_t>(0));
  for (int level = 0; level < levels; ++level) {
    TF_RETURN_IF_ERROR(LevelShape(context, level, levels, &images, &classes, &anchors));
    DimensionHandle pairs, taken = context->UnknownDim();
    TF_RETURN_IF_ERROR(context->Multiply(anchors, classes, &pairs));
    if (context->ValueKnown(pairs)) taken = context->MakeDim(std::min<int64_t>(limit, context->Value(pairs)));
    TF_RETURN_IF_ERROR(context->Add(chosen, taken, &chosen));
  }
  ShapeHandle unused;
  const ShapeHandle given = context->input(2 * levels), size = context->input(2 * levels + 1);
  if (!context->Merge(given, context->Matrix(context->UnknownDim(), 4), &unused).ok()) {
    return InvalidArgument("top_boxes: anchors must be [N, 4], not ", context->DebugString(given));
  }
  if (!context->Merge(size, context->Matrix(images, 2), &unused).ok()) {
    return InvalidArgument("top_boxes: image_size must be [B, 2] like the images of logits, not ",
                           context->DebugString(size));
  }
  context->set_output(0, context->MakeShape({images, chosen, context->MakeDim(4)}));
  for (int output = 1; output < 4; ++output) context->set_output(output, context->Matrix(images, chosen));
  return OkStatus();
}

REGISTER_OP("AwsdetTopBoxes")
    .Input("logits: num_levels * T")
    .Input("deltas: num_levels * T")
    .Input("anchors: float")
    .Input("image_size: int32")
    .Output("boxes: float")
    .Output("top_logits: float")
    .Output("classes: int32")
    .Output("levels: int32")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_levels: int >= 1")
    .Attr("limit: int")
    .Attr("min_size: float")
    .Attr("stds: list(float)")
    .Attr("max_log_ratio: float")
    .SetShapeFn(TopBoxesShape)
    .Doc("The best boxes of each level; see awsdet/ops/top_boxes.py.");

template <typename T>
Status RunTopBoxes(OpKernelContext* context, const TopBoxesAttributes& attributes, const TopBoxesCall& call) {
  ScoredPyramid<KernelType<T>> input{{},
                                     call.anchors->flat<float>().data(),
                                     call.image_size->flat<int32_t>().data(),
                                     call.images(),
                                     call.classes()};
  for (int level = 0; level < call.logits.size(); ++level) {
    input.levels.push_back({KernelData<T>(call.logits[level]), KernelData<T>(call.deltas[level]),
                            call.logits[level].dim_size(1)});
  }
  TopBoxes(input, attributes.rule, WorkerThreads(context), call.result);
  return OkStatus();
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetTopBoxes").Device(DEVICE_CPU), TopBoxesCall, RunTopBoxes)

}  // namespace
}  // namespace awsdet
