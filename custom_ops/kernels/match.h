// Matching: the object, if any, that each candidate box (anchor or RoI) is to learn.
#ifndef AWSDET_KERNELS_MATCH_H_
#define AWSDET_KERNELS_MATCH_H_

#include <cstdint>

#include "kernels/match_rule.h"
#include "kernels/parallel.h"

namespace awsdet {

// Boxes are x1, y1, x2, y2; they are finite, and their areas do not overflow.
struct MatchInput {
  const float* candidates;  // [count, 4] if all images share them, otherwise [images, count, 4]
  bool shared;
  const bool* valid;      // [images, count]; others are ignored and matched to nothing
  const float* boxes;     // [images, objects, 4]
  const bool* is_target;  // [images, objects]: objects to learn
  const bool* is_crowd;   // [images, objects]: regions to leave out
  int64_t images;
  int64_t count;
  int64_t objects;
};

// Rows of `count`, or of objects + count if the objects themselves are candidates too, before the others. These are
// matched to themselves: targets are positive, all others ignored.
struct Matches {
  bool* positive;
  bool* negative;
  int32_t* index;  // the object of positives; elsewhere one of the objects, or 0
  bool with_truth;
};

// The result does not depend on how `parallel` divides the work. No memory grows with the product of candidates and
// objects.
void Match(const MatchInput& input, const MatchRule& rule, const ParallelFor& parallel, const Matches& matches);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_MATCH_H_
