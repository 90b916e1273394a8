// Pastes mask probabilities into images, as COCO run-length codes, without making masks of the size of the images.
#ifndef AWSDET_KERNELS_PASTE_MASKS_H_
#define AWSDET_KERNELS_PASTE_MASKS_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "kernels/parallel.h"

namespace awsdet {

// N masks of rows x columns probabilities, each with its box x1 y1 x2 y2 in pixels of its own image.
struct BoxMasks {
  const float* probabilities;  // [N, rows, columns]
  int64_t rows, columns;
  const float* boxes;         // [N, 4]
  const int32_t* image_size;  // [N, 2], height and width, not negative
};

// Calls store(n, counts) once for every mask, possibly from several threads at the same time. `counts` is COCO's
// compressed code of the pixels whose value is >= threshold, which must be > 0. The value of a pixel is the mask, with
// zeros around it, interpolated bilinearly at the pixel's centre (mmdetection's _do_paste_mask: grid_sample,
// align_corners = false). If a box has no area, or its width or height is not finite, its mask is empty.
void PasteMasks(const BoxMasks& masks, int64_t num_masks, float threshold,
                const std::function<void(int64_t, std::string_view)>& store, const ParallelFor& parallel_for);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_PASTE_MASKS_H_
