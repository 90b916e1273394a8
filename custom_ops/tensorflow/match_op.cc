// Registration of AwsdetMatch, and its CPU kernel.
#include "tensorflow/candidate_shapes.h"
#include "tensorflow/kernel.h"
#include "tensorflow/match_arguments.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

Status MatchShape(InferenceContext* context) {
  CandidateShapes shapes;
  TF_RETURN_IF_ERROR(shapes.Read(context, "match", 0, 2));
  TF_RETURN_IF_ERROR(shapes.CheckCandidateRows(1, "valid"));
  TF_RETURN_IF_ERROR(shapes.CheckObjectRows(3, "is_target"));
  TF_RETURN_IF_ERROR(shapes.CheckObjectRows(4, "is_crowd"));
  DimensionHandle length;
  TF_RETURN_IF_ERROR(shapes.Length(&length));
  for (int output = 0; output < 3; ++output) context->set_output(output, context->Matrix(shapes.images(), length));
  return OkStatus();
}

REGISTER_OP("AwsdetMatch")
    .Input("candidates: float")
    .Input("valid: bool")
    .Input("boxes: float")
    .Input("is_target: bool")
    .Input("is_crowd: bool")
    .Output("positive: bool")
    .Output("negative: bool")
    .Output("index: int32")
    .Attr("positive_iou: float")
    .Attr("negative_iou: float")
    .Attr("low_quality_matches: bool")
    .Attr("min_positive_iou: float")
    .Attr("ignore_iof: float")
    .Attr("with_truth: bool = false")
    .SetShapeFn(MatchShape);

Status RunMatch(OpKernelContext* context, const MatchAttributes& attributes, const MatchCall& call) {
  Match(call.input, attributes.rule, WorkerThreads(context), call.matches);
  return OkStatus();
}

REGISTER_KERNEL_BUILDER(Name("AwsdetMatch").Device(DEVICE_CPU), Kernel<MatchCall, RunMatch>);

}  // namespace
}  // namespace awsdet
