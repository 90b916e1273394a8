// Images resized bilinearly, mirrored and padded in one pass from bytes to bytes.
#ifndef AWSDET_KERNELS_RESIZE_H_
#define AWSDET_KERNELS_RESIZE_H_

#include <cstdint>

namespace awsdet {

// Channels of an image: R, G, B.
constexpr int64_t kChannels = 3;

// Where one pixel of the result reads its axis of the source: value = lower + (upper - lower) * weight.
struct Sample {
  int32_t lower, upper;
  float weight;
};

struct ResizePlan {
  int64_t old_height, old_width;        // of the source, 1 at least
  int64_t height, width;                // of the resized image, 1 at least
  int64_t padded_height, padded_width;  // of the result, at least the above; what lies beyond them is 0
  bool flip;                            // mirror left and right
};

// source [old_height, old_width, 3] -> result [padded_height, padded_width, 3]. Bilinear with half-pixel centres and no
// antialiasing, in the float32 operations of TensorFlow's ResizeBilinear on the mirrored source, plus 0.5, truncated.
// On the calling thread alone.
void Resize(const uint8_t* source, const ResizePlan& plan, uint8_t* result);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_RESIZE_H_
