// GPU kernel of AwsdetAnchors; compiled only if the operators are built with CUDA.
#include "cuda/anchors.h"

#include "tensorflow/anchors_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

class AnchorsGpuOp : public OpKernel {
 public:
  explicit AnchorsGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadAnchorRule(context, &rule_));
  }

  void Compute(OpKernelContext* context) override {
    AnchorProblem problem = rule_;
    Tensor *boxes, *valid;
    OP_REQUIRES_OK(context, ReadAnchorSizes(context, &problem, &boxes, &valid));
    const Tensor& image_size = context->input(1);
    const cudaError_t error =
        cuda::Anchors(problem, image_size.flat<int32_t>().data(), image_size.dim_size(0), boxes->flat<float>().data(),
                      valid->flat<bool>().data(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "anchors"));
  }

 private:
  AnchorProblem rule_;
};

// The number of anchors follows from the sizes of the levels, which are known on the host.
REGISTER_KERNEL_BUILDER(Name("AwsdetAnchors").Device(DEVICE_GPU).HostMemory("sizes"), AnchorsGpuOp);

}  // namespace
}  // namespace awsdet
