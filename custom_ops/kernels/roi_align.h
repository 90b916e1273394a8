// RoIAlign over a feature pyramid, forward and gradient, on the CPU. He et al., Mask R-CNN; numbers as in mmcv and
// Detectron2's ROIAlignV2 (aligned, sampling_ratio 0).
//
// Symbols: B images, L levels of [B, H_l, W_l, C], R RoIs, P output size, C channels. T is float, Half or Bfloat16;
// sums are float32 and rounded once. Results are the same bit for bit for any number of threads.
#ifndef AWSDET_KERNELS_ROI_ALIGN_H_
#define AWSDET_KERNELS_ROI_ALIGN_H_

#include <cstdint>
#include <vector>

#include "kernels/low_precision.h"
#include "kernels/parallel.h"
#include "kernels/roi_align_axis.h"

namespace awsdet {

template <typename T>
struct PyramidLevel {
  T* values;  // [B, height, width, C]
  int64_t height, width;
  float stride;  // image pixels per feature pixel
};

// The RoIs, for forward and gradient. Any box is allowed: samples outside of the map, or at NaN, count as 0. Each
// `image` must be in [0, B).
struct Rois {
  const float* boxes;    // [R, 4] x1, y1, x2, y2 in image pixels
  const int32_t* image;  // [R]
  int64_t count;         // R
};

// Fills pooled [R, P, P, C].
template <typename T>
void RoiAlign(const std::vector<PyramidLevel<const T>>& pyramid, int64_t channels, const Rois& rois,
              const RoiAlignSettings& settings, const ParallelFor& parallel, T* pooled);

// Computes the gradient of every level from that of `pooled`, and overwrites `pyramid` with it.
template <typename T>
void RoiAlignGrad(const T* pooled_gradient, const std::vector<PyramidLevel<T>>& pyramid, int64_t batch,
                  int64_t channels, const Rois& rois, const RoiAlignSettings& settings, const ParallelFor& parallel);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ROI_ALIGN_H_
