// Weighted sums of rows, and how results are stored: the inner loops of RoIAlign, vectorised over contiguous values.
#ifndef AWSDET_KERNELS_WEIGHTED_SUM_H_
#define AWSDET_KERNELS_WEIGHTED_SUM_H_

#include <cstdint>

#include "kernels/low_precision.h"

namespace awsdet {

// Consecutive rows of one axis, and the weight of each.
struct Span {
  int64_t first;  // first row
  int64_t count;
  const float* weights;  // [count]
};

// For each of `spans`: result[i, :] = sum over k of weights[k] * rows[first + k, :], in the order of k, in float32. A
// row has `length` values. The rows of `rows` begin `stride` values apart, those of `result` follow each other without
// gaps. An empty span gives zeros.
template <typename T>
void WeightedSums(const T* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans, float* result);

// The same, but added to `result`. An empty span changes nothing.
void AddWeightedSums(const float* rows, int64_t stride, int64_t length, const Span* spans, int64_t num_spans,
                     float* result);

// Rounds and stores `count` values. `stream`: writes past the caches, so that memory is not read before it is written.
template <typename T>
void Store(const float* values, int64_t count, bool stream, T* result);

// Stores `bytes` zeros, past the caches if `stream`.
void StoreZeros(int64_t bytes, bool stream, void* result);

// Whether to stream results of so many bytes: they are too many to be still in the caches when somebody reads them.
constexpr bool ShouldStream(int64_t bytes) { return bytes > (8 << 20); }

// A thread that has streamed calls it before it tells others that it is done.
void FinishStreaming();

}  // namespace awsdet

#endif  // AWSDET_KERNELS_WEIGHTED_SUM_H_
