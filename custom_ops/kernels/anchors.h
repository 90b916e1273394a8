// Anchors: the boxes that a dense head scores at every cell of every feature level.
#ifndef AWSDET_KERNELS_ANCHORS_H_
#define AWSDET_KERNELS_ANCHORS_H_

#include <cstdint>

#include "kernels/nms_rule.h"
#include "kernels/parallel.h"
#include "kernels/portable.h"

namespace awsdet {

constexpr int32_t kMostAnchorLevels = 16;
constexpr int32_t kMostAnchorShapes = 192;  // of all levels together

// Small enough to be an argument of a CUDA kernel. Anchors are ordered by level, row, column and shape.
struct AnchorProblem {
  int32_t levels;
  int32_t per_cell;                    // shapes of each level
  int32_t pad_multiple;                // each image is padded to multiples of this, px
  float allowed_border;                // anchors that reach further out of the image are not valid; negative: all are
  int32_t height[kMostAnchorLevels];   // cells
  int32_t width[kMostAnchorLevels];
  int32_t stride[kMostAnchorLevels];   // px per cell
  int64_t first[kMostAnchorLevels + 1];  // number of the first anchor of each level; then of all anchors
  Box shape[kMostAnchorShapes];        // level by level, around the centre of the anchor

  AWSDET_HOST_DEVICE int64_t Count() const { return first[levels]; }
};

struct Anchor {
  int32_t row, column;  // of its cell
  int32_t stride;
  Box box;
};

// Anchor number `i`, which is on `level`.
AWSDET_HOST_DEVICE inline Anchor AnchorAt(const AnchorProblem& problem, int32_t level, int64_t i) {
  const int32_t within = static_cast<int32_t>(i - problem.first[level]);
  const int32_t cell = within / problem.per_cell, kind = within % problem.per_cell;
  const int32_t row = cell / problem.width[level], column = cell % problem.width[level];
  const float stride = static_cast<float>(problem.stride[level]);
  // Anchors are centred on the upper left corner of their cell (offset 0, as in the reference).
  const float x = RoundedMultiply(static_cast<float>(column), stride);
  const float y = RoundedMultiply(static_cast<float>(row), stride);
  const Box& shape = problem.shape[level * problem.per_cell + kind];
  return {row, column, problem.stride[level], {x + shape.x1, y + shape.y1, x + shape.x2, y + shape.y2}};
}

AWSDET_HOST_DEVICE inline int64_t RoundedUp(int64_t value, int64_t multiple) {
  return value <= 0 ? 0 : (value + multiple - 1) / multiple * multiple;
}

// Whether an anchor takes part in the loss of an image of this size: its cell begins inside the image's own padded
// area, and it does not reach out too far. On the right and at the bottom the limit itself counts as outside.
AWSDET_HOST_DEVICE inline bool AnchorIsValid(const AnchorProblem& problem, const Anchor& anchor, int32_t height,
                                             int32_t width) {
  const int64_t stride = anchor.stride;
  const bool in_rows = anchor.row * stride < RoundedUp(height, problem.pad_multiple);
  const bool in_columns = anchor.column * stride < RoundedUp(width, problem.pad_multiple);
  if (!in_rows || !in_columns) return false;
  const float border = problem.allowed_border;
  if (!(border >= 0.0f)) return true;
  return anchor.box.x1 >= -border && anchor.box.y1 >= -border && anchor.box.x2 < static_cast<float>(width) + border &&
         anchor.box.y2 < static_cast<float>(height) + border;
}

// image_size [images, 2]: height and width. boxes [Count(), 4]; valid [images, Count()].
void Anchors(const AnchorProblem& problem, const int32_t* image_size, int64_t images, const ParallelFor& parallel,
             float* boxes, bool* valid);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ANCHORS_H_
