// NMS among the boxes of one class of one image.
#ifndef AWSDET_KERNELS_NMS_CLASSES_H_
#define AWSDET_KERNELS_NMS_CLASSES_H_

#include <cstdint>
#include <vector>

#include "kernels/nms.h"
#include "kernels/nms_grid.h"

namespace awsdet {

// The boxes of one class: the image's boxes order[member[i]] for i in [0, size). Members are rising.
struct ClassBoxes {
  const float* boxes;
  const int32_t* order;
  const int32_t* member;
  int64_t size;

  Box At(int32_t a_member) const { return BoxAt(boxes, order[a_member]); }
};

// Scratch memory, used for one class after the other.
struct HardScratch {
  std::vector<Box> boxes;
  KeptGrid grid;
};

// Greedy NMS that can be interrupted and continued. `order` must be by falling score.
class HardNms {
 public:
  HardNms(const ClassBoxes& input, float iou_threshold, int64_t max_output)
      : input_(input), iou_threshold_(iou_threshold), max_output_(max_output) {}

  // Decides about the members below `limit`. Sets survives[member] of those that are kept, at most max_output in all.
  void Advance(int64_t limit, HardScratch* scratch, uint8_t* survives);

 private:
  bool full() const { return static_cast<int64_t>(kept_.size()) >= max_output_; }

  ClassBoxes input_;
  float iou_threshold_;
  int64_t max_output_;
  int64_t next_ = 0;  // the first of input_.member that is not yet decided
  std::vector<Box> kept_;
};

// Soft-NMS. `order` must be rising. Writes decayed[member] of those that are kept, at most max_output in all.
void SoftNms(const ClassBoxes& input, const float* scores, const NmsRule& rule, float* decayed);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_CLASSES_H_
