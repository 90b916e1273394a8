// Images resized bilinearly, mirrored, cropped and padded in one pass from bytes to bytes.
#ifndef AWSDET_KERNELS_RESIZE_H_
#define AWSDET_KERNELS_RESIZE_H_

#include <cstdint>

#include "kernels/placement.h"

namespace awsdet {

// Channels of an image: R, G, B.
constexpr int64_t kChannels = 3;

// Where one pixel of the result reads its axis of the source: value = lower + (upper - lower) * weight.
struct Sample {
  int32_t lower, upper;
  float weight;
};

// The height and width of the result, at least those of the window; what lies beyond the window is 0.
struct Canvas {
  int64_t height, width;
};

// source [old_height, old_width, 3] -> result [canvas.height, canvas.width, 3]. Bilinear with half-pixel centres and no
// antialiasing, in the float32 operations of TensorFlow's ResizeBilinear on the mirrored source, plus 0.5, truncated.
// Only the window's pixels are computed; they are those that the whole resized image has there, to the last bit.
// On the calling thread alone.
void Resize(const uint8_t* source, const Placement& placement, const Canvas& canvas, uint8_t* result);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_RESIZE_H_
