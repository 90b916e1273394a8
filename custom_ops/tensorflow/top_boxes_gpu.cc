// GPU kernel of AwsdetTopBoxes; compiled only if the operators are built with CUDA.
#include <vector>

#include "cuda/top_boxes.h"
#include "tensorflow/gpu.h"
#include "tensorflow/op.h"
#include "tensorflow/top_boxes_arguments.h"

namespace awsdet {
namespace {

template <typename T>
class TopBoxesGpuOp : public OpKernel {
 public:
  explicit TopBoxesGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, ReadRule(context, &rule_));
  }

  void Compute(OpKernelContext* context) override {
    TopBoxesArguments arguments;
    OP_REQUIRES_OK(context, ReadArguments(context, rule_, &arguments));
    const int levels = arguments.logits.size();
    OP_REQUIRES(context, levels <= cuda::kMaxScoredLevels,
                InvalidArgument("top_boxes: logits has ", levels, " levels; on a GPU at most ",
                                cuda::kMaxScoredLevels));
    cuda::TopBoxesProblem problem{};
    problem.images = arguments.images();
    problem.classes = arguments.classes();
    problem.num_levels = levels;
    problem.rule = rule_;
    std::vector<const void*> logits, deltas;
    for (int level = 0; level < levels; ++level) {
      problem.anchors[level] = arguments.logits[level].dim_size(1);
      logits.push_back(arguments.logits[level].template flat<T>().data());
      deltas.push_back(arguments.deltas[level].template flat<T>().data());
    }
    size_t bytes = 0;
    OP_REQUIRES(context, cuda::TopBoxesWorkspaceSize(problem, &bytes) == cudaSuccess,
                InvalidArgument("top_boxes: logits are too many for one call on a GPU"));
    TopBoxesOutputs outputs;
    Tensor workspace;
    OP_REQUIRES_OK(context, outputs.Allocate(context, arguments));
    OP_REQUIRES_OK(context, AllocateWorkspace(context, bytes, &workspace));
    const cuda::TopBoxesInputs inputs{logits.data(), deltas.data(), arguments.anchors->flat<float>().data(),
                                      arguments.image_size->flat<int32_t>().data()};
    const cudaError_t error =
        cuda::TopBoxes(kDataType<T>, problem, inputs, workspace.flat<tensorflow::int8>().data(), bytes,
                       outputs.result(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "top_boxes"));
  }

 private:
  TopBoxesRule rule_;
};

#define AWSDET_REGISTER(T) \
  REGISTER_KERNEL_BUILDER(Name("AwsdetTopBoxes").Device(DEVICE_GPU).TypeConstraint<T>("T"), TopBoxesGpuOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
