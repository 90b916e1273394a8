// GPU kernels of AwsdetCellWindows and AwsdetCellWindowsGrad; compiled only if the operators are built with CUDA.
//
// The values of anchor_index are in the GPU's memory and are not checked here. The window of an anchor that does not
// exist becomes zeros; the CPU raises an error instead.
#include <vector>

#include "cuda/cell_windows.h"
#include "tensorflow/cell_windows_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

cuda::CellWindowsProblem ProblemOf(const CellWindowsArguments& arguments) {
  return {arguments.images(), arguments.samples(), arguments.channels(), arguments.grid};
}

template <typename T>
class CellWindowsGpuOp : public OpKernel {
 public:
  explicit CellWindowsGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("anchors_per_cell", &anchors_per_cell_));
  }

  void Compute(OpKernelContext* context) override {
    OpInputList features;
    CellWindowsArguments arguments;
    OP_REQUIRES_OK(context, ReadForward(context, anchors_per_cell_, &features, &arguments));
    std::vector<const void*> pyramid;
    for (const Tensor& level : features) pyramid.push_back(level.template flat<T>().data());
    Tensor *windows, *chosen;
    OP_REQUIRES_OK(context, context->allocate_output(0, arguments.windows, &windows));
    OP_REQUIRES_OK(context, context->allocate_output(1, arguments.chosen, &chosen));
    const cudaError_t error = cuda::CellWindows(
        kDataType<T>, ProblemOf(arguments), pyramid.data(), arguments.anchor_index->flat<int32_t>().data(),
        windows->template flat<T>().data(), chosen->flat<bool>().data(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "cell_windows"));
  }

 private:
  int anchors_per_cell_;
};

template <typename T>
class CellWindowsGradGpuOp : public OpKernel {
 public:
  explicit CellWindowsGradGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("anchors_per_cell", &anchors_per_cell_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor* gradient;
    CellWindowsArguments arguments;
    OP_REQUIRES_OK(context, ReadGradient(context, anchors_per_cell_, &gradient, &arguments));
    std::vector<void*> pyramid;
    for (size_t i = 0; i < arguments.levels.size(); ++i) {
      Tensor* level;
      OP_REQUIRES_OK(context, context->allocate_output(static_cast<int>(i), arguments.levels[i], &level));
      pyramid.push_back(level->template flat<T>().data());
    }
    const cudaError_t error = cuda::CellWindowsGrad(
        kDataType<T>, ProblemOf(arguments), gradient->template flat<T>().data(),
        arguments.anchor_index->flat<int32_t>().data(), pyramid.data(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "the gradient of cell_windows"));
  }

 private:
  int anchors_per_cell_;
};

#define AWSDET_REGISTER(T)                                                                       \
  REGISTER_KERNEL_BUILDER(Name("AwsdetCellWindows").Device(DEVICE_GPU).TypeConstraint<T>("T"),   \
                          CellWindowsGpuOp<T>);                                                  \
  REGISTER_KERNEL_BUILDER(                                                                       \
      Name("AwsdetCellWindowsGrad").Device(DEVICE_GPU).HostMemory("shapes").TypeConstraint<T>("T"), \
      CellWindowsGradGpuOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
