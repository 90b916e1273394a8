// GPU kernel of AwsdetSample; compiled only if the operators are built with CUDA.
#include "cuda/sample.h"

#include "tensorflow/gpu.h"
#include "tensorflow/op.h"
#include "tensorflow/sample_arguments.h"

namespace awsdet {
namespace {

class SampleGpuOp : public OpKernel {
 public:
  explicit SampleGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadSampleRule(context, &rule_, &with_truth_));
    OP_REQUIRES(context, rule_.size <= cuda::kMaxSampleSize,
                InvalidArgument("sample: size is ", rule_.size, "; on a GPU at most ", cuda::kMaxSampleSize));
  }

  void Compute(OpKernelContext* context) override {
    SampleArguments arguments;
    OP_REQUIRES_OK(context, arguments.Read(context, rule_, with_truth_));
    const cudaError_t error = cuda::Sample(arguments.input, rule_, arguments.samples, CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "sample"));
  }

 private:
  SampleRule rule_;
  bool with_truth_;
};

REGISTER_KERNEL_BUILDER(Name("AwsdetSample").Device(DEVICE_GPU), SampleGpuOp);

}  // namespace
}  // namespace awsdet
