#include "kernels/anchors.h"

#include <algorithm>

namespace awsdet {
namespace {

// One row of cells of a level.
void WriteRow(const AnchorProblem& problem, int32_t level, int32_t row, const int32_t* image_size, int64_t images,
              float* boxes, bool* valid) {
  const int64_t length = static_cast<int64_t>(problem.width[level]) * problem.per_cell;
  const int64_t first = problem.first[level] + row * length;
  const int32_t per_cell = problem.per_cell, width = problem.width[level];
  const Box* const shapes = problem.shape + level * per_cell;
  const float stride = static_cast<float>(problem.stride[level]), y = RoundedMultiply(static_cast<float>(row), stride);
  float* box = boxes + 4 * first;
  for (int32_t column = 0; column < width; ++column) {
    const float x = RoundedMultiply(static_cast<float>(column), stride);
    for (int32_t kind = 0; kind < per_cell; ++kind, box += 4) {
      const Box& shape = shapes[kind];
      box[0] = x + shape.x1, box[1] = y + shape.y1, box[2] = x + shape.x2, box[3] = y + shape.y2;
    }
  }
  for (int64_t image = 0; image < images; ++image) {
    bool* const row_valid = valid + image * problem.Count() + first;
    const int32_t image_height = image_size[2 * image], image_width = image_size[2 * image + 1];
    if (problem.allowed_border >= 0.0f) {
      for (int64_t i = 0; i < length; ++i) {
        row_valid[i] = AnchorIsValid(problem, AnchorAt(problem, level, first + i), image_height, image_width);
      }
      continue;
    }
    // Without a border, the valid anchors of a row are those of its first cells.
    const int64_t high = RoundedUp(image_height, problem.pad_multiple);
    const int64_t wide = RoundedUp(image_width, problem.pad_multiple);
    const int64_t own = problem.stride[level];
    const int64_t cells = row * own < high ? std::min<int64_t>((wide + own - 1) / own, width) : 0;
    std::fill_n(row_valid, cells * per_cell, true);
    std::fill_n(row_valid + cells * per_cell, length - cells * per_cell, false);
  }
}

}  // namespace

void Anchors(const AnchorProblem& problem, const int32_t* image_size, int64_t images, const ParallelFor& parallel,
             float* boxes, bool* valid) {
  for (int32_t level = 0; level < problem.levels; ++level) {
    const int64_t cost = static_cast<int64_t>(problem.width[level]) * problem.per_cell * (2 + images);
    parallel(problem.height[level], cost, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        WriteRow(problem, level, static_cast<int32_t>(row), image_size, images, boxes, valid);
      }
    });
  }
}

}  // namespace awsdet
