#include <algorithm>

#include "kernels/nms_classes.h"

namespace awsdet {
namespace {

constexpr size_t kFew = 64;  // so few kept boxes are compared one by one faster than through cells

}  // namespace

void HardNms::Advance(int64_t limit, HardScratch* scratch, uint8_t* survives) {
  const int32_t* member = input_.member + next_;
  const int32_t* end = std::lower_bound(member, input_.member + input_.size, limit);
  if (member == end || full()) return;
  std::vector<Box>& boxes = scratch->boxes;
  boxes = kept_;
  for (; member != end; ++member) boxes.push_back(input_.At(*member));
  KeptGrid& grid = scratch->grid;
  const size_t decided = kept_.size();
  bool spread = decided > kFew;
  const auto start = [&] {
    grid.Reset(boxes, iou_threshold_, spread);
    for (const Box& box : kept_) grid.Insert(box);
  };
  start();
  for (size_t i = decided; i < boxes.size() && !full(); ++i, ++next_) {
    if (grid.Suppresses(boxes[i])) continue;
    survives[input_.member[next_]] = 1;
    kept_.push_back(boxes[i]);
    if (spread || kept_.size() <= kFew) {
      grid.Insert(boxes[i]);
    } else {
      spread = true;
      start();
    }
  }
}

}  // namespace awsdet
