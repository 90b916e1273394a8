// The rules of top_boxes for the CPU and the GPU: the order of logits, and what becomes of one that is chosen.
#ifndef AWSDET_KERNELS_TOP_BOXES_RULE_H_
#define AWSDET_KERNELS_TOP_BOXES_RULE_H_

#include <cmath>
#include <cstdint>

#include "kernels/box_rule.h"

namespace awsdet {

struct TopBoxesRule {
  int64_t limit;   // at most so many pairs of anchor and class are chosen per image and level; above 0
  float min_size;  // boxes must be wider and higher than this, px
  BoxDecoding decoding;
};

// M is the sum over the levels of how many pairs are chosen there: rule.limit, or all N * C if there are fewer. The
// pairs are level by level, by falling logit, of equal logits the lower index (anchor * C + class) first. NaN is lower
// than any logit.
struct TopBoxesResult {
  float* boxes;      // [B, M, 4], clipped to the image
  float* logits;     // [B, M]; minus infinity if the box is not larger than min_size or has a NaN, or the logit is NaN
  int32_t* classes;  // [B, M]
  int32_t* levels;   // [B, M]
};

// A key that rises as the logit falls: 0 and -0 have the same one, NaN has the largest.
AWSDET_HOST_DEVICE inline uint32_t LogitKey(float logit) { return logit == logit ? FallingKey(logit) : 0xffffffffu; }

// The key in the high half, so that of equal logits the lower index comes first.
AWSDET_HOST_DEVICE inline uint64_t PairKey(float logit, uint64_t index) {
  return static_cast<uint64_t>(LogitKey(logit)) << 32 | index;
}

// The logit that goes with a box: minus infinity if the box must not be used, otherwise a larger number.
AWSDET_HOST_DEVICE inline float UsableLogit(float logit, const Box& box, float min_size) {
  constexpr float kLowest = -3.402823466e38f;
  if (!(logit == logit) || !IsLarger(box, min_size)) return -static_cast<float>(INFINITY);
  return logit < kLowest ? kLowest : logit;
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_TOP_BOXES_RULE_H_
