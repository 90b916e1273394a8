// The pairs of anchor and class with the highest logits of each level of each image, decoded to boxes.
#ifndef AWSDET_KERNELS_TOP_BOXES_H_
#define AWSDET_KERNELS_TOP_BOXES_H_

#include <cstdint>
#include <vector>

#include "kernels/low_precision.h"
#include "kernels/parallel.h"
#include "kernels/top_boxes_rule.h"

namespace awsdet {

// Symbols: B images, N anchors of a level, C classes.
template <typename T>
struct ScoredLevel {
  const T* logits;  // [B, N, C]; N * C is below 2^31
  const T* deltas;  // [B, N, 4], dx, dy, dw, dh
  int64_t anchors;  // N
};

template <typename T>
struct ScoredPyramid {
  std::vector<ScoredLevel<T>> levels;
  const float* anchors;       // of all levels, one after the other: [sum of N, 4]
  const int32_t* image_size;  // [B, 2], height and width
  int64_t images;             // B
  int64_t classes;            // C
};

// T: float, Half or Bfloat16. The result does not depend on how `parallel` divides the work.
template <typename T>
void TopBoxes(const ScoredPyramid<T>& input, const TopBoxesRule& rule, const ParallelFor& parallel,
              const TopBoxesResult& result);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_TOP_BOXES_H_
