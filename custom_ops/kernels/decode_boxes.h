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

// Decodes number `index` of the B * N * C results. read(const T*) returns the number there as float32.
template <typename T, typename Read>
AWSDET_HOST_DEVICE inline void DecodeOne(const DecodeSizes& sizes, const BoxDecoding& rule, int64_t index,
                                         const Read& read, const T* deltas, const float* boxes,
                                         const int32_t* image_size, float* decoded, int32_t* classes) {
  const int64_t box = index / sizes.classes, image = box / sizes.boxes, label = index % sizes.classes;
  const T* own = deltas + 4 * (box * sizes.delta_classes + (sizes.delta_classes == 1 ? 0 : label));
  float moves[4];
  for (int k = 0; k < 4; ++k) moves[k] = read(own + k);
  const float height = static_cast<float>(image_size[2 * image]), width = static_cast<float>(image_size[2 * image + 1]);
  StoreBox(Clip(Decode(BoxAt(boxes, box), moves, rule), height, width), decoded + 4 * index);
  classes[index] = static_cast<int32_t>(label);
}

// deltas [B, N, D, 4], boxes [B, N, 4], image_size [B, 2] (height and width) -> decoded [B, N * C, 4], classes
// [B, N * C]. T: float, Half or Bfloat16.
template <typename T>
void DecodeBoxes(const DecodeSizes& sizes, const BoxDecoding& rule, const T* deltas, const float* boxes,
                 const int32_t* image_size, const ParallelFor& parallel, float* decoded, int32_t* classes);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_DECODE_BOXES_H_
