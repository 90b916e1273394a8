// Soft-NMS within classes (Bodla et al. 2017), one block per class: the box with the highest score is kept, and the
// scores of the others decay by their overlap with it; then the same with the rest. Each step is one pass over the
// class, which decays the scores and looks for the next highest at the same time.
#include "cuda/nms_groups.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;

// A score and its place as one number, which is larger for a higher score, and for the earlier of equal scores. 0 means
// none. Scores are positive, so their bits have the same order as the numbers.
__device__ uint64_t Rank(float score, int64_t place) {
  if (score == kGone) return 0;
  return static_cast<uint64_t>(__float_as_uint(score)) << 32 | static_cast<uint32_t>(~static_cast<uint32_t>(place));
}

__device__ uint64_t BlockMaximum(uint64_t value, int thread, uint64_t* of_warps) {
  for (int step = 16; step > 0; step /= 2) {
    const uint64_t other = __shfl_xor_sync(0xffffffffu, value, step);
    value = other > value ? other : value;
  }
  if (thread % 32 == 0) of_warps[thread / 32] = value;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) value = of_warps[w] > value ? of_warps[w] : value;
  __syncthreads();
  return value;
}

__device__ float Decay(const NmsProblem& problem, float score, float iou) {
  float factor = 1.0f;
  if (problem.method == NmsMethod::kLinear) {
    if (iou >= problem.iou_threshold) factor = 1.0f - iou;
  } else {
    factor = expf(-RoundedMultiply(iou, iou) / problem.sigma);
  }
  const float decayed = RoundedMultiply(score, factor);
  return decayed > problem.score_threshold ? decayed : kGone;
}

__global__ void __launch_bounds__(kThreads)
    SoftKernel(const __grid_constant__ NmsProblem problem, NmsGroups groups, const float* __restrict__ boxes,
               const float* __restrict__ scores, Box* pool, float* pool_scores, float* __restrict__ decayed) {
  __shared__ uint64_t of_warps[kWarps];
  __shared__ int64_t range[2];
  const int thread = threadIdx.x;
  int64_t begin, end;
  while (TakeGroup(groups, thread, range, &begin, &end)) {
    const int64_t size = end - begin;
    Box* const own = pool + begin;
    float* const score = pool_scores + begin;
    uint64_t best = 0;
    // Each thread uses only its own places, except for the best box, which it reads. Boxes are written here and not
    // changed.
    for (int64_t i = thread; i < size; i += kThreads) {
      const int64_t index = groups.order[groups.members[begin + i]];
      own[i] = BoxAt(boxes, index);
      score[i] = scores[index];
      best = max(best, Rank(score[i], i));
    }
    for (int64_t kept = 0; kept < problem.max_output; ++kept) {
      best = BlockMaximum(best, thread, of_warps);
      if (best == 0) break;
      const int64_t place = static_cast<uint32_t>(~static_cast<uint32_t>(best));
      const Box box = own[place];
      const float area = Area(box);
      if (place % kThreads == thread) {
        decayed[groups.order[groups.members[begin + place]]] = score[place];
        score[place] = kGone;
      }
      best = 0;
      for (int64_t i = thread; i < size; i += kThreads) {
        if (score[i] == kGone) continue;
        const float iou = Iou(box, area, own[i], Area(own[i]));
        score[i] = Decay(problem, score[i], iou);
        best = max(best, Rank(score[i], i));
      }
    }
    __syncthreads();
  }
}

}  // namespace

cudaError_t LaunchSoftNms(const NmsProblem& problem, const NmsGroups& groups, const float* boxes, const float* scores,
                          Box* pool, float* pool_scores, float* decayed, cudaStream_t stream) {
  return Launch(SoftKernel, GroupGrid(groups), dim3(kThreads), 0, stream, problem, groups, boxes, scores, pool,
                pool_scores, decayed);
}

}  // namespace awsdet::cuda
