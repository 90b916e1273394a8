#include "kernels/roi_align_axis.h"

#include <algorithm>

namespace awsdet {

void RoiAxis::Set(float low, float high, float stride, int64_t extent, const RoiAlignSettings& settings) {
  const SampleAxis axis =
      MakeSampleAxis(low, high, stride, static_cast<int32_t>(extent), static_cast<int>(settings.output_size),
                     static_cast<int>(settings.sampling_ratio), settings.aligned);
  bins_.assign(settings.output_size, Span{0, 0, nullptr});
  weights_.clear();
  begin_ = extent, end_ = 0;
  for (size_t bin = 0; bin < bins_.size(); ++bin) {
    samples_.clear();
    for (int i = 0; i < axis.samples; ++i) {
      BilinearSample sample;
      if (MakeBilinearSample(axis, static_cast<int>(bin), i, &sample)) samples_.push_back(sample);
    }
    if (!samples_.empty()) AddBin(axis.samples, &bins_[bin]);
  }
  if (end_ == 0) begin_ = 0;
  const float* weights = weights_.data();  // does not move any more
  for (Span& bin : bins_) {
    bin.first -= bin.count > 0 ? begin_ : 0;
    bin.weights = weights;
    weights += bin.count;
  }
}

void RoiAxis::AddBin(int samples, Span* bin) {
  int64_t first = samples_[0].pixel, end = 0;
  for (const BilinearSample& sample : samples_) {
    first = std::min<int64_t>(first, sample.pixel);
    end = std::max<int64_t>(end, sample.pixel + (sample.fraction > 0.0f ? 2 : 1));
  }
  bin->first = first;
  bin->count = end - first;
  const size_t offset = weights_.size();
  weights_.resize(offset + bin->count, 0.0f);
  for (const BilinearSample& sample : samples_) {
    float* weight = weights_.data() + offset + (sample.pixel - first);
    weight[0] += 1.0f - sample.fraction;
    if (sample.fraction > 0.0f) weight[1] += sample.fraction;
  }
  for (size_t i = offset; i < weights_.size(); ++i) weights_[i] /= static_cast<float>(samples);
  begin_ = std::min(begin_, first);
  end_ = std::max(end_, end);
}

}  // namespace awsdet
