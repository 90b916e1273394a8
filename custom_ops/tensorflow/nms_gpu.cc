// GPU kernel of AwsdetNms; compiled only if the operators are built with CUDA.
#include "cuda/nms.h"

#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/nms_arguments.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

Status RunNms(OpKernelContext* context, const NmsAttributes& attributes, const NmsCall& call) {
  const NmsRule& rule = attributes.rule;
  const cuda::NmsProblem problem{call.images(),
                                 call.count(),
                                 rule.max_output,
                                 rule.method,
                                 rule.iou_threshold,
                                 rule.score_threshold,
                                 rule.sigma,
                                 attributes.in_order};
  size_t bytes = 0;
  if (cuda::NmsWorkspaceSize(problem, &bytes) != cudaSuccess) {
    return InvalidArgument("nms: boxes ", call.boxes->shape().DebugString(), " are too many for one call on a GPU");
  }
  Tensor workspace;
  TF_RETURN_IF_ERROR(AllocateWorkspace(context, bytes, &workspace));
  return FromCuda(cuda::Nms(problem, call.boxes->flat<float>().data(), call.scores->flat<float>().data(),
                            call.classes->flat<int32_t>().data(), workspace.flat<tensorflow::int8>().data(), bytes,
                            call.kept, CudaStream(context)),
                  "nms");
}

REGISTER_KERNEL_BUILDER(Name("AwsdetNms").Device(DEVICE_GPU), Kernel<NmsCall, RunNms>);

}  // namespace
}  // namespace awsdet
