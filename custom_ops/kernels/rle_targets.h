// Mask targets from run-length codes: RoIAlign (adaptive sampling, aligned) of the object's bitmap, and >= 0.5.
#ifndef AWSDET_KERNELS_RLE_TARGETS_H_
#define AWSDET_KERNELS_RLE_TARGETS_H_

#include <cstdint>

#include "kernels/parallel.h"

namespace awsdet {

// Where each run of N objects ends in its object's bitmap, which lies column after column. run_ends [splits[N]]:
// sums within each object of runs [splits[N]]; object n has the runs splits[n] … splits[n + 1] - 1.
// Returns false where a run is negative.
bool RunEnds(const int32_t* runs, const int64_t* splits, int64_t num_objects, int64_t* run_ends);

// COCO run-length codes of N objects: runs of zeros and ones in turn, zeros first.
struct RunLengthCodes {
  const int64_t* run_ends;    // as RunEnds computes them; the last of an object must be height * width
  const int64_t* splits;      // [N + 1]; an object without runs has an empty mask
  const int32_t* image_size;  // [N, 2], height and width of each object's bitmap, in [0, kMaxExtent]
};

// Fills targets [R, size, size] with 0 and 1. object_index [R]: the object of each RoI, must be in [0, N); rois [R, 4]
// x1 y1 x2 y2 in pixels of the bitmap. A RoI without area, or that is not finite, gives zeros. Only the columns that a
// RoI reads are decoded.
void RleTargets(const RunLengthCodes& codes, const int32_t* object_index, const float* rois, int64_t num_rois,
                int64_t size, float* targets, const ParallelFor& parallel_for);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_RLE_TARGETS_H_
