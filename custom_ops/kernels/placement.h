// Where an image lies in its batch. The source is mirrored or not, then resized as a whole. The batch shows a window of
// that, at the top left of the image's canvas.
#ifndef AWSDET_KERNELS_PLACEMENT_H_
#define AWSDET_KERNELS_PLACEMENT_H_

#include <cstdint>

namespace awsdet {

struct Placement {
  int64_t old_height, old_width;        // of the source, 1 at least
  int64_t height, width;                // of the whole resized image, 1 at least
  int64_t top, left;                    // where the window begins, in pixels of the resized image
  int64_t window_height, window_width;  // 1 at least; the window lies within the resized image
  bool flip;                            // mirror left and right

  // Whether the window is the whole image, so that nothing is cut.
  bool IsWhole() const { return window_height == height && window_width == width; }
};

}  // namespace awsdet

#endif  // AWSDET_KERNELS_PLACEMENT_H_
