#include "kernels/decode_boxes.h"

namespace awsdet {

template <typename T>
void DecodeBoxes(const DecodeSizes& sizes, const BoxDecoding& rule, const T* deltas, const float* boxes,
                 const int32_t* image_size, const ParallelFor& parallel, float* decoded, int32_t* classes) {
  parallel(sizes.images * sizes.boxes * sizes.classes, 40, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto read = [](const T* value) { return ToFloat(*value); };
      DecodeOne(sizes, rule, i, read, deltas, boxes, image_size, decoded, classes);
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
