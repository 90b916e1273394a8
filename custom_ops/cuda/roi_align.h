// RoIAlign over a feature pyramid on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// R RoIs, B images, C channels, L levels, P output size. Feature maps are [B, height, width, C], finest first; boxes
// float32 [R, 4] x1, y1, x2, y2 in image pixels; image_index int32 [R]; pooled [R, P, P, C]. Every pointer is device
// memory, aligned to its element type (to 16 bytes for the fast path). Nothing here waits for the GPU.
#ifndef AWSDET_CUDA_ROI_ALIGN_H_
#define AWSDET_CUDA_ROI_ALIGN_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/roi_align_samples.h"

namespace awsdet::cuda {

enum class DataType : int32_t { kFloat = 0, kHalf = 1, kBFloat16 = 2 };

constexpr int kMaxLevels = 8;
constexpr int kMaxOutputSize = 1024;

// Sizes and options of one call, passed to the kernels by value.
struct RoiAlignProblem {
  int64_t rois;
  int64_t images;
  int64_t channels;
  int32_t num_levels;
  int32_t output_size;
  int32_t sampling_ratio;  // samples a bin and axis; 0: as many as the bin has feature pixels, rounded up
  int32_t aligned;         // not 0: pixel centres lie at half-integer coordinates
  float finest_scale;      // boxes of this size (pixels) and up to twice it are pooled from the finest level
  int32_t height[kMaxLevels];
  int32_t width[kMaxLevels];
  float stride[kMaxLevels];  // image pixels a feature pixel
};

// Pools every RoI from the level that suits its size; a RoI whose image_index is outside [0, B) becomes zeros.
// cudaErrorInvalidValue: sizes that are negative or beyond the limits above, or a map's side beyond kMaxExtent.
cudaError_t RoiAlign(DataType type, const RoiAlignProblem& problem, const void* const* pyramid, const float* boxes,
                     const int32_t* image_index, void* pooled, cudaStream_t stream);

// Bytes of device memory that RoiAlignGrad wants as its workspace, which may be 0.
size_t RoiAlignGradWorkspaceSize(DataType type, const RoiAlignProblem& problem, bool deterministic);

// The gradient of RoiAlign for every level; overwrites pyramid_gradient. Sums are float32 whatever the type.
// deterministic: each feature pixel adds its RoIs in their order, so that repeats are equal bit for bit; otherwise
// atomic additions in whatever order blocks run. The workspace is aligned to 16 bytes.
cudaError_t RoiAlignGrad(DataType type, const RoiAlignProblem& problem, const void* pooled_gradient,
                         const float* boxes, const int32_t* image_index, void* const* pyramid_gradient,
                         void* workspace, bool deterministic, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_ROI_ALIGN_H_
