// The weights of a RoI's feature pixels along one axis.
//
// Bilinear samples and their average are separable: the bins are Wy . F . Wx, with the features F. A row of Wy holds,
// for one bin, the mean of the hat functions at the bin's sample rows; Wx is the same for columns.
#ifndef AWSDET_KERNELS_ROI_ALIGN_AXIS_H_
#define AWSDET_KERNELS_ROI_ALIGN_AXIS_H_

#include <cstdint>
#include <vector>

#include "kernels/roi_align_samples.h"
#include "kernels/weighted_sum.h"

namespace awsdet {

struct RoiAlignSettings {
  int64_t output_size;     // P: bins per axis
  int64_t sampling_ratio;  // samples per bin and axis; 0: as many as the bin has feature pixels, rounded up
  float finest_scale;      // boxes of up to twice this size (image pixels) are pooled from the finest level
  bool aligned;            // pixel centres are at half-integer coordinates; false: the rule of the original Detectron
};

// The weights of one RoI along one axis.
class RoiAxis {
 public:
  // `low`, `high`: the sides of the box in image pixels. `extent`: pixels of the feature map, at most kMaxExtent.
  void Set(float low, float high, float stride, int64_t extent, const RoiAlignSettings& settings);

  // The pixels [begin, end) that any bin reads; both are 0 if no sample counts.
  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  bool empty() const { return begin_ == end_; }

  // For each bin the pixels that it reads, counted from begin(), and their weights. Valid until the next Set.
  const std::vector<Span>& bins() const { return bins_; }

 private:
  // Adds the pixels and weights of a bin. samples_ holds those of its samples that count.
  void AddBin(int samples, Span* bin);

  int64_t begin_ = 0, end_ = 0;
  std::vector<Span> bins_;
  std::vector<float> weights_;
  std::vector<BilinearSample> samples_;  // samples of one bin
};

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ROI_ALIGN_AXIS_H_
