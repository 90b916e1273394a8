// GPU kernels of AwsdetRoiAlign and AwsdetRoiAlignGrad; compiled only if the operators are built with CUDA.
//
// The values of image_index are in the GPU's memory and are not checked here. If one is not an image of the batch, the
// RoI becomes zeros; the CPU raises an error instead.
#include <vector>

#include "cuda/roi_align.h"
#include "tensorflow/core/util/determinism.h"
#include "tensorflow/gpu.h"
#include "tensorflow/op.h"
#include "tensorflow/roi_align_arguments.h"

namespace awsdet {
namespace {

// The sizes for the launchers. Some have limits that the CPU does not have.
Status MakeProblem(const RoiAlignAttributes& attributes, const RoiAlignArguments& arguments,
                   cuda::RoiAlignProblem* problem) {
  const RoiAlignSettings& settings = attributes.settings;
  const std::vector<TensorShape>& levels = arguments.levels;
  if (levels.size() > cuda::kMaxLevels) {
    return InvalidArgument("roi_align: pyramid has ", levels.size(), " levels; on a GPU at most ", cuda::kMaxLevels);
  }
  if (settings.output_size > cuda::kMaxOutputSize) {
    return InvalidArgument("roi_align: output_size is ", settings.output_size, "; on a GPU at most ",
                           cuda::kMaxOutputSize);
  }
  *problem = {};
  problem->rois = arguments.boxes->dim_size(0);
  problem->images = arguments.batch();
  problem->channels = arguments.channels();
  problem->num_levels = static_cast<int32_t>(levels.size());
  problem->output_size = static_cast<int32_t>(settings.output_size);
  problem->sampling_ratio = static_cast<int32_t>(settings.sampling_ratio);
  problem->aligned = settings.aligned;
  problem->finest_scale = settings.finest_scale;
  for (size_t i = 0; i < levels.size(); ++i) {
    problem->height[i] = static_cast<int32_t>(levels[i].dim_size(1));
    problem->width[i] = static_cast<int32_t>(levels[i].dim_size(2));
    problem->stride[i] = attributes.strides[i];
  }
  return OkStatus();
}

template <typename T>
class RoiAlignGpuOp : public OpKernel {
 public:
  explicit RoiAlignGpuOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {}

  void Compute(OpKernelContext* context) override {
    OpInputList features;
    RoiAlignArguments arguments;
    OP_REQUIRES_OK(context, ReadForward(context, attributes_.settings, &features, &arguments));
    cuda::RoiAlignProblem problem;
    OP_REQUIRES_OK(context, MakeProblem(attributes_, arguments, &problem));
    std::vector<const void*> pointers;
    for (const Tensor& level : features) pointers.push_back(level.template flat<T>().data());
    Tensor* pooled;
    OP_REQUIRES_OK(context, context->allocate_output(0, arguments.pooled, &pooled));
    const cudaError_t error = cuda::RoiAlign(
        kDataType<T>, problem, pointers.data(), arguments.boxes->flat<float>().data(),
        arguments.image_index->flat<int32_t>().data(), pooled->template flat<T>().data(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "roi_align"));
  }

 private:
  const RoiAlignAttributes attributes_;
};

template <typename T>
class RoiAlignGradGpuOp : public OpKernel {
 public:
  explicit RoiAlignGradGpuOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {}

  void Compute(OpKernelContext* context) override {
    const Tensor* gradient;
    RoiAlignArguments arguments;
    OP_REQUIRES_OK(context, ReadGradient(context, attributes_.settings, &gradient, &arguments));
    cuda::RoiAlignProblem problem;
    OP_REQUIRES_OK(context, MakeProblem(attributes_, arguments, &problem));
    std::vector<void*> pointers;
    for (size_t i = 0; i < arguments.levels.size(); ++i) {
      Tensor* level;
      OP_REQUIRES_OK(context, context->allocate_output(static_cast<int>(i), arguments.levels[i], &level));
      pointers.push_back(level->template flat<T>().data());
    }
    const bool deterministic = tensorflow::OpDeterminismRequired();
    Tensor workspace;
    OP_REQUIRES_OK(context,
                   AllocateWorkspace(context, cuda::RoiAlignGradWorkspaceSize(kDataType<T>, problem, deterministic),
                                     &workspace));
    const cudaError_t error = cuda::RoiAlignGrad(
        kDataType<T>, problem, gradient->template flat<T>().data(), arguments.boxes->flat<float>().data(),
        arguments.image_index->flat<int32_t>().data(), pointers.data(), workspace.flat<tensorflow::int8>().data(),
        deterministic, CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "the gradient of roi_align"));
  }

 private:
  const RoiAlignAttributes attributes_;
};

#define AWSDET_REGISTER(T)                                                                              \
  REGISTER_KERNEL_BUILDER(Name("AwsdetRoiAlign").Device(DEVICE_GPU).TypeConstraint<T>("T"), \
                          RoiAlignGpuOp<T>);                                                            \
  REGISTER_KERNEL_BUILDER(Name("AwsdetRoiAlignGrad")                                                    \
                              .Device(DEVICE_GPU)                                           \
                              .HostMemory("shapes")                                                     \
                              .TypeConstraint<T>("T"),                                                  \
                          RoiAlignGradGpuOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
