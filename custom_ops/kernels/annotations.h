// What is annotated on an image, moved to where it lies on the resized and mirrored one.
#ifndef AWSDET_KERNELS_ANNOTATIONS_H_
#define AWSDET_KERNELS_ANNOTATIONS_H_

#include <cstdint>
#include <vector>

namespace awsdet {

// From the original image to the resized one; all sides 1 at least.
struct Placement {
  int64_t old_height, old_width, height, width;
  bool flip;  // mirror left and right
};

// `stored` [count, 4] little-endian float64 x, y, width, height, at any address -> boxes [count, 4] x1, y1, x2, y2, cut
// at the image's sides.
void PlaceBoxes(const char* stored, int64_t count, const Placement& placement, float* boxes);

// `stored` [count, 2] little-endian float64 x, y, at any address -> points [count, 2], not cut.
void PlacePoints(const char* stored, int64_t count, const Placement& placement, float* points);

// Appends the run lengths of the resized mask (nearest neighbour with half-pixel centres) to `result`. `counts` are
// COCO's: column-major over the original image, zeros first. False where one is negative or a run but the last ends
// beyond the image.
bool PlaceRuns(const int64_t* counts, int64_t num_counts, const Placement& placement, std::vector<int32_t>* result);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ANNOTATIONS_H_
