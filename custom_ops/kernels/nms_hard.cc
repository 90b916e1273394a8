#include <algorithm>
#include <limits>

#include "kernels/nms_classes.h"

namespace awsdet {
namespace {

constexpr int64_t kLanes = 16;

int64_t Padded(int64_t size) { return (size + kLanes - 1) / kLanes * kLanes; }

struct Probe {
  float x1, y1, x2, y2, area;
  float threshold;
  float surely_below;  // an intersection of less than this times the union is not above the threshold
};

// Whether the IoU of the probe and one of the `count` boxes in lanes is above the threshold.
//
// The reference divides and compares in float32. A product that is a little too small settles nearly every pair
// without a division; the few others are divided, so that the answer is the reference's to the last bit.
__attribute__((target_clones("avx512f", "avx2", "default")))
bool IsSuppressed(const Probe& probe, const float* lanes, int64_t stride, int64_t count) {
  const float *x1 = lanes, *y1 = x1 + stride, *x2 = y1 + stride, *y2 = x2 + stride, *area = y2 + stride;
  for (int64_t begin = 0; begin < count; begin += kLanes) {
    float intersections[kLanes], unions[kLanes];
    int32_t close = 0;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const int64_t i = begin + lane;
      const float width = std::min(probe.x2, x2[i]) - std::max(probe.x1, x1[i]);
      const float height = std::min(probe.y2, y2[i]) - std::max(probe.y1, y1[i]);
      const float intersection = std::max(width, 0.0f) * std::max(height, 0.0f);
      const float both = probe.area + area[i] - intersection;
      intersections[lane] = intersection;
      unions[lane] = both;
      close |= (intersection > 0.0f) & (intersection >= probe.surely_below * both);
    }
    if (!close) continue;
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      if (intersections[lane] / unions[lane] > probe.threshold) return true;
    }
  }
  return false;
}

}  // namespace

void HardNms::Advance(int64_t limit, uint8_t* survives) {
  for (; next_ < input_.size && input_.member[next_] < limit && kept_ < max_output_; ++next_) {
    const float* box = input_.Box(next_);
    const Probe probe{box[0],         box[1],
                      box[2],         box[3],
                      (box[2] - box[0]) * (box[3] - box[1]),
                      iou_threshold_, iou_threshold_ * (1.0f - 1e-5f)};
    if (kept_ > 0 && IsSuppressed(probe, lanes_.data(), stride_, kept_)) continue;
    survives[input_.member[next_]] = 1;
    Keep(box);
  }
}

void HardNms::Keep(const float* box) {
  if (lanes_.empty()) {
    stride_ = Padded(std::min(input_.size, max_output_));
    // Lanes without a box are turned inside out, so that they overlap nothing.
    lanes_.assign(5 * stride_, 0.0f);
    std::fill_n(lanes_.begin(), 2 * stride_, std::numeric_limits<float>::max());
    std::fill_n(lanes_.begin() + 2 * stride_, 2 * stride_, std::numeric_limits<float>::lowest());
  }
  for (int side = 0; side < 4; ++side) lanes_[side * stride_ + kept_] = box[side];
  lanes_[4 * stride_ + kept_] = (box[2] - box[0]) * (box[3] - box[1]);
  ++kept_;
}

}  // namespace awsdet
