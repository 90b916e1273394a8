// The boxes that NMS of one image has to look at: filtered, ordered, grouped by class.
#ifndef AWSDET_KERNELS_NMS_CANDIDATES_H_
#define AWSDET_KERNELS_NMS_CANDIDATES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/nms_rule.h"

namespace awsdet {

// A number to sort by in the high half, what it belongs to in the low half.
using Keyed = uint64_t;

inline Keyed MakeKeyed(uint32_t key, size_t value) {
  return (static_cast<Keyed>(key) << 32) | static_cast<uint32_t>(value);
}
inline int32_t Value(Keyed keyed) { return static_cast<int32_t>(keyed & 0xffffffffu); }

// Sorts by the high halves. Where those are equal the order stays, and the low halves must rise from the start.
void SortByKey(std::vector<Keyed>* items, std::vector<Keyed>* scratch);

// Candidates of one class, members [begin, end).
struct ClassGroup {
  int64_t begin;
  int64_t end;
};

struct Candidates {
  std::vector<int32_t> order;       // indices of the image's boxes, by falling score or by index
  std::vector<int32_t> member;      // positions in `order`, class by class, rising in each
  std::vector<ClassGroup> classes;  // of `member`
};

// Of the boxes of one image with a score above the threshold (so none is NaN) and finite coordinates.
Candidates FindCandidates(const float* boxes, const float* scores, const int32_t* classes, int64_t count,
                          float score_threshold, bool by_score);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_NMS_CANDIDATES_H_
