// Non-maximum suppression of a batch of images: greedy (hard), and Soft-NMS (Bodla et al. 2017), class by class.
#ifndef AWSDET_KERNELS_NMS_H_
#define AWSDET_KERNELS_NMS_H_

#include <cstdint>

#include "kernels/nms_rule.h"
#include "kernels/parallel.h"

namespace awsdet {

struct NmsRule {
  NmsMethod method;
  float iou_threshold;    // in [0, 1]
  float score_threshold;  // only scores above it are kept; not negative for the soft methods
  float sigma;            // above 0; of kGaussian
  int64_t max_output;
};

struct ScoredBoxes {
  const float* boxes;      // [images, count, 4], x1, y1, x2, y2
  const float* scores;     // [images, count]
  const int32_t* classes;  // [images, count], any values
  int64_t images;
  int64_t count;
};

// By falling score, equal scores by rising index; zeros after the last.
struct KeptBoxes {
  int32_t* indices;  // [images, max_output]
  float* scores;     // [images, max_output]
  int32_t* count;    // [images]
};

// A box of another class neither suppresses nor is suppressed. A box with a coordinate that is not finite, and one
// whose score is NaN, is as if it were not there. Two boxes that are empty or turned inside out have IoU 0.
// The result does not depend on how `parallel` cuts the work.
void Nms(const ScoredBoxes& input, const NmsRule& rule, const ParallelFor& parallel, const KeptBoxes& kept);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_H_
