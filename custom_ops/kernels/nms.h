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
  float score_threshold;  // only boxes with a higher score are kept; not negative for the soft methods
  float sigma;            // of kGaussian; above 0
  int64_t max_output;
};

struct ScoredBoxes {
  const float* boxes;      // [images, count, 4], x1, y1, x2, y2
  const float* scores;     // [images, count]
  const int32_t* classes;  // [images, count], any values
  int64_t images;
  int64_t count;
};

// Boxes of different classes do not suppress each other. A box is ignored if a coordinate is not finite or its score is
// NaN. If two boxes are empty or inverted (x2 < x1 or y2 < y1), their IoU is 0. The result does not depend on how
// `parallel` divides the work.
void Nms(const ScoredBoxes& input, const NmsRule& rule, const ParallelFor& parallel, const KeptBoxes& kept);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_H_
