// GPU kernels of AwsdetRoiAlign and AwsdetRoiAlignGrad; compiled only if the operators are built with CUDA.
//
// The values of image_index are in the GPU's memory and are not checked here. If one is not an image of the batch, the
// RoI becomes zeros; the CPU raises an error instead.
#include <vector>

#include "cuda/roi_align.h"
#include "tensorflow/core/util/determinism.h"
#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/roi_align_arguments.h"

namespace awsdet {
namespace {

// The sizes for the launchers. Some have limits that the CPU does not have.
Status MakeProblem(const RoiAlignAttributes& attributes, const RoiAlignCall& call, cuda::RoiAlignProblem* problem) {
  const RoiAlignSettings& settings = attributes.settings;
  const Pyramid& pyramid = call.pyramid;
  if (pyramid.size() > cuda::kMaxLevels) {
    return InvalidArgument("roi_align: pyramid has ", pyramid.size(), " levels; on a GPU at most ", cuda::kMaxLevels);
  }
  if (settings.output_size > cuda::kMaxOutputSize) {
    return InvalidArgument("roi_align: output_size is ", settings.output_size, "; on a GPU at most ",
                           cuda::kMaxOutputSize);
  }
  *problem = {};
  problem->rois = call.boxes->dim_size(0);
  problem->images = pyramid.images();
  problem->channels = pyramid.channels();
  problem->num_levels = pyramid.size();
  problem->output_size = static_cast<int32_t>(settings.output_size);
  problem->sampling_ratio = static_cast<int32_t>(settings.sampling_ratio);
  problem->aligned = settings.aligned;
  problem->finest_scale = settings.finest_scale;
  for (int i = 0; i < pyramid.size(); ++i) {
    problem->height[i] = static_cast<int32_t>(pyramid.height(i));
    problem->width[i] = static_cast<int32_t>(pyramid.width(i));
    problem->stride[i] = attributes.strides[i];
  }
  return OkStatus();
}

template <typename T>
Status RunRoiAlign(OpKernelContext* context, const RoiAlignAttributes& attributes, const RoiAlignForward& call) {
  cuda::RoiAlignProblem problem;
  TF_RETURN_IF_ERROR(MakeProblem(attributes, call, &problem));
  return FromCuda(cuda::RoiAlign(kDataType<T>, problem, DataOf(call.features).data(),
                                 call.boxes->flat<float>().data(), call.image_index->flat<int32_t>().data(),
                                 call.pooled->data(), CudaStream(context)),
                  "roi_align");
}

template <typename T>
Status RunRoiAlignGrad(OpKernelContext* context, const RoiAlignAttributes& attributes, const RoiAlignBackward& call) {
  cuda::RoiAlignProblem problem;
  TF_RETURN_IF_ERROR(MakeProblem(attributes, call, &problem));
  const bool deterministic = tensorflow::OpDeterminismRequired();
  Tensor workspace;
  TF_RETURN_IF_ERROR(AllocateWorkspace(
      context, cuda::RoiAlignGradWorkspaceSize(kDataType<T>, problem, deterministic), &workspace));
  const cudaError_t error = cuda::RoiAlignGrad(
      kDataType<T>, problem, call.gradient->data(), call.boxes->flat<float>().data(),
      call.image_index->flat<int32_t>().data(), DataOf(call.features_gradient).data(),
      workspace.flat<tensorflow::int8>().data(), deterministic, CudaStream(context));
  return FromCuda(error, "the gradient of roi_align");
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetRoiAlign").Device(DEVICE_GPU), RoiAlignForward, RunRoiAlign)
AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetRoiAlignGrad").Device(DEVICE_GPU).HostMemory("shapes"),
                                RoiAlignBackward, RunRoiAlignGrad)

}  // namespace
}  // namespace awsdet
