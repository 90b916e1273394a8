// The rule of matching for the CPU and the GPU: how much a candidate box and an object overlap.
#ifndef AWSDET_KERNELS_MATCH_RULE_H_
#define AWSDET_KERNELS_MATCH_RULE_H_

#include <cstdint>
#include <cstring>

#include "kernels/nms_rule.h"
#include "kernels/portable.h"

namespace awsdet {

// mmdetection's MaxIoUAssigner. A candidate is positive if its IoU with a target is at least positive_iou, negative if
// its IoU with every target is below negative_iou, and otherwise ignored.
struct MatchRule {
  float positive_iou;
  float negative_iou;
  // Each target also gets the candidates with which it has its highest IoU, if that is at least min_positive_iou. If
  // several targets claim a candidate, the last one gets it.
  bool low_quality_matches;
  float min_positive_iou;
  // A candidate is ignored, and matched to nothing, if more than this share of it lies in a crowd; negative: none is.
  float ignore_iof;
};

constexpr float kLeastArea = 1e-6f;  // a quotient of areas is divided by this at least

// The area of a box in square pixels; 0 if it is inverted.
AWSDET_HOST_DEVICE inline float ClampedArea(const Box& box) {
  return RoundedMultiply(Larger(0.0f, box.x2 - box.x1), Larger(0.0f, box.y2 - box.y1));
}

// Intersection over union of two boxes with these areas, whose intersection is `common`. Every step is rounded.
AWSDET_HOST_DEVICE inline float MatchIou(float common, float area, float other_area) {
  return common / Larger(kLeastArea, RoundedAdd(area, other_area) - common);
}

// The share of a box with this area that lies in the intersection `common`.
AWSDET_HOST_DEVICE inline float MatchIof(float common, float area) { return common / Larger(kLeastArea, area); }

// The bits of a float as an integer: the order of floats that are not negative is that of these integers, and those of
// negative floats are below them.
AWSDET_HOST_DEVICE inline int32_t FloatBits(float value) {
  int32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

AWSDET_HOST_DEVICE inline float BitsFloat(int32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_MATCH_RULE_H_
