// Mask targets from run-length codes: 1 if RoIAlign (adaptive sampling, aligned) of the object's bitmap is >= 0.5.
#ifndef AWSDET_KERNELS_RLE_TARGETS_H_
#define AWSDET_KERNELS_RLE_TARGETS_H_

#include <cstdint>

#include "kernels/parallel.h"

namespace awsdet {

// Computes where each run of N objects ends in the bitmap of its object, which is stored column after column: run_ends
// [splits[N]] are sums of runs [splits[N]] within each object. Object n has the runs splits[n] to splits[n + 1] - 1.
// Returns false if a run is negative.
bool RunEnds(const int32_t* runs, const int64_t* splits, int64_t num_objects, int64_t* run_ends);

// COCO run-length codes of N objects. Runs of zeros and runs of ones alternate; the first run is of zeros.
struct RunLengthCodes {
  const int64_t* run_ends;    // result of RunEnds; the last one of an object must be height * width
  const int64_t* splits;      // [N + 1]; the mask of an object without runs is empty
  const int32_t* image_size;  // [N, 2], height and width of each object's bitmap, in [0, kMaxExtent]
};

// Fills targets [R, size, size] with 0 and 1. object_index [R]: the object of each RoI, must be in [0, N). rois [R, 4]:
// x1 y1 x2 y2 in pixels of the bitmap. If a RoI has no area or is not finite, its target is 0. Only the columns that a
// RoI reads are decoded.
void RleTargets(const RunLengthCodes& codes, const int32_t* object_index, const float* rois, int64_t num_rois,
                int64_t size, float* targets, const ParallelFor& parallel_for);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_RLE_TARGETS_H_
