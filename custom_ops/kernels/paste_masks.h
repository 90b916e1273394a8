// Mask probabilities pasted into images, as COCO run-length codes; no image-sized mask is ever made.
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

// Calls store(n, counts) once for every mask, possibly from several threads at once: the "counts" of COCO's compressed
// code of the pixels whose value is >= threshold, which must be > 0. A pixel's value is the mask read bilinearly at the
// pixel's centre, with zeros around it (mmdetection's _do_paste_mask: grid_sample, align_corners = false). A box
// without area, or whose width or height is not finite, has an empty mask.
void PasteMasks(const BoxMasks& masks, int64_t num_masks, float threshold,
                const std::function<void(int64_t, std::string_view)>& store, const ParallelFor& parallel_for);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_PASTE_MASKS_H_
