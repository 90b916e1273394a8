// The boxes that NMS has kept of one class, found by where they are.
#ifndef AWSDET_KERNELS_NMS_GRID_H_
#define AWSDET_KERNELS_NMS_GRID_H_

#include <cstdint>
#include <vector>

#include "kernels/nms_rule.h"

namespace awsdet {

// Kept boxes in cells by their centres. A box whose IoU with another is above t has its centre within
//   (1 - t) / (2 t)
// of the other's width and height from the other's: along each axis the shared length o of lengths w and v is more
// than t times their union w + v - o, so that v < w / t, and o is at most (w + v) / 2 less the centres' distance.
class KeptGrid {
 public:
  // Room for `boxes`, which Insert is then called with in any order, or with some of them. Where they are not to be
  // spread over cells there is one, which all are looked for in.
  void Reset(const std::vector<Box>& boxes, float iou_threshold, bool spread);

  void Insert(const Box& box);

  // Whether the IoU of `box` and one of the inserted is above the threshold.
  bool Suppresses(const Box& box) const;

 private:
  // Of one axis: cells of equal length from `first` on.
  struct Axis {
    float first = 0.0f;
    float cells_per_pixel = 0.0f;
    int32_t cells = 1;

    int32_t Cell(float at) const;
  };

  static Axis Divide(const std::vector<Box>& boxes, float Box::*low, float Box::*high, float reach);
  int32_t CellOf(const Box& box) const;

  float iou_threshold_ = 0.0f;
  float reach_ = 0.0f;  // in widths and heights of a box
  Axis columns_, rows_;
  std::vector<int32_t> begin_;   // of each cell's lanes; cells row by row
  std::vector<int32_t> filled_;  // end of those in use
  std::vector<float> lanes_;     // all x1, all y1, all x2, all y2, all areas
  int64_t stride_ = 0;
};

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_GRID_H_
