// Mask targets from polygons: a target pixel is 1 where its centre, mapped into the RoI, lies inside the object.
#ifndef AWSDET_KERNELS_POLYGON_TARGETS_H_
#define AWSDET_KERNELS_POLYGON_TARGETS_H_

#include <cstdint>

#include "kernels/parallel.h"

namespace awsdet {

// The polygons of N objects, ragged twice: object n has the parts object_splits[n] … object_splits[n + 1] - 1, part p
// the numbers x0 y0 x1 y1 … at part_splits[p] … part_splits[p + 1] - 1, an even number of them.
struct Polygons {
  const float* coordinates;
  const int64_t* part_splits;
  const int64_t* object_splits;
};

// Fills targets [R, size, size] with 0 and 1. object_index [R]: the object of each RoI, must be in [0, N); rois [R, 4]
// x1 y1 x2 y2. Within a part the even-odd rule holds; the parts of an object are united. A part with fewer than three
// points, or with one that is not finite in the RoI's coordinates, is empty.
void PolygonTargets(const Polygons& polygons, const int32_t* object_index, const float* rois, int64_t num_rois,
                    int64_t size, float* targets, const ParallelFor& parallel_for);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_POLYGON_TARGETS_H_
