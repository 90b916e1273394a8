// RoIAlign over a feature pyramid on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// Symbols: R RoIs, B images, C channels, L levels, P output size. Feature maps are [B, height, width, C], the finest
// level first. boxes: float32 [R, 4], x1, y1, x2, y2 in image pixels. image_index: int32 [R]. pooled: [R, P, P, C].
// Every pointer is device memory, aligned to its element type (to 16 bytes for the fast path). These functions do not
// wait for the GPU.
#ifndef AWSDET_CUDA_ROI_ALIGN_H_
#define AWSDET_CUDA_ROI_ALIGN_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cuda/data_type.h"
#include "kernels/roi_align_samples.h"

namespace awsdet::cuda {

constexpr int kMaxLevels = 8;
constexpr int kMaxOutputSize = 1024;

// Sizes and options of one call.
struct RoiAlignProblem {
  int64_t rois;
  int64_t images;
  int64_t channels;
  int32_t num_levels;
  int32_t output_size;
  int32_t sampling_ratio;  // samples per bin and axis; 0: as many as the bin has feature pixels, rounded up
  int32_t aligned;         // not 0: pixel centres are at half-integer coordinates
  float finest_scale;      // boxes of up to twice this size (pixels) are pooled from the finest level
  int32_t height[kMaxLevels];
  int32_t width[kMaxLevels];
  float stride[kMaxLevels];  // image pixels per feature pixel
};

// Pools every RoI from the level that fits its size. A RoI becomes zeros if its image_index is outside of [0, B).
// Returns cudaErrorInvalidValue if a size is negative or above the limits, or a map's side above kMaxExtent.
cudaError_t RoiAlign(DataType type, const RoiAlignProblem& problem, const void* const* pyramid, const float* boxes,
                     const int32_t* image_index, void* pooled, cudaStream_t stream);

// How many bytes of device memory RoiAlignGrad needs as its workspace; may be 0.
size_t RoiAlignGradWorkspaceSize(DataType type, const RoiAlignProblem& problem, bool deterministic);

// The gradient of RoiAlign for every level; overwrites pyramid_gradient. Sums are float32 for every type.
// deterministic: each feature pixel adds its RoIs in their order, so that repeated calls give the same bits. Half and
// bfloat16 always do. Otherwise float32 uses atomic additions, in the order in which blocks happen to run. The workspace
// is aligned to 16 bytes.
cudaError_t RoiAlignGrad(DataType type, const RoiAlignProblem& problem, const void* pooled_gradient,
                         const float* boxes, const int32_t* image_index, void* const* pyramid_gradient,
                         void* workspace, bool deterministic, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_ROI_ALIGN_H_
