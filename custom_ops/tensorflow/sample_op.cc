// Registration of AwsdetSample, and its CPU kernel.
#include "tensorflow/candidate_shapes.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"
#include "tensorflow/sample_arguments.h"

namespace awsdet {
namespace {

Status SampleShape(InferenceContext* context) {
  CandidateShapes shapes;
  TF_RETURN_IF_ERROR(shapes.Read(context, "sample", 4, 5));
  DimensionHandle length;
  TF_RETURN_IF_ERROR(shapes.Length(&length));
  const char* const names[] = {"positive", "negative", "matched", "keys"};
  for (int i = 0; i < 4; ++i) {
    TF_RETURN_IF_ERROR(shapes.CheckRows(i, names[i], &length, "[B, N], or [B, G + N] with the objects,"));
  }
  TF_RETURN_IF_ERROR(shapes.CheckObjectRows(6, "classes"));
  tensorflow::int32 size;
  TF_RETURN_IF_ERROR(context->GetAttr("size", &size));
  const DimensionHandle slots = context->MakeDim(size);
  for (int output = 0; output < 8; ++output) context->set_output(output, context->Matrix(shapes.images(), slots));
  for (const int output : {4, 6}) context->set_output(output, context->MakeShape({shapes.images(), slots, 4}));
  context->set_output(8, context->Matrix(shapes.images(), 2));
  return OkStatus();
}

REGISTER_OP("AwsdetSample")
    .Input("positive: bool")
    .Input("negative: bool")
    .Input("matched: int32")
    .Input("keys: float")
    .Input("candidates: float")
    .Input("boxes: float")
    .Input("classes: int32")
    .Output("index: int32")
    .Output("is_positive: bool")
    .Output("valid: bool")
    .Output("truth: int32")
    .Output("sampled: float")
    .Output("labels: int32")
    .Output("deltas: float")
    .Output("is_object: bool")
    .Output("counts: float")
    .Attr("size: int >= 0")
    .Attr("positive_limit: int >= 0")
    .Attr("background: int")
    .Attr("stds: list(float)")
    .Attr("with_truth: bool = false")
    .SetShapeFn(SampleShape);

Status RunSample(OpKernelContext* context, const SampleAttributes& attributes, const SampleCall& call) {
  const int64_t wrong = Sample(call.input, attributes.rule, WorkerThreads(context), call.samples);
  if (wrong < 0) return OkStatus();
  return InvalidArgument("sample: matched has object ", call.input.matched[wrong], " for a positive of an image with ",
                         call.input.objects, " objects");
}

REGISTER_KERNEL_BUILDER(Name("AwsdetSample").Device(DEVICE_CPU), Kernel<SampleCall, RunSample>);

}  // namespace
}  // namespace awsdet
