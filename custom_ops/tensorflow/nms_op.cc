// Registration of AwsdetNms, and its CPU kernel.
#include "kernels/nms.h"

#include <limits>
#include <unordered_set>

#include "tensorflow/kernel.h"
#include "tensorflow/nms_arguments.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

Status NmsShape(InferenceContext* context) {
  ShapeHandle boxes, scores, classes;
  if (!context->WithRank(context->input(0), 3, &boxes).ok()) {
    return InvalidArgument("nms: boxes must be [B, N, 4], not ", context->DebugString(context->input(0)));
  }
  DimensionHandle unused;
  if (!context->WithValue(context->Dim(boxes, 2), 4, &unused).ok()) {
    return InvalidArgument("nms: boxes must be [B, N, 4], not ", context->DebugString(boxes));
  }
  ShapeHandle wanted = context->MakeShape({context->Dim(boxes, 0), context->Dim(boxes, 1)});
  if (!context->Merge(context->input(1), wanted, &scores).ok()) {
    return InvalidArgument("nms: scores must be [B, N] = ", context->DebugString(wanted), " like boxes, not ",
                           context->DebugString(context->input(1)));
  }
  if (!context->Merge(context->input(2), scores, &classes).ok()) {
    return InvalidArgument("nms: classes must be [B, N] = ", context->DebugString(scores), " like boxes, not ",
                           context->DebugString(context->input(2)));
  }
  tensorflow::int32 max_output;
  TF_RETURN_IF_ERROR(context->GetAttr("max_output", &max_output));
  const DimensionHandle batch = context->Dim(classes, 0);
  context->set_output(0, context->Matrix(batch, context->MakeDim(max_output)));
  context->set_output(1, context->Matrix(batch, context->MakeDim(max_output)));
  context->set_output(2, context->Vector(batch));
  context->set_output(3, context->MakeShape({batch, context->MakeDim(max_output), context->MakeDim(4)}));
  context->set_output(4, context->Matrix(batch, context->MakeDim(max_output)));
  context->set_output(5, context->Matrix(batch, context->MakeDim(max_output)));
  return OkStatus();
}

REGISTER_OP("AwsdetNms")
    .Input("boxes: float")
    .Input("scores: float")
    .Input("classes: int32")
    .Output("indices: int32")
    .Output("kept_scores: float")
    .Output("count: int32")
    .Output("kept_boxes: float")
    .Output("kept_classes: int32")
    .Output("valid: bool")
    .Attr("iou_threshold: float")
    .Attr("score_threshold: float")
    .Attr("max_output: int >= 0")
    .Attr("method: {'hard', 'linear', 'gaussian'} = 'hard'")
    .Attr("sigma: float = 0.5")
    .Attr("in_order: bool = false")
    .SetShapeFn(NmsShape);

// Checks that in each image the boxes of a class are neighbours, and that the scores of its candidates fall. A GPU relies
// on it; here it only shows a caller's mistake.
Status CheckOrder(const NmsCall& call, float score_threshold) {
  const float *box = call.boxes->flat<float>().data(), *score = call.scores->flat<float>().data();
  const int32_t* label = call.classes->flat<int32_t>().data();
  const int64_t count = call.count();
  for (int64_t image = 0; image < call.images(); ++image) {
    std::unordered_set<int32_t> seen;
    float last = std::numeric_limits<float>::infinity();
    for (int64_t i = image * count; i < (image + 1) * count; ++i) {
      if (i == image * count || label[i] != label[i - 1]) {
        if (!seen.insert(label[i]).second) {
          return InvalidArgument("nms: classes of image ", image, " are not in order: those of class ", label[i],
                                 " are not neighbours, at box ", i - image * count);
        }
        last = std::numeric_limits<float>::infinity();
      }
      if (!(score[i] > score_threshold) || !IsFinite(BoxAt(box, i))) continue;
      if (score[i] > last) {
        return InvalidArgument("nms: scores of image ", image, " are not in order: class ", label[i],
                               " rises at box ", i - image * count);
      }
      last = score[i];
    }
  }
  return OkStatus();
}

Status RunNms(OpKernelContext* context, const NmsAttributes& attributes, const NmsCall& call) {
  if (attributes.in_order) TF_RETURN_IF_ERROR(CheckOrder(call, attributes.rule.score_threshold));
  Nms({call.boxes->flat<float>().data(), call.scores->flat<float>().data(), call.classes->flat<int32_t>().data(),
       call.images(), call.count()},
      attributes.rule, WorkerThreads(context), call.kept);
  return OkStatus();
}

REGISTER_KERNEL_BUILDER(Name("AwsdetNms").Device(DEVICE_CPU), Kernel<NmsCall, RunNms>);

}  // namespace
}  // namespace awsdet
