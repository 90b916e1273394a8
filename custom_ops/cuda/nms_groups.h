// The kernels of GPU NMS that decide within one class of one image. nms.cu sorts and groups the boxes before these
// kernels and collects the kept ones after them.
#ifndef AWSDET_CUDA_NMS_GROUPS_H_
#define AWSDET_CUDA_NMS_GROUPS_H_

#include <cstdint>

#include "cuda/launch.h"
#include "cuda/nms.h"

namespace awsdet::cuda {

constexpr float kGone = -1.0f;  // a score below every threshold of the soft methods

// The candidates, class by class. Group g begins at members[starts[g]] and ends with the run of equal keys. All
// pointers are device memory.
struct NmsGroups {
  const uint64_t* keys;     // [total] image, then 1 if it is no candidate, then class; rising
  const int32_t* members;   // [total] places in `order`
  const int32_t* order;     // [total] flat indices of boxes, by image and falling score (hard) or by index (soft)
  const int32_t* starts;    // [group_count]
  const int32_t* group_count;
  int32_t* next_group;      // a counter that begins at 0: each block takes the next group
  int64_t total;
};

// Start the kernels of nms_hard.cu and nms_soft.cu. `kept`, `pool` and `pool_scores` are scratch memory for `total`
// elements. Hard NMS sets survives[place in order] to 1 if a box is kept; Soft-NMS writes the decayed score of a box
// that is kept to decayed[flat index].
cudaError_t LaunchHardNms(const NmsProblem& problem, const NmsGroups& groups, const float* boxes, Box* kept,
                          uint8_t* survives, cudaStream_t stream);
cudaError_t LaunchSoftNms(const NmsProblem& problem, const NmsGroups& groups, const float* boxes, const float* scores,
                          Box* pool, float* pool_scores, float* decayed, cudaStream_t stream);

// Number of blocks for kernels whose blocks take groups until none is left: about as many as a large GPU runs at once.
constexpr int64_t kGroupBlocks = 264;

inline dim3 GroupGrid(const NmsGroups& groups) {
  return dim3(static_cast<unsigned>(groups.total < kGroupBlocks ? groups.total : kGroupBlocks));
}

// Takes the next group [begin, end) for a block; returns false if there is none. Every thread of the block calls it.
__device__ __forceinline__ bool TakeGroup(const NmsGroups& groups, int thread, int64_t* range, int64_t* begin,
                                          int64_t* end) {
  if (thread == 0) {
    const int group = atomicAdd(groups.next_group, 1);
    range[0] = -1;
    if (group < *groups.group_count) {
      int64_t low = groups.starts[group], high = groups.total;
      const uint64_t key = groups.keys[low];
      range[0] = low;
      while (high - low > 1) {  // keys[low] == key, and from `high` on all keys are larger
        const int64_t middle = low + (high - low) / 2;
        (groups.keys[middle] == key ? low : high) = middle;
      }
      range[1] = high;
    }
  }
  __syncthreads();
  *begin = range[0];
  *end = range[1];
  __syncthreads();
  return *begin >= 0;
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_NMS_GROUPS_H_
