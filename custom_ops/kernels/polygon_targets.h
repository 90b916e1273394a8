// Mask targets from polygons: a target pixel is 1 if its centre, mapped into the RoI, is inside the object.
#ifndef AWSDET_KERNELS_POLYGON_TARGETS_H_
#define AWSDET_KERNELS_POLYGON_TARGETS_H_

#include <cstdint>

#include "kernels/parallel.h"

namespace awsdet {

// The polygons of N objects. Object n has the parts object_splits[n] to object_splits[n + 1] - 1. Part p has the
// coordinates part_splits[p] to part_splits[p + 1] - 1, which are x0 y0 x1 y1 …, so their number is even.
struct Polygons {
  const float* coordinates;
  const int64_t* part_splits;
  const int64_t* object_splits;
};

// Fills targets [R, size, size] with 0 and 1. object_index [R]: the object of each RoI, must be in [0, N). rois [R, 4]:
// x1 y1 x2 y2. The even-odd rule decides what is inside a part; an object is the union of its parts. A part is empty if
// it has fewer than three points, or one that is not finite in the RoI's coordinates.
void PolygonTargets(const Polygons& polygons, const int32_t* object_index, const float* rois, int64_t num_rois,
                    int64_t size, float* targets, const ParallelFor& parallel_for);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_POLYGON_TARGETS_H_
