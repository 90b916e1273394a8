// The boxes that NMS of one image looks at: filtered, sorted and grouped by class.
#ifndef AWSDET_KERNELS_NMS_CANDIDATES_H_
#define AWSDET_KERNELS_NMS_CANDIDATES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/nms_rule.h"

namespace awsdet {

// High half: the number to sort by. Low half: the index of what it belongs to.
using Keyed = uint64_t;

inline Keyed MakeKeyed(uint32_t key, size_t value) {
  return (static_cast<Keyed>(key) << 32) | static_cast<uint32_t>(value);
}
inline int32_t Value(Keyed keyed) { return static_cast<int32_t>(keyed & 0xffffffffu); }

// Sorts by the high halves; equal ones keep their order. Before the call, the low halves must be rising.
void SortByKey(std::vector<Keyed>* items, std::vector<Keyed>* scratch);

// Candidates of one class, members [begin, end).
struct ClassGroup {
  int64_t begin;
  int64_t end;
};

struct Candidates {
  std::vector<int32_t> order;       // indices of the image's boxes, by falling score or rising
  std::vector<int32_t> member;      // positions in `order`, class by class, rising within each class
  std::vector<ClassGroup> classes;  // the parts of `member`
};

// Takes those boxes of an image that have finite coordinates and a score above the threshold (so it is not NaN).
Candidates FindCandidates(const float* boxes, const float* scores, const int32_t* classes, int64_t count,
                          float score_threshold, bool by_score);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_CANDIDATES_H_
