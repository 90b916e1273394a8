// The rules of NMS for the CPU and the GPU: the overlap of two boxes, and the order of scores.
#ifndef AWSDET_KERNELS_NMS_RULE_H_
#define AWSDET_KERNELS_NMS_RULE_H_

#include <cstdint>
#include <cstring>

#include "kernels/portable.h"

namespace awsdet {

enum class NmsMethod : int32_t { kHard = 0, kLinear = 1, kGaussian = 2 };

struct Box {
  float x1, y1, x2, y2;
};

// The kept boxes by falling score, of equal scores the lower index first; then zeros, and -1 as class.
struct KeptBoxes {
  int32_t* indices;  // [images, max_output]
  float* scores;     // [images, max_output]
  int32_t* count;    // [images]
  float* boxes;      // [images, max_output, 4]
  int32_t* classes;  // [images, max_output]
  bool* valid;       // [images, max_output], whether the place holds a box
};

// Reads box number `index` of boxes [.., 4].
AWSDET_HOST_DEVICE inline Box BoxAt(const float* boxes, int64_t index) {
  const float* box = boxes + 4 * index;
  return {box[0], box[1], box[2], box[3]};
}

AWSDET_HOST_DEVICE inline void StoreBox(const Box& box, float* to) {
  to[0] = box.x1;
  to[1] = box.y1;
  to[2] = box.x2;
  to[3] = box.y2;
}

AWSDET_HOST_DEVICE inline bool IsFinite(const Box& box) {
  // Zero times a finite number is zero, zero times any other is NaN. (A sum of the coordinates themselves might
  // overflow.)
  return box.x1 * 0.0f + box.y1 * 0.0f + box.x2 * 0.0f + box.y2 * 0.0f == 0.0f;
}

AWSDET_HOST_DEVICE inline float Area(const Box& box) { return RoundedMultiply(box.x2 - box.x1, box.y2 - box.y1); }

// The area that two finite boxes share; 0 if they share nothing.
AWSDET_HOST_DEVICE inline float CommonArea(const Box& a, const Box& b) {
  const float width = Smaller(a.x2, b.x2) - Larger(a.x1, b.x1);
  const float height = Smaller(a.y2, b.y2) - Larger(a.y1, b.y1);
  return RoundedMultiply(Larger(0.0f, width), Larger(0.0f, height));
}

// Intersection over union as the reference computes it: widths are x2 - x1 without + 1, and every step is rounded to
// float32. It is 0 if the boxes share nothing, also if both are empty.
AWSDET_HOST_DEVICE inline float Iou(const Box& a, float a_area, const Box& b, float b_area) {
  const float common = CommonArea(a, b);
#ifdef __CUDA_ARCH__
  if (!(common > 0.0f)) return 0.0f;  // there a branch costs less than a division, here vectors have no branches
#endif
  const float quotient = common / (RoundedAdd(a_area, b_area) - common);
  return common > 0.0f ? quotient : 0.0f;
}

// A key that rises as the score falls; 0 and -0 have the same key.
AWSDET_HOST_DEVICE inline uint32_t FallingKey(float score) {
  const float one_zero = score + 0.0f;
  uint32_t bits;
  memcpy(&bits, &one_zero, sizeof(bits));
  const bool negative = bits >> 31;
  return negative ? bits : ~(bits | 0x80000000u);
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_RULE_H_
