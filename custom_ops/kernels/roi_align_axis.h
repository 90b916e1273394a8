// The weights of a RoI's feature pixels along one axis.
//
// Bilinear samples and their average are separable: a bin is Wy . F . Wx, where a row of Wy holds the mean of the hat
// functions of that bin's sample rows.
#ifndef AWSDET_KERNELS_ROI_ALIGN_AXIS_H_
#define AWSDET_KERNELS_ROI_ALIGN_AXIS_H_

#include <cstdint>
#include <vector>

#include "kernels/roi_align_samples.h"
#include "kernels/weighted_sum.h"

namespace awsdet {

struct RoiAlignSettings {
  int64_t output_size;     // P: bins an axis
  int64_t sampling_ratio;  // samples a bin and axis; 0: as many as the bin has feature pixels, rounded up
  float finest_scale;      // boxes of this size (image pixels) and up to twice it are pooled from the finest level
  bool aligned;            // pixel centres lie at half-integer coordinates; false is the original Detectron rule
};

// The weights of one RoI along one axis.
class RoiAxis {
 public:
  // `low`, `high`: the sides of the box in image pixels; `extent`: pixels of the feature map, kMaxExtent at most.
  void Set(float low, float high, float stride, int64_t extent, const RoiAlignSettings& settings);

  // Pixels from the first to one beyond the last that any bin reads; both 0 where no sample counts.
  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  bool empty() const { return begin_ == end_; }

  // Of each bin the pixels it reads, counted from begin(), with their weights; valid until the next Set.
  const std::vector<Span>& bins() const { return bins_; }

 private:
  // The pixels and weights of a bin of which samples_ holds those samples that count.
  void AddBin(int samples, Span* bin);

  int64_t begin_ = 0, end_ = 0;
  std::vector<Span> bins_;
  std::vector<float> weights_;
  std::vector<BilinearSample> samples_;  // of one bin
};

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ROI_ALIGN_AXIS_H_
