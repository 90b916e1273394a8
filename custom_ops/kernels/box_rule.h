// How a box is made from an anchor and the deltas of a head, for the CPU and the GPU: Fast R-CNN, equations 1 and 2.
//
// Every step is a float32 operation in the order of awsdet.detection.boxes. Only the exponential is computed otherwise:
// in double, by the same operations everywhere, and rounded once.
#ifndef AWSDET_KERNELS_BOX_RULE_H_
#define AWSDET_KERNELS_BOX_RULE_H_

#include <cstdint>
#include <cstring>

#include "kernels/nms_rule.h"
#include "kernels/portable.h"

namespace awsdet {

struct BoxDecoding {
  float stds[4];        // the deltas dx, dy, dw, dh are multiplied by these
  float max_log_ratio;  // dw and dh are clamped to plus or minus this; above 0, at most kLargestLogRatio
};

constexpr float kLargestLogRatio = 80.0f;  // its exponential is a float32

// `value` between `low` and `high`; NaN stays NaN.
AWSDET_HOST_DEVICE inline float Clamped(float value, float low, float high) {
  const float below = value > high ? high : value;
  return below < low ? low : below;
}

// The exponential of a number whose magnitude is at most kLargestLogRatio, or of NaN.
AWSDET_HOST_DEVICE inline float Exponential(float x) {
  // x = n * log(2) + r with |r| <= log(2) / 2. Adding 1.5 * 2^52 rounds to an integer, which is in the lowest bits then.
  const double shift = 6755399441055744.0;
  const double exact = x;
  const double shifted = RoundedAdd(RoundedMultiply(exact, 1.4426950408889634), shift);
  const double n = RoundedAdd(shifted, -shift);
  const double r = RoundedAdd(RoundedAdd(exact, RoundedMultiply(n, -0.693147180369123816490)),
                              RoundedMultiply(n, -1.90821492927058770002e-10));
  double sum = 1.0 / 40320;  // Taylor's series up to the power 8, whose error is below 1e-9 of the result
  const double factors[] = {1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0};
  for (const double factor : factors) sum = RoundedAdd(RoundedMultiply(sum, r), factor);
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + 1023) << 52;
  double power;
  memcpy(&power, &bits, sizeof(power));
  return static_cast<float>(RoundedMultiply(sum, power));
}

// The factor by which delta number `which`, 2 (dw) or 3 (dh), scales an anchor.
AWSDET_HOST_DEVICE inline float Growth(float delta, int which, const BoxDecoding& rule) {
  return Exponential(Clamped(RoundedMultiply(delta, rule.stds[which]), -rule.max_log_ratio, rule.max_log_ratio));
}

// An anchor moved by the deltas dx and dy, and scaled by two factors.
AWSDET_HOST_DEVICE inline Box Moved(const Box& anchor, float dx, float dy, float growth_x, float growth_y,
                                    const BoxDecoding& rule) {
  const float width = RoundedAdd(anchor.x2, -anchor.x1), height = RoundedAdd(anchor.y2, -anchor.y1);
  const float half_width = RoundedMultiply(RoundedMultiply(0.5f, width), growth_x);
  const float half_height = RoundedMultiply(RoundedMultiply(0.5f, height), growth_y);
  const float x = RoundedAdd(RoundedMultiply(RoundedAdd(anchor.x1, anchor.x2), 0.5f),
                             RoundedMultiply(width, RoundedMultiply(dx, rule.stds[0])));
  const float y = RoundedAdd(RoundedMultiply(RoundedAdd(anchor.y1, anchor.y2), 0.5f),
                             RoundedMultiply(height, RoundedMultiply(dy, rule.stds[1])));
  return {RoundedAdd(x, -half_width), RoundedAdd(y, -half_height), RoundedAdd(x, half_width),
          RoundedAdd(y, half_height)};
}

// The box that `deltas` dx, dy, dw, dh make of an anchor.
AWSDET_HOST_DEVICE inline Box Decode(const Box& anchor, const float (&deltas)[4], const BoxDecoding& rule) {
  return Moved(anchor, deltas[0], deltas[1], Growth(deltas[2], 2, rule), Growth(deltas[3], 3, rule), rule);
}

// The part of a box that lies in an image; NaN stays NaN.
AWSDET_HOST_DEVICE inline Box Clip(const Box& box, float height, float width) {
  return {Clamped(box.x1, 0.0f, width), Clamped(box.y1, 0.0f, height), Clamped(box.x2, 0.0f, width),
          Clamped(box.y2, 0.0f, height)};
}

// Whether a box is wider and higher than `size`; false if a side is NaN.
AWSDET_HOST_DEVICE inline bool IsLarger(const Box& box, float size) {
  return RoundedAdd(box.x2, -box.x1) > size && RoundedAdd(box.y2, -box.y1) > size;
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_BOX_RULE_H_
