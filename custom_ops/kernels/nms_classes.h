// NMS among the boxes of one class of one image.
#ifndef AWSDET_KERNELS_NMS_CLASSES_H_
#define AWSDET_KERNELS_NMS_CLASSES_H_

#include <cstdint>
#include <vector>

#include "kernels/nms.h"

namespace awsdet {

// The boxes of one class: box `order[member[i]]` of the image for i in [0, size).
struct ClassBoxes {
  const float* boxes;
  const int32_t* order;
  const int32_t* member;
  int64_t size;

  const float* Box(int64_t i) const { return boxes + 4 * static_cast<int64_t>(order[member[i]]); }
};

// Greedy NMS that can be stopped and taken up again. Members come by falling score.
class HardNms {
 public:
  HardNms(const ClassBoxes& input, float iou_threshold, int64_t max_output)
      : input_(input), iou_threshold_(iou_threshold), max_output_(max_output) {}

  // Decides about the members below `limit` and sets survives[member] of those that stay, at most max_output of all.
  void Advance(int64_t limit, uint8_t* survives);

 private:
  void Keep(const float* box);

  ClassBoxes input_;
  float iou_threshold_;
  int64_t max_output_;
  int64_t next_ = 0;          // the first member that is not decided about
  int64_t kept_ = 0;
  int64_t stride_ = 0;        // room in lanes_ for so many boxes, a multiple of the vectors' length
  std::vector<float> lanes_;  // of the kept boxes: all x1, all y1, all x2, all y2, all areas
};

// Soft-NMS. Members come by rising index. Writes decayed[member] of those that stay, at most max_output of all.
void SoftNms(const ClassBoxes& input, const float* scores, const NmsRule& rule, float* decayed);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_CLASSES_H_
