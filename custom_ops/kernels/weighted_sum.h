// Sums of weighted rows, and where they go: the inner loops of RoIAlign, vectorised over contiguous values.
#ifndef AWSDET_KERNELS_WEIGHTED_SUM_H_
#define AWSDET_KERNELS_WEIGHTED_SUM_H_

#include <cstdint>

#include "kernels/low_precision.h"

namespace awsdet {

// Some consecutive rows of one axis and the weight of each.
struct Span {
  int64_t first;  // row
  int64_t count;
  const float* weights;  // [count]
};

// For each of `spans`: result[i, :] = sum of weights[k] * rows[first + k, :], in order of k, with float32 arithmetic.
// Rows are of `length` values; those of `rows` begin `stride` values apart, those of `result` lie densely. An empty span
// gives zeros.
template <typename T>
void WeightedSums(const T* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans, float* result);

// The same, added to what `result` holds; there an empty span changes nothing.
void AddWeightedSums(const float* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans,
                     float* result);

// Rounds `count` values, each once. `stream`: past the caches, so that memory is written without being read first.
template <typename T>
void Store(const float* values, int64_t count, bool stream, T* result);

// Whether results of so many bytes are better streamed: beyond a share of the caches nobody finds them there anyway.
constexpr bool ShouldStream(int64_t bytes) { return bytes > (8 << 20); }

// To be called by a thread that has streamed, before it tells others that it is done.
void FinishStreaming();

}  // namespace awsdet

#endif  // AWSDET_KERNELS_WEIGHTED_SUM_H_
