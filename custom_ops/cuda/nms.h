// Non-maximum suppression of a batch of images on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// The same rules as kernels/nms.h, by the same arithmetic (kernels/nms_rule.h): hard NMS gives the same result to the
// last bit, Soft-NMS up to the rounding of the exponential. Nothing here waits for the GPU.
#ifndef AWSDET_CUDA_NMS_H_
#define AWSDET_CUDA_NMS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/nms_rule.h"

namespace awsdet::cuda {

struct NmsProblem {
  int64_t images;
  int64_t count;       // boxes an image; images * count below 2^31
  int64_t max_output;  // most boxes to keep an image
  NmsMethod method;
  float iou_threshold;    // in [0, 1]
  float score_threshold;  // only scores above it are kept; not negative for the soft methods
  float sigma;            // above 0; of kGaussian
};

// Bytes of device memory that Nms wants as its workspace.
cudaError_t NmsWorkspaceSize(const NmsProblem& problem, size_t* bytes);

// boxes [images, count, 4] x1, y1, x2, y2; scores and classes [images, count]; indices and kept_scores
// [images, max_output], by falling score, zeros after the last; kept_count [images]. The workspace is aligned to 256
// bytes, and of that size. cudaErrorInvalidValue: sizes that are negative or too large.
cudaError_t Nms(const NmsProblem& problem, const float* boxes, const float* scores, const int32_t* classes,
                void* workspace, size_t workspace_bytes, int32_t* indices, float* kept_scores, int32_t* kept_count,
                cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_NMS_H_
