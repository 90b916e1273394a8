// What the forward and gradient kernels of RoIAlign share: the geometry of a RoI, checks, and the shape of a block.
#ifndef AWSDET_CUDA_ROI_ALIGN_DEVICE_H_
#define AWSDET_CUDA_ROI_ALIGN_DEVICE_H_

#include <algorithm>
#include <type_traits>

#include "cuda/roi_align.h"
#include "cuda/vector.h"

namespace awsdet::cuda {

// The maps of a pyramid or of its gradient.
template <typename T>
struct Pyramid {
  T* map[kMaxLevels];
};

struct Roi {
  int32_t level;
  int32_t image;  // -1: no image of the batch, so the RoI is left out
  SampleAxis y;
  SampleAxis x;
};

__device__ __forceinline__ Roi MakeRoi(const RoiAlignProblem& problem, const float* __restrict__ boxes,
                                       const int32_t* __restrict__ image_index, int64_t r) {
  const float box[4] = {boxes[4 * r], boxes[4 * r + 1], boxes[4 * r + 2], boxes[4 * r + 3]};
  Roi roi;
  roi.image = image_index[r];
  if (roi.image < 0 || roi.image >= problem.images) roi.image = -1;
  roi.level = LevelOfBox(box, problem.finest_scale, problem.num_levels);
  const float stride = problem.stride[roi.level];
  const bool aligned = problem.aligned != 0;
  roi.y = MakeSampleAxis(box[1], box[3], stride, problem.height[roi.level], problem.output_size,
                         problem.sampling_ratio, aligned);
  roi.x = MakeSampleAxis(box[0], box[2], stride, problem.width[roi.level], problem.output_size,
                         problem.sampling_ratio, aligned);
  return roi;
}

// Number of elements before pixel (row, column) of one image of a map.
__device__ __forceinline__ int64_t PixelOffset(const RoiAlignProblem& problem, int level, int64_t image, int64_t row,
                                               int64_t column) {
  return ((image * problem.height[level] + row) * problem.width[level] + column) * problem.channels;
}

// The threads of a block: x runs over groups of V channels, y over `rows`. `slabs` blocks together cover all channels.
struct BlockShape {
  dim3 threads;
  unsigned slabs;
};

inline BlockShape MakeBlockShape(int64_t channels, int vector, int rows, int max_threads) {
  const int64_t groups = (channels + vector - 1) / vector;
  unsigned across = 8;
  while (across < groups && across < 64) across *= 2;
  const unsigned passes = (rows * across + max_threads - 1) / max_threads;
  return {dim3(across, std::max(1u, (rows + passes - 1) / passes)),
          static_cast<unsigned>((groups + across - 1) / across)};
}

inline bool IsValid(const RoiAlignProblem& problem) {
  if (problem.num_levels < 1 || problem.num_levels > kMaxLevels) return false;
  if (problem.output_size < 1 || problem.output_size > kMaxOutputSize || problem.sampling_ratio < 0) return false;
  if (problem.rois < 0 || problem.images < 0 || problem.channels < 0) return false;
  if (problem.rois > INT32_MAX || problem.images > INT32_MAX || problem.channels > (1 << 18)) return false;
  for (int level = 0; level < problem.num_levels; ++level) {
    if (problem.height[level] < 0 || problem.height[level] > kMaxExtent) return false;
    if (problem.width[level] < 0 || problem.width[level] > kMaxExtent) return false;
    if (!(problem.stride[level] > 0.0f)) return false;
  }
  return problem.finest_scale > 0.0f;
}

inline int64_t MapElements(const RoiAlignProblem& problem, int level) {
  return problem.images * problem.height[level] * problem.width[level] * problem.channels;
}

// Whether channels can be read and written 16 bytes at a time.
template <typename T>
bool CanVectorise(const RoiAlignProblem& problem, const void* const* pyramid, const void* pooled) {
  bool can = problem.channels % kWidest<T> == 0 && Aligned16(pooled);
  for (int level = 0; level < problem.num_levels; ++level) can = can && Aligned16(pyramid[level]);
  return can;
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_ROI_ALIGN_DEVICE_H_
