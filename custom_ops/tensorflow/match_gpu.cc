// GPU kernel of AwsdetMatch; compiled only if the operators are built with CUDA.
#include "cuda/match.h"

#include "tensorflow/gpu.h"
#include "tensorflow/match_arguments.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

class MatchGpuOp : public OpKernel {
 public:
  explicit MatchGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadMatchRule(context, &rule_, &with_truth_));
  }

  void Compute(OpKernelContext* context) override {
    MatchArguments arguments;
    Tensor workspace;
    OP_REQUIRES_OK(context, arguments.Read(context, with_truth_));
    OP_REQUIRES_OK(context, AllocateWorkspace(context, cuda::MatchWorkspaceSize(arguments.input), &workspace));
    const cudaError_t error = cuda::Match(arguments.input, rule_, workspace.flat<tensorflow::int8>().data(),
                                          arguments.matches, CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "match"));
  }

 private:
  MatchRule rule_;
  bool with_truth_;
};

REGISTER_KERNEL_BUILDER(Name("AwsdetMatch").Device(DEVICE_GPU), MatchGpuOp);

}  // namespace
}  // namespace awsdet
