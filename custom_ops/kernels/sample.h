// Sampling: a fixed number of positives and negatives per image for the loss, and what they are to learn.
#ifndef AWSDET_KERNELS_SAMPLE_H_
#define AWSDET_KERNELS_SAMPLE_H_

#include <cstdint>

#include "kernels/parallel.h"
#include "kernels/sample_rule.h"

namespace awsdet {

// Rows of `length`: `count` candidates, or the objects and then these candidates.
struct SampleInput {
  const bool* positive;     // [images, length]
  const bool* negative;     // [images, length], none of the positives
  const int32_t* matched;   // [images, length], the object of each positive
  const float* keys;        // [images, length], not NaN
  const float* candidates;  // [count, 4] if all images share them, otherwise [images, count, 4]
  bool shared;
  const float* boxes;      // [images, objects, 4]
  const int32_t* classes;  // [images, objects]
  bool with_truth;         // the objects themselves are the first candidates
  int64_t images;
  int64_t count;
  int64_t objects;

  AWSDET_HOST_DEVICE int64_t Length() const { return count + (with_truth ? objects : 0); }
  // The box of candidate `index` of a row.
  AWSDET_HOST_DEVICE Box CandidateBox(int64_t image, int64_t index) const {
    const int64_t first = with_truth ? objects : 0;
    if (index < first) return BoxAt(boxes, image * objects + index);
    return BoxAt(candidates, (shared ? 0 : image * count) + index - first);
  }
};

// Rows of rule.size, except `counts`. Positives come first, then negatives, each by rising key; then zeros.
struct Samples {
  int32_t* index;  // the chosen candidates
  bool* positive;
  bool* valid;     // false in unused slots
  int32_t* truth;  // the object of positives, 0 elsewhere
  float* boxes;    // [.., 4], of the chosen candidates
  int32_t* labels;  // the class of positives, rule.background elsewhere
  float* deltas;   // [.., 4], of positives, 0 elsewhere
  bool* is_object;  // whether the candidate is an object itself
  float* counts;   // [images, 2]: positives and negatives
};

// Writes slot `slot` of an image, which gets candidate `index` of its row, or is unused if `index` is -1. A
// positive whose object does not exist becomes one of the background.
AWSDET_HOST_DEVICE inline void WriteSample(const SampleInput& input, const SampleRule& rule, const Samples& samples,
                                           int64_t image, int64_t slot, int64_t index, bool positive) {
  const int64_t place = image * rule.size + slot;
  const bool valid = index >= 0;
  const Box box = valid ? input.CandidateBox(image, index) : Box{0, 0, 0, 0};
  int32_t truth = positive ? input.matched[image * input.Length() + index] : 0;
  const bool known = positive && truth >= 0 && truth < input.objects;
  truth = known ? truth : 0;
  samples.index[place] = valid ? static_cast<int32_t>(index) : 0;
  samples.positive[place] = positive;
  samples.valid[place] = valid;
  samples.truth[place] = truth;
  samples.is_object[place] = valid && input.with_truth && index < input.objects;
  samples.labels[place] = known ? input.classes[image * input.objects + truth] : rule.background;
  float* const boxes = samples.boxes + 4 * place;
  boxes[0] = box.x1, boxes[1] = box.y1, boxes[2] = box.x2, boxes[3] = box.y2;
  float* const deltas = samples.deltas + 4 * place;
  deltas[0] = deltas[1] = deltas[2] = deltas[3] = 0.0f;
  if (known) EncodeBox(BoxAt(input.boxes, image * input.objects + truth), box, rule.stds, deltas);
}

// Returns the flat index of a positive that is chosen although its object does not exist, or -1. In this case the
// samples are not complete.
int64_t Sample(const SampleInput& input, const SampleRule& rule, const ParallelFor& parallel, const Samples& samples);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_SAMPLE_H_
