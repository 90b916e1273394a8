// GPU kernel of AwsdetNms; compiled only if the operators are built with CUDA.
#include "cuda/nms.h"

#include "tensorflow/gpu.h"
#include "tensorflow/nms_arguments.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

class NmsGpuOp : public OpKernel {
 public:
  explicit NmsGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadRule(context, &rule_));
    OP_REQUIRES_OK(context, ReadOrder(context, rule_, &in_order_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &boxes = context->input(0), &scores = context->input(1), &classes = context->input(2);
    OP_REQUIRES_OK(context, CheckShapes(boxes, scores, classes));
    const int64_t images = boxes.dim_size(0);
    const cuda::NmsProblem problem{images,
                                   boxes.dim_size(1),
                                   rule_.max_output,
                                   rule_.method,
                                   rule_.iou_threshold,
                                   rule_.score_threshold,
                                   rule_.sigma,
                                   in_order_};
    size_t bytes = 0;
    OP_REQUIRES(context, cuda::NmsWorkspaceSize(problem, &bytes) == cudaSuccess,
                InvalidArgument("nms: boxes ", boxes.shape().DebugString(), " are too many for one call on a GPU"));
    NmsOutputs outputs;
    Tensor workspace;
    OP_REQUIRES_OK(context, outputs.Allocate(context, images, rule_.max_output));
    OP_REQUIRES_OK(context, AllocateWorkspace(context, bytes, &workspace));
    const cudaError_t error =
        cuda::Nms(problem, boxes.flat<float>().data(), scores.flat<float>().data(), classes.flat<int32_t>().data(),
                  workspace.flat<tensorflow::int8>().data(), bytes, outputs.kept(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "nms"));
  }

 private:
  NmsRule rule_;
  bool in_order_;
};

REGISTER_KERNEL_BUILDER(Name("AwsdetNms").Device(DEVICE_GPU), NmsGpuOp);

}  // namespace
}  // namespace awsdet
