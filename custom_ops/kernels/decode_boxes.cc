#include "kernels/decode_boxes.h"

#include <algorithm>

#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

constexpr int64_t kBlock = 64;  // deltas whose exponentials are computed together

// The factors of width and height of `count` deltas: growth[2 * i] and growth[2 * i + 1].
AWSDET_VECTOR_CLONES
void Growths(const float* deltas, int64_t count, const BoxDecoding& rule, float* growth) {
  const float stds[2] = {rule.stds[2], rule.stds[3]}, limit = rule.max_log_ratio;
  for (int64_t i = 0; i < 2 * count; ++i) {
    const float scaled = RoundedMultiply(deltas[i / 2 * 4 + 2 + i % 2], stds[i % 2]);
    growth[i] = Exponential(Clamped(scaled, -limit, limit));
  }
}

// Decodes all deltas of one box into the boxes of all its classes.
template <typename T>
void DecodeBox(const DecodeSizes& sizes, const BoxDecoding& rule, const T* deltas, const Box& box, float height,
               float width, float* decoded) {
  float moves[4 * kBlock], growth[2 * kBlock];
  for (int64_t begin = 0; begin < sizes.delta_classes; begin += kBlock) {
    const int64_t count = std::min(kBlock, sizes.delta_classes - begin);
    for (int64_t i = 0; i < 4 * count; ++i) moves[i] = ToFloat(deltas[4 * begin + i]);
    Growths(moves, count, rule, growth);
    for (int64_t i = 0; i < count; ++i) {
      const Box moved = Moved(box, moves[4 * i], moves[4 * i + 1], growth[2 * i], growth[2 * i + 1], rule);
      StoreBox(Clip(moved, height, width), decoded + 4 * (begin + i));
    }
  }
  for (int64_t i = sizes.delta_classes; i < sizes.classes; ++i) std::copy_n(decoded, 4, decoded + 4 * i);
}

}  // namespace

template <typename T>
void DecodeBoxes(const DecodeSizes& sizes, const BoxDecoding& rule, const T* deltas, const float* boxes,
                 const int32_t* image_size, const ParallelFor& parallel, float* decoded, int32_t* classes) {
  parallel(sizes.images * sizes.boxes, 15 * sizes.classes, [&](int64_t begin, int64_t end) {
    for (int64_t box = begin; box < end; ++box) {
      const int32_t* size = image_size + 2 * (box / sizes.boxes);
      DecodeBox(sizes, rule, deltas + 4 * box * sizes.delta_classes, BoxAt(boxes, box), static_cast<float>(size[0]),
                static_cast<float>(size[1]), decoded + 4 * box * sizes.classes);
      for (int64_t i = 0; i < sizes.classes; ++i) classes[box * sizes.classes + i] = static_cast<int32_t>(i);
    }
  });
}

#define AWSDET_INSTANTIATE(T)                                                                                     \
  template void DecodeBoxes(const DecodeSizes&, const BoxDecoding&, const T*, const float*, const int32_t*,       \
                            const ParallelFor&, float*, int32_t*);
AWSDET_INSTANTIATE(float)
AWSDET_INSTANTIATE(Half)
AWSDET_INSTANTIATE(Bfloat16)
#undef AWSDET_INSTANTIATE

}  // namespace awsdet
