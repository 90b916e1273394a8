// The boxes that a box head's deltas make of its RoIs, for every class, clipped to the image.
#ifndef AWSDET_KERNELS_DECODE_BOXES_H_
#define AWSDET_KERNELS_DECODE_BOXES_H_

#include <cstdint>

#include "kernels/box_rule.h"
#include "kernels/low_precision.h"
#include "kernels/parallel.h"

namespace awsdet {

// Sizes of one call. Symbols: B images, N boxes per image, C classes, D of them with deltas of their own.
struct DecodeSizes {
  int64_t images;         // B
  int64_t boxes;          // N
  int64_t classes;        // C
  int64_t delta_classes;  // D: C, or 1 if all classes share the deltas
};

// deltas [B, N, D, 4], boxes [B, N, 4], image_size [B, 2] (height and width) -> decoded [B, N * C, 4], classes
// [B, N * C]. T: float, Half or Bfloat16.
template <typename T>
void DecodeBoxes(const DecodeSizes& sizes, const BoxDecoding& rule, const T* deltas, const float* boxes,
                 const int32_t* image_size, const ParallelFor& parallel, float* decoded, int32_t* classes);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_DECODE_BOXES_H_
