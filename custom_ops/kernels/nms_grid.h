// The boxes of one class that NMS has kept, sorted into cells so that close ones are found quickly.
#ifndef AWSDET_KERNELS_NMS_GRID_H_
#define AWSDET_KERNELS_NMS_GRID_H_

#include <cstdint>
#include <vector>

#include "kernels/nms_rule.h"

namespace awsdet {

// Kept boxes, in cells by their centres. If the IoU of two boxes is above t, their centres are close: along each axis
// their distance is less than (1 - t) / (2 t) times the length w of one of them. Proof: let v be the length of the
// other and o the length that they share. o is more than t times their union w + v - o, so v < w / t; and o is at most
// (w + v) / 2 minus the distance.
class KeptGrid {
 public:
  // Makes room for `boxes`. Insert can then be called with some or all of them, in any order. If they are not to be
  // spread over cells, there is only one cell.
  void Reset(const std::vector<Box>& boxes, float iou_threshold, bool spread);

  void Insert(const Box& box);

  // Whether the IoU of `box` and any inserted box is above the threshold.
  bool Suppresses(const Box& box) const;

 private:
  // The cells of one axis, which begin at `first` and have equal lengths.
  struct Axis {
    float first = 0.0f;
    float cells_per_pixel = 0.0f;
    int32_t cells = 1;

    int32_t Cell(float at) const;
  };

  static Axis Divide(const std::vector<Box>& boxes, float Box::*low, float Box::*high, float reach);
  int32_t CellOf(const Box& box) const;

  float iou_threshold_ = 0.0f;
  float reach_ = 0.0f;  // in units of the width and height of a box
  Axis columns_, rows_;
  std::vector<int32_t> begin_;   // first lane of each cell; cells are row by row
  std::vector<int32_t> filled_;  // end of the lanes in use, of each cell
  std::vector<float> lanes_;     // all x1, all y1, all x2, all y2, all areas
  int64_t stride_ = 0;
};

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_GRID_H_
