// GPU kernels of AwsdetRoiAlign and AwsdetRoiAlignGrad; compiled only where the operators are built with CUDA.
//
// What a RoI's image_index holds is in the GPU's memory and not looked at from here: where it names no image of the
// batch, the RoI becomes zeros instead of an error.
#include <type_traits>
#include <vector>

#include "cuda/roi_align.h"
#include "tensorflow/core/framework/tensor_util.h"
#include "tensorflow/core/util/determinism.h"
#include "tensorflow/gpu.h"
#include "tensorflow/roi_align_arguments.h"

namespace awsdet {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Status;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::errors::InvalidArgument;

template <typename T>
constexpr cuda::DataType kDataType = std::is_same_v<T, float>         ? cuda::DataType::kFloat
                                     : std::is_same_v<T, Eigen::half> ? cuda::DataType::kHalf
                                                                      : cuda::DataType::kBFloat16;

// What the CUDA kernels limit and the CPU's do not.
Status CheckLimits(const RoiAlignAttributes& attributes, const std::vector<TensorShape>& levels) {
  if (levels.size() > cuda::kMaxLevels) {
    return InvalidArgument("roi_align: pyramid has ", levels.size(), " levels; on a GPU at most ", cuda::kMaxLevels);
  }
  if (attributes.settings.output_size > cuda::kMaxOutputSize) {
    return InvalidArgument("roi_align: output_size is ", attributes.settings.output_size, "; on a GPU at most ",
                           cuda::kMaxOutputSize);
  }
  return tensorflow::OkStatus();
}

// The sizes for the launchers, from shapes that have been checked.
Status MakeProblem(const RoiAlignAttributes& attributes, const std::vector<TensorShape>& levels, int64_t rois,
                   cuda::RoiAlignProblem* problem) {
  TF_RETURN_IF_ERROR(CheckLimits(attributes, levels));
  *problem = {};
  problem->rois = rois;
  problem->images = levels[0].dim_size(0);
  problem->channels = levels[0].dim_size(3);
  problem->num_levels = static_cast<int32_t>(levels.size());
  problem->output_size = static_cast<int32_t>(attributes.settings.output_size);
  problem->sampling_ratio = static_cast<int32_t>(attributes.settings.sampling_ratio);
  problem->aligned = attributes.settings.aligned;
  problem->finest_scale = attributes.settings.finest_scale;
  for (size_t i = 0; i < levels.size(); ++i) {
    problem->height[i] = static_cast<int32_t>(levels[i].dim_size(1));
    problem->width[i] = static_cast<int32_t>(levels[i].dim_size(2));
    problem->stride[i] = attributes.strides[i];
  }
  return tensorflow::OkStatus();
}

template <typename T>
class RoiAlignGpuOp : public tensorflow::OpKernel {
 public:
  explicit RoiAlignGpuOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {}

  void Compute(OpKernelContext* context) override {
    tensorflow::OpInputList features;
    OP_REQUIRES_OK(context, context->input_list("pyramid", &features));
    std::vector<TensorShape> levels;
    std::vector<const void*> pointers;
    for (int i = 0; i < features.size(); ++i) {
      OP_REQUIRES_OK(context, CheckLevel(features[i].shape(), features[0].shape(), i));
      levels.push_back(features[i].shape());
      pointers.push_back(features[i].template flat<T>().data());
    }
    const Tensor &boxes = context->input(features.size()), &index = context->input(features.size() + 1);
    OP_REQUIRES_OK(context, CheckRoiShapes(boxes.shape(), index.shape()));
    cuda::RoiAlignProblem problem;
    OP_REQUIRES_OK(context, MakeProblem(attributes_, levels, boxes.dim_size(0), &problem));
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                {problem.rois, problem.output_size, problem.output_size, problem.channels}, &shape));
    Tensor* pooled;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &pooled));
    const cudaError_t error =
        cuda::RoiAlign(kDataType<T>, problem, pointers.data(), boxes.flat<float>().data(),
                       index.flat<int32_t>().data(), pooled->template flat<T>().data(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "roi_align"));
  }

 private:
  const RoiAlignAttributes attributes_;
};

template <typename T>
class RoiAlignGradGpuOp : public tensorflow::OpKernel {
 public:
  explicit RoiAlignGradGpuOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {}

  void Compute(OpKernelContext* context) override {
    tensorflow::OpInputList shapes;
    OP_REQUIRES_OK(context, context->input_list("shapes", &shapes));
    std::vector<TensorShape> levels(shapes.size());
    for (int i = 0; i < shapes.size(); ++i) {
      OP_REQUIRES_OK(context, tensorflow::tensor::MakeShape(shapes[i], &levels[i]));
      OP_REQUIRES_OK(context, CheckLevel(levels[i], levels[0], i));
    }
    const Tensor &gradient = context->input(0), &boxes = context->input(1), &index = context->input(2);
    OP_REQUIRES_OK(context, CheckRoiShapes(boxes.shape(), index.shape()));
    cuda::RoiAlignProblem problem;
    OP_REQUIRES_OK(context, MakeProblem(attributes_, levels, boxes.dim_size(0), &problem));
    const TensorShape wanted({problem.rois, problem.output_size, problem.output_size, problem.channels});
    OP_REQUIRES(context, gradient.shape() == wanted,
                InvalidArgument("roi_align: gradient ", gradient.shape().DebugString(), " must be ",
                                wanted.DebugString()));
    std::vector<void*> pointers;
    for (int i = 0; i < shapes.size(); ++i) {
      Tensor* level;
      OP_REQUIRES_OK(context, context->allocate_output(i, levels[i], &level));
      pointers.push_back(level->template flat<T>().data());
    }
    const bool deterministic = tensorflow::OpDeterminismRequired();
    Tensor workspace;
    OP_REQUIRES_OK(context,
                   AllocateWorkspace(context, cuda::RoiAlignGradWorkspaceSize(kDataType<T>, problem, deterministic),
                                     &workspace));
    const cudaError_t error =
        cuda::RoiAlignGrad(kDataType<T>, problem, gradient.template flat<T>().data(), boxes.flat<float>().data(),
                           index.flat<int32_t>().data(), pointers.data(), workspace.flat<tensorflow::int8>().data(),
                           deterministic, CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "the gradient of roi_align"));
  }

 private:
  const RoiAlignAttributes attributes_;
};

#define AWSDET_REGISTER(T)                                                                              \
  REGISTER_KERNEL_BUILDER(Name("AwsdetRoiAlign").Device(tensorflow::DEVICE_GPU).TypeConstraint<T>("T"), \
                          RoiAlignGpuOp<T>);                                                            \
  REGISTER_KERNEL_BUILDER(Name("AwsdetRoiAlignGrad")                                                    \
                              .Device(tensorflow::DEVICE_GPU)                                           \
                              .HostMemory("shapes")                                                     \
                              .TypeConstraint<T>("T"),                                                  \
                          RoiAlignGradGpuOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
