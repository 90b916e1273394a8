// Registration of AwsdetNms, and its CPU kernel.
#include "kernels/nms.h"
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
    .SetShapeFn(NmsShape);

class NmsOp : public OpKernel {
 public:
  explicit NmsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadRule(context, &rule_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &boxes = context->input(0), &scores = context->input(1), &classes = context->input(2);
    OP_REQUIRES_OK(context, CheckShapes(boxes, scores, classes));
    const int64_t images = boxes.dim_size(0);
    NmsOutputs outputs;
    OP_REQUIRES_OK(context, outputs.Allocate(context, images, rule_.max_output));
    Nms({boxes.flat<float>().data(), scores.flat<float>().data(), classes.flat<int32_t>().data(), images,
         boxes.dim_size(1)},
        rule_, WorkerThreads(context), outputs.kept());
  }

 private:
  NmsRule rule_;
};

REGISTER_KERNEL_BUILDER(Name("AwsdetNms").Device(DEVICE_CPU), NmsOp);

}  // namespace
}  // namespace awsdet
