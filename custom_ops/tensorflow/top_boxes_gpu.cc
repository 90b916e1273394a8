// GPU kernel of AwsdetTopBoxes; compiled only if the operators are built with CUDA.
#include "cuda/top_boxes.h"

#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/pyramid.h"
#include "tensorflow/top_boxes_arguments.h"

namespace awsdet {
namespace {

template <typename T>
Status RunTopBoxes(OpKernelContext* context, const TopBoxesAttributes& attributes, const TopBoxesCall& call) {
  const int levels = call.logits.size();
  if (levels > cuda::kMaxScoredLevels) {
    return InvalidArgument("top_boxes: logits has ", levels, " levels; on a GPU at most ", cuda::kMaxScoredLevels);
  }
  cuda::TopBoxesProblem problem{};
  problem.images = call.images();
  problem.classes = call.classes();
  problem.num_levels = levels;
  problem.rule = attributes.rule;
  for (int level = 0; level < levels; ++level) problem.anchors[level] = call.logits[level].dim_size(1);
  size_t bytes = 0;
  if (cuda::TopBoxesWorkspaceSize(problem, &bytes) != cudaSuccess) {
    return InvalidArgument("top_boxes: logits are too many for one call on a GPU");
  }
  Tensor workspace;
  TF_RETURN_IF_ERROR(AllocateWorkspace(context, bytes, &workspace));
  const std::vector<const void*> logits = DataOf(call.logits), deltas = DataOf(call.deltas);
  return FromCuda(cuda::TopBoxes(kDataType<T>, problem,
                                 {logits.data(), deltas.data(), call.anchors->flat<float>().data(),
                                  call.image_size->flat<int32_t>().data()},
                                 workspace.flat<tensorflow::int8>().data(), bytes, call.result, CudaStream(context)),
                  "top_boxes");
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetTopBoxes").Device(DEVICE_GPU), TopBoxesCall, RunTopBoxes)

}  // namespace
}  // namespace awsdet
