// Where a sampled anchor lies in a feature pyramid; CPU and GPU share it.
#ifndef AWSDET_KERNELS_CELL_WINDOWS_RULE_H_
#define AWSDET_KERNELS_CELL_WINDOWS_RULE_H_

#include <cstdint>

#include "kernels/portable.h"

namespace awsdet {

constexpr int kMaxWindowLevels = 8;
constexpr int kWindowCells = 9;  // of a window of 3 x 3 cells, row by row

// The cells of a pyramid, numbered level by level, finest first, and row by row. Every cell has `anchors_per_cell`
// anchors, which are numbered in the same order.
struct CellGrid {
  int32_t levels;
  int32_t anchors_per_cell;  // at least 1
  int32_t height[kMaxWindowLevels];
  int32_t width[kMaxWindowLevels];
};

struct Cell {
  int32_t level;  // -1: there is no such cell
  int32_t row, column;
};

// The cell of an anchor; any number is allowed.
AWSDET_HOST_DEVICE inline Cell CellOfAnchor(const CellGrid& grid, int32_t anchor) {
  int64_t cell = anchor < 0 ? -1 : anchor / grid.anchors_per_cell;
  for (int32_t level = 0; cell >= 0 && level < grid.levels; ++level) {
    const int64_t width = grid.width[level], count = grid.height[level] * width;
    if (cell < count) return {level, static_cast<int32_t>(cell / width), static_cast<int32_t>(cell % width)};
    cell -= count;
  }
  return {-1, 0, 0};
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_CELL_WINDOWS_RULE_H_
