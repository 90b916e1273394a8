#include "kernels/roi_align_axis.h"

#include <algorithm>
#include <cmath>

namespace awsdet {

int64_t RoiLevel(const float* box, float finest_scale, int64_t num_levels) {
  const float size = std::sqrt(std::max((box[2] - box[0]) * (box[3] - box[1]), 0.0f));
  const float level = std::floor(std::log(size / finest_scale + 1e-6f) / std::log(2.0f));
  if (!(level > 0.0f)) return 0;  // NaN too
  return static_cast<int64_t>(std::min(level, static_cast<float>(num_levels - 1)));
}

void RoiAxis::Set(float low, float high, int64_t extent, const RoiAlignSettings& settings) {
  const int64_t num_bins = settings.output_size;
  const float limit = static_cast<float>(extent);
  float start = low, length = high - low;
  if (settings.aligned) {
    start -= 0.5f;
  } else {
    length = std::max(length, 1.0f);
  }
  const float size = length / static_cast<float>(num_bins);
  const float wanted = settings.sampling_ratio > 0 ? static_cast<float>(settings.sampling_ratio) : std::ceil(size);
  // Not more than 0 where NaN.
  const int64_t samples = wanted > 0.0f ? static_cast<int64_t>(std::min(wanted, float{kMostRoiSamples})) : 0;

  bins_.assign(num_bins, Span{0, 0, nullptr});
  weights_.clear();
  positions_.resize(samples);
  begin_ = extent, end_ = 0;
  for (int64_t bin = 0; bin < num_bins && extent > 0; ++bin) {
    int64_t counted = 0;
    for (int64_t sample = 0; sample < samples; ++sample) {
      const float offset = (static_cast<float>(sample) + 0.5f) / static_cast<float>(samples);
      const float position = start + (static_cast<float>(bin) + offset) * size;
      if (!(position >= -1.0f && position <= limit)) continue;  // NaN too
      positions_[counted++] = std::min(std::max(position, 0.0f), limit - 1.0f);
    }
    if (counted > 0) AddBin(counted, samples, &bins_[bin]);
  }
  if (end_ == 0) begin_ = 0;
  const float* weights = weights_.data();  // which has stopped moving
  for (Span& bin : bins_) {
    bin.first -= bin.count > 0 ? begin_ : 0;
    bin.weights = weights;
    weights += bin.count;
  }
}

void RoiAxis::AddBin(int64_t counted, int64_t samples, Span* bin) {
  const auto [least, most] = std::minmax_element(positions_.begin(), positions_.begin() + counted);
  const int64_t first = static_cast<int64_t>(*least), end = static_cast<int64_t>(std::ceil(*most)) + 1;
  bin->first = first;
  bin->count = end - first;
  const size_t offset = weights_.size();
  weights_.resize(offset + bin->count, 0.0f);
  for (int64_t i = 0; i < counted; ++i) {
    const int64_t pixel = static_cast<int64_t>(positions_[i]);
    const float fraction = positions_[i] - static_cast<float>(pixel);
    weights_[offset + pixel - first] += 1.0f - fraction;
    if (fraction > 0.0f) weights_[offset + pixel - first + 1] += fraction;
  }
  for (size_t i = offset; i < weights_.size(); ++i) weights_[i] /= static_cast<float>(samples);
  begin_ = std::min(begin_, first);
  end_ = std::max(end_, end);
}

}  // namespace awsdet
