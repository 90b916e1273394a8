// GPU kernel of AwsdetMatch; compiled only if the operators are built with CUDA.
#include "cuda/match.h"

#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/match_arguments.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

Status RunMatch(OpKernelContext* context, const MatchAttributes& attributes, const MatchCall& call) {
  Tensor workspace;
  TF_RETURN_IF_ERROR(AllocateWorkspace(context, cuda::MatchWorkspaceSize(call.input), &workspace));
  return FromCuda(cuda::Match(call.input, attributes.rule, workspace.flat<tensorflow::int8>().data(), call.matches,
                              CudaStream(context)),
                  "match");
}

REGISTER_KERNEL_BUILDER(Name("AwsdetMatch").Device(DEVICE_GPU), Kernel<MatchCall, RunMatch>);

}  // namespace
}  // namespace awsdet
