// Non-maximum suppression of a batch of images on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// The rules are those of kernels/nms.h, with the same arithmetic (kernels/nms_rule.h): hard NMS gives exactly the same
// result, Soft-NMS the same but for the rounding of the exponential. These functions do not wait for the GPU.
#ifndef AWSDET_CUDA_NMS_H_
#define AWSDET_CUDA_NMS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/nms_rule.h"

namespace awsdet::cuda {

struct NmsProblem {
  int64_t images;
  int64_t count;       // boxes per image; images * count is below 2^31
  int64_t max_output;  // at most so many boxes are kept per image
  NmsMethod method;
  float iou_threshold;    // in [0, 1]
  float score_threshold;  // only boxes with a higher score are kept; not negative for the soft methods
  float sigma;            // of kGaussian; above 0
  // Not 0: the boxes come in order, so nothing need be sorted. In each image the boxes of a class are neighbours, and
  // their scores fall, but for boxes that are no candidates. Only for kHard.
  int32_t in_order;
};

// Computes how many bytes of device memory Nms needs as its workspace.
cudaError_t NmsWorkspaceSize(const NmsProblem& problem, size_t* bytes);

// boxes [images, count, 4]: x1, y1, x2, y2. scores, classes [images, count]. The workspace has the size that
// NmsWorkspaceSize says and is aligned to 256 bytes. Returns cudaErrorInvalidValue if a size is negative or too large.
cudaError_t Nms(const NmsProblem& problem, const float* boxes, const float* scores, const int32_t* classes,
                void* workspace, size_t workspace_bytes, const KeptBoxes& kept, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_NMS_H_
