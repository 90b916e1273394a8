// The rule of sampling for the CPU and the GPU: the order of candidates, and the deltas that a candidate is to learn.
#ifndef AWSDET_KERNELS_SAMPLE_RULE_H_
#define AWSDET_KERNELS_SAMPLE_RULE_H_

#include <cmath>
#include <cstdint>

#include "kernels/nms_rule.h"
#include "kernels/portable.h"

namespace awsdet {

struct SampleRule {
  int64_t size;            // candidates that are chosen per image
  int64_t positive_limit;  // at most so many of them are positive
  int32_t background;      // the label of all that are not positive
  float stds[4];           // what dx, dy, dw, dh are divided by
};

// A number that rises with the key; 0 and -0 have the same number.
AWSDET_HOST_DEVICE inline uint32_t RisingKey(float key) { return ~FallingKey(key); }

// The place of a candidate in the order of its kind: by key, of equal keys by index.
AWSDET_HOST_DEVICE inline uint64_t SampleOrder(float key, int64_t index) {
  return static_cast<uint64_t>(RisingKey(key)) << 32 | static_cast<uint32_t>(index);
}

// The index in a SampleOrder.
AWSDET_HOST_DEVICE inline int64_t IndexOf(uint64_t order) { return static_cast<int64_t>(order & 0xffffffffu); }

// dx, dy, dw, dh that take `anchor` to `box` (Fast R-CNN, equations 1 and 2), divided by `stds`.
AWSDET_HOST_DEVICE inline void EncodeBox(const Box& box, const Box& anchor, const float* stds, float* deltas) {
  const float kTiny = 1e-6f;
  const float x = RoundedMultiply(box.x1 + box.x2, 0.5f), y = RoundedMultiply(box.y1 + box.y2, 0.5f);
  const float from_x = RoundedMultiply(anchor.x1 + anchor.x2, 0.5f);
  const float from_y = RoundedMultiply(anchor.y1 + anchor.y2, 0.5f);
  const float width = Larger(kTiny, box.x2 - box.x1), height = Larger(kTiny, box.y2 - box.y1);
  const float from_width = Larger(kTiny, anchor.x2 - anchor.x1), from_height = Larger(kTiny, anchor.y2 - anchor.y1);
  deltas[0] = (x - from_x) / from_width / stds[0];
  deltas[1] = (y - from_y) / from_height / stds[1];
  deltas[2] = logf(width / from_width) / stds[2];
  deltas[3] = logf(height / from_height) / stds[3];
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_SAMPLE_RULE_H_
