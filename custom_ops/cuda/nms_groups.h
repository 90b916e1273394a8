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

// Boxes that came in order: in each image those of a class are neighbours, and the scores of its candidates fall. Group
// g begins at box starts[g]. All pointers are device memory.
struct NmsRuns {
  const float* boxes;
  const float* scores;
  const int32_t* classes;
  const int32_t* starts;       // [group_count]
  const int32_t* group_count;
  int32_t* next_group;         // as in NmsGroups
  int64_t total;
  int64_t per_image;
  float score_threshold;
};

// The key of the group that the box, or the candidate, at a place belongs to.
__device__ __forceinline__ uint64_t GroupKey(const NmsGroups& groups, int64_t place) { return groups.keys[place]; }
__device__ __forceinline__ uint64_t GroupKey(const NmsRuns& runs, int64_t place) {
  return static_cast<uint64_t>(place / runs.per_image) << 32 | static_cast<uint32_t>(runs.classes[place]);
}

// The flat index of the box at a place.
__device__ __forceinline__ int64_t BoxIndex(const NmsGroups& groups, int64_t place) {
  return groups.order[groups.members[place]];
}
__device__ __forceinline__ int64_t BoxIndex(const NmsRuns&, int64_t place) { return place; }

// Where it is noted that the box at a place is kept.
__device__ __forceinline__ int64_t SurvivorPlace(const NmsGroups& groups, int64_t place) {
  return groups.members[place];
}
__device__ __forceinline__ int64_t SurvivorPlace(const NmsRuns&, int64_t place) { return place; }

__device__ __forceinline__ bool IsCandidate(const NmsGroups&, int64_t) { return true; }
__device__ __forceinline__ bool IsCandidate(const NmsRuns& runs, int64_t place) {
  return runs.scores[place] > runs.score_threshold && IsFinite(BoxAt(runs.boxes, place));
}

// Start the kernels of nms_hard.cu and nms_soft.cu. `kept`, `pool` and `pool_scores` are scratch memory for `total`
// elements. Hard NMS sets survives[place in order] (for runs: [flat index]) to 1 if a box is kept; Soft-NMS writes the
// decayed score of a box that is kept to decayed[flat index].
cudaError_t LaunchHardNms(const NmsProblem& problem, const NmsGroups& groups, const float* boxes, Box* kept,
                          uint8_t* survives, cudaStream_t stream);
cudaError_t LaunchHardNms(const NmsProblem& problem, const NmsRuns& runs, const float* boxes, Box* kept,
                          uint8_t* survives, cudaStream_t stream);
cudaError_t LaunchSoftNms(const NmsProblem& problem, const NmsGroups& groups, const float* boxes, const float* scores,
                          Box* pool, float* pool_scores, float* decayed, cudaStream_t stream);

// Number of blocks for kernels whose blocks take groups until none is left: about as many as a large GPU runs at once.
constexpr int64_t kGroupBlocks = 264;

template <typename Groups>
dim3 GroupGrid(const Groups& groups) {
  return dim3(static_cast<unsigned>(groups.total < kGroupBlocks ? groups.total : kGroupBlocks));
}

// Takes the next group [begin, end) for a block; returns false if there is none. Every thread of the block calls it.
template <typename Groups>
__device__ __forceinline__ bool TakeGroup(const Groups& groups, int thread, int64_t* range, int64_t* begin,
                                          int64_t* end) {
  if (thread == 0) {
    const int group = atomicAdd(groups.next_group, 1);
    range[0] = -1;
    if (group < *groups.group_count) {
      int64_t low = groups.starts[group], high = groups.total;
      const uint64_t key = GroupKey(groups, low);
      range[0] = low;
      while (high - low > 1) {  // the key at `low` is `key`, and from `high` on all keys differ
        const int64_t middle = low + (high - low) / 2;
        (GroupKey(groups, middle) == key ? low : high) = middle;
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
