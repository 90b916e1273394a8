// What is annotated on an image, moved to where it lies in the image's window (see placement.h), and in its pixels. A
// window that is the whole image cuts nothing, not even what reaches out of the image.
#ifndef AWSDET_KERNELS_ANNOTATIONS_H_
#define AWSDET_KERNELS_ANNOTATIONS_H_

#include <cstdint>
#include <vector>

#include "kernels/placement.h"

namespace awsdet {

// A box that is cut is dropped if one of its sides becomes shorter than this, in pixels.
constexpr double kMinSide = 1.0;

// Numbers of boxes and polygons are at most this far from 0, in pixels: as float32 they are still exact to 64 px.
constexpr double kFarthest = 1e9;

// Whether all of `count` stored little-endian float64, at any address, are finite and at most kFarthest from 0.
bool AreNear(const char* stored, int64_t count);

// What the window leaves of a box. A box that is not cut is always kept, however small the resize made it.
struct Visibility {
  bool cut, kept;
};

// `stored` [4] little-endian float64 x, y, width, height, at any address -> box [4] x1, y1, x2, y2, cut at the sides of
// the image and then at those of the window. A box that is cut is kept if both its sides have kMinSide left, and of its
// area within the image at least the share `min_visible`.
Visibility PlaceBox(const char* stored, const Placement& placement, double min_visible, float* box);

// Appends to `points` (x0, y0, x1, …) the polygon of `count` corners that is `stored` as little-endian float64 x, y, at
// any address. What lies outside the window is cut off, side by side (Sutherland and Hodgman 1974): several pieces stay
// joined by lines of no width along the window's sides. Nothing is appended if no area is left; then returns false.
bool PlacePolygon(const char* stored, int64_t count, const Placement& placement, std::vector<float>* points);

// Appends the run lengths of the window of the resized mask (nearest neighbour with half-pixel centres) to `result`.
// `counts` are COCO's: column-major over the original image, zeros first. Returns false if one is negative, or if a run
// other than the last ends beyond the image. A mask that is empty in the window is a single run.
bool PlaceRuns(const int64_t* counts, int64_t num_counts, const Placement& placement, std::vector<int32_t>* result);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ANNOTATIONS_H_
