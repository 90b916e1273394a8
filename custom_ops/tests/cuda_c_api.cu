// The CUDA launchers with C names, for benchmarks/cuda_ops.py, which calls them with the memory of PyTorch's tensors.
#include "cuda/affine.h"
#include "cuda/decode_boxes.h"
#include "cuda/nms.h"
#include "cuda/roi_align.h"

namespace cuda = awsdet::cuda;

extern "C" {

int awsdet_roi_align(int type, const cuda::RoiAlignProblem* problem, const void* const* pyramid, const float* boxes,
                     const int32_t* image_index, void* pooled, void* stream) {
  return cuda::RoiAlign(static_cast<cuda::DataType>(type), *problem, pyramid, boxes, image_index, pooled,
                        static_cast<cudaStream_t>(stream));
}

size_t awsdet_roi_align_grad_workspace(int type, const cuda::RoiAlignProblem* problem, int deterministic) {
  return cuda::RoiAlignGradWorkspaceSize(static_cast<cuda::DataType>(type), *problem, deterministic != 0);
}

int awsdet_roi_align_grad(int type, const cuda::RoiAlignProblem* problem, const void* pooled_gradient,
                          const float* boxes, const int32_t* image_index, void* const* pyramid_gradient,
                          void* workspace, int deterministic, void* stream) {
  return cuda::RoiAlignGrad(static_cast<cuda::DataType>(type), *problem, pooled_gradient, boxes, image_index,
                            pyramid_gradient, workspace, deterministic != 0, static_cast<cudaStream_t>(stream));
}

int awsdet_nms_workspace(const cuda::NmsProblem* problem, size_t* bytes) {
  return cuda::NmsWorkspaceSize(*problem, bytes);
}

int awsdet_nms(const cuda::NmsProblem* problem, const float* boxes, const float* scores, const int32_t* classes,
               void* workspace, size_t workspace_bytes, const awsdet::KeptBoxes* kept, void* stream) {
  return cuda::Nms(*problem, boxes, scores, classes, workspace, workspace_bytes, *kept,
                   static_cast<cudaStream_t>(stream));
}

int awsdet_decode_boxes(int type, const awsdet::DecodeSizes* sizes, const awsdet::BoxDecoding* rule, const void* deltas,
                        const float* boxes, const int32_t* image_size, float* decoded, int32_t* classes,
                        void* stream) {
  return cuda::DecodeBoxes(static_cast<cuda::DataType>(type), *sizes, *rule, deltas, boxes, image_size, decoded,
                           classes, static_cast<cudaStream_t>(stream));
}

int awsdet_affine(int type, const awsdet::AffineSize* size, const awsdet::AffineParameters* parameters,
                  const void* features, const void* residual, int relu, void* outputs, void* stream) {
  return cuda::Affine(static_cast<cuda::DataType>(type), *size, *parameters, features, residual, relu != 0, outputs,
                      static_cast<cudaStream_t>(stream));
}

size_t awsdet_affine_grad_workspace(const awsdet::AffineSize* size, int sums) {
  return cuda::AffineGradWorkspaceSize(*size, sums != 0);
}

int awsdet_affine_grad(int type, const awsdet::AffineSize* size, const awsdet::AffineParameters* parameters,
                       const cuda::AffineGradientPointers* gradient, void* workspace, void* stream) {
  return cuda::AffineGrad(static_cast<cuda::DataType>(type), *size, *parameters, *gradient, workspace,
                          static_cast<cudaStream_t>(stream));
}

}  // extern "C"
