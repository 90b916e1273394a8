// NMS of a batch: all images and classes at once. A candidate is a box whose score is above the threshold.
//
//   1. A stable radix sort orders the candidates by image and falling score (for Soft-NMS by image and index).
//   2. A second stable sort orders them by image and class, so that each class is a run, in the order of step 1.
//   3. One block per class decides which boxes are kept (nms_hard.cu, nms_soft.cu).
//   4. One block per image writes the first max_output kept boxes, in the order of their (decayed) scores.
//
// Boxes that come in order, class by class and by falling score, are not sorted: step 3 takes the classes as they lie,
// and in step 4 each kept box counts those of its image that are better, which is its place in the result.
#include "cuda/nms.h"

#include <algorithm>

#include "cuda/block.h"
#include "cuda/nms_groups.h"
#include "cuda/sort.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEmitThreads = 512;
constexpr uint32_t kNoCandidate = 0xffffffffu;  // larger than the key of any score

__device__ int64_t GlobalThread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

// keys: image and falling score (hard), or only the image (soft); boxes that are no candidates are last. order: 0, 1,
// ...
__global__ void ScoreKeysKernel(const __grid_constant__ NmsProblem problem, const float* __restrict__ boxes,
                                const float* __restrict__ scores, uint64_t* __restrict__ keys,
                                int32_t* __restrict__ order) {
  const int64_t i = GlobalThread();
  if (i >= problem.images * problem.count) return;
  const bool candidate = scores[i] > problem.score_threshold && IsFinite(BoxAt(boxes, i));
  const uint32_t key = !candidate                            ? kNoCandidate
                       : problem.method == NmsMethod::kHard ? FallingKey(scores[i])
                                                             : 0;
  keys[i] = static_cast<uint64_t>(i / problem.count) << 32 | key;
  order[i] = static_cast<int32_t>(i);
}

// class_keys: image, then 1 if it is no candidate, then class. members: 0, 1, ...
__global__ void ClassKeysKernel(int64_t total, const uint64_t* __restrict__ score_keys,
                                const int32_t* __restrict__ order, const int32_t* __restrict__ classes,
                                uint64_t* __restrict__ class_keys, int32_t* __restrict__ members) {
  const int64_t i = GlobalThread();
  if (i >= total) return;
  const uint64_t outside = static_cast<uint32_t>(score_keys[i]) == kNoCandidate;
  class_keys[i] = score_keys[i] >> 32 << 33 | outside << 32 | static_cast<uint32_t>(classes[order[i]]);
  members[i] = static_cast<int32_t>(i);
}

// Lists the places at which a class begins, in any order.
__global__ void StartsKernel(int64_t total, const uint64_t* __restrict__ keys, int32_t* __restrict__ starts,
                             int32_t* group_count) {
  const int64_t i = GlobalThread();
  if (i >= total || (keys[i] >> 32 & 1) != 0) return;
  if (i == 0 || keys[i - 1] != keys[i]) starts[atomicAdd(group_count, 1)] = static_cast<int32_t>(i);
}

__global__ void FillKernel(int64_t total, float value, float* __restrict__ values) {
  const int64_t i = GlobalThread();
  if (i < total) values[i] = value;
}

// keys: image and falling decayed score; suppressed boxes are last. order: 0, 1, ...
__global__ void DecayedKeysKernel(const __grid_constant__ NmsProblem problem, const float* __restrict__ decayed,
                                  uint64_t* __restrict__ keys, int32_t* __restrict__ order) {
  const int64_t i = GlobalThread();
  if (i >= problem.images * problem.count) return;
  const uint32_t key = decayed[i] == kGone ? kNoCandidate : FallingKey(decayed[i]);
  keys[i] = static_cast<uint64_t>(i / problem.count) << 32 | key;
  order[i] = static_cast<int32_t>(i);
}

__device__ __forceinline__ void WriteKept(const KeptBoxes& kept, int64_t to, int64_t index, float score, const Box& box,
                                          int32_t label, bool valid) {
  kept.indices[to] = static_cast<int32_t>(index);
  kept.scores[to] = score;
  StoreBox(box, kept.boxes + 4 * to);
  kept.classes[to] = label;
  kept.valid[to] = valid;
}

// One block per image writes the first max_output boxes of `order` that are kept. For hard NMS, survives[place] says
// whether a box is kept; for Soft-NMS it is null, and every box that has a key is kept.
__global__ void __launch_bounds__(kEmitThreads)
    EmitKernel(const __grid_constant__ NmsProblem problem, const uint64_t* __restrict__ keys,
               const int32_t* __restrict__ order, const uint8_t* __restrict__ survives,
               const float* __restrict__ boxes, const float* __restrict__ scores,
               const int32_t* __restrict__ classes, const __grid_constant__ KeptBoxes kept) {
  __shared__ int warp_counts[kEmitThreads / 32];
  const int thread = threadIdx.x;
  const int64_t first = blockIdx.x * problem.count, output = blockIdx.x * problem.max_output;
  int64_t written = 0;
  for (int64_t begin = 0; begin < problem.count && written < problem.max_output; begin += kEmitThreads) {
    const int64_t place = first + begin + thread;
    const bool keep = begin + thread < problem.count &&
                      (survives != nullptr ? survives[place] != 0 : static_cast<uint32_t>(keys[place]) != kNoCandidate);
    int total;
    const int64_t rank = written + BlockRank(keep, thread, kEmitThreads, warp_counts, &total);
    if (keep && rank < problem.max_output) {
      const int64_t index = order[place];
      WriteKept(kept, output + rank, index - first, scores[index], BoxAt(boxes, index), classes[index], true);
    }
    written += total;
  }
  written = written < problem.max_output ? written : problem.max_output;
  for (int64_t i = written + thread; i < problem.max_output; i += kEmitThreads) {
    WriteKept(kept, output + i, 0, 0.0f, {0, 0, 0, 0}, -1, false);
  }
  if (thread == 0) kept.count[blockIdx.x] = static_cast<int32_t>(written);
}

// Lists the boxes at which a class begins, in any order.
__global__ void RunStartsKernel(const __grid_constant__ NmsRuns runs, int32_t* __restrict__ starts,
                                int32_t* group_count) {
  const int64_t i = GlobalThread();
  if (i >= runs.total) return;
  if (i == 0 || GroupKey(runs, i - 1) != GroupKey(runs, i)) starts[atomicAdd(group_count, 1)] = static_cast<int32_t>(i);
}

// One thread per box of an image, and per place of the result; `blocks` blocks for each image. survives: per box.
__global__ void __launch_bounds__(kThreads)
    EmitRunsKernel(const __grid_constant__ NmsProblem problem, const __grid_constant__ NmsRuns runs, int blocks,
                   const uint8_t* __restrict__ survives, const __grid_constant__ KeptBoxes kept) {
  __shared__ uint64_t tile[kThreads];
  const int64_t image = blockIdx.x / blocks, first = image * problem.count, output = image * problem.max_output;
  const int64_t own = static_cast<int64_t>(blockIdx.x % blocks) * kThreads + threadIdx.x;
  const auto key_of = [&](int64_t i) {  // larger than that of any kept box if the box is not kept
    if (i >= problem.count || survives[first + i] == 0) return ~uint64_t{0};
    return static_cast<uint64_t>(FallingKey(runs.scores[first + i])) << 32 | static_cast<uint32_t>(i);
  };
  const uint64_t key = key_of(own);
  int64_t rank = 0, total = 0;
  for (int64_t begin = 0; begin < problem.count; begin += kThreads) {
    tile[threadIdx.x] = key_of(begin + threadIdx.x);
    __syncthreads();
    int better = 0, alive = 0;
#pragma unroll 8
    for (int i = 0; i < kThreads; ++i) {
      better += tile[i] < key;
      alive += tile[i] != ~uint64_t{0};
    }
    rank += better;
    total += alive;
    __syncthreads();
  }
  if (key != ~uint64_t{0} && rank < problem.max_output) {
    WriteKept(kept, output + rank, own, runs.scores[first + own], BoxAt(runs.boxes, first + own),
              runs.classes[first + own], true);
  }
  if (own >= total && own < problem.max_output) WriteKept(kept, output + own, 0, 0.0f, {0, 0, 0, 0}, -1, false);
  if (own == 0) kept.count[image] = static_cast<int32_t>(total < problem.max_output ? total : problem.max_output);
}

int64_t Total(const NmsProblem& problem) { return problem.images * problem.count; }

bool IsValid(const NmsProblem& problem) {
  if (problem.images < 0 || problem.count < 0 || problem.max_output < 0) return false;
  if (problem.images > INT32_MAX || problem.count > INT32_MAX || problem.max_output > INT32_MAX) return false;
  if (problem.in_order != 0 && problem.method != NmsMethod::kHard) return false;
  return Total(problem) <= INT32_MAX;
}

// How many bits of a key the images need, above the lowest 32 (or 33) bits.
int ImageBits(const NmsProblem& problem) {
  int bits = 1;
  while ((int64_t{1} << bits) < problem.images) ++bits;
  return bits;
}

// Hands out the parts of a workspace, one after the other, each at a multiple of 256 bytes.
class Layout {
 public:
  explicit Layout(void* memory) : base_(static_cast<char*>(memory)) {}

  template <typename Element>
  void Take(Element** part, size_t count) {
    *part = base_ == nullptr ? nullptr : reinterpret_cast<Element*>(base_ + used_);
    used_ += (count * sizeof(Element) + 255) / 256 * 256;
  }
  void* rest() const { return base_ == nullptr ? nullptr : base_ + used_; }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

// For boxes that come in order.
struct RunsWorkspace {
  int32_t* starts;
  Box* boxes;
  int32_t* counters;  // the number of groups, and the next group to take
  uint8_t* survives;  // follows the counters
  size_t cleared;     // bytes of both
  size_t bytes;       // of all parts
};

RunsWorkspace LayOutRuns(const NmsProblem& problem, void* memory) {
  RunsWorkspace parts{};
  Layout layout(memory);
  const size_t total = static_cast<size_t>(Total(problem));
  layout.Take(&parts.starts, total);
  layout.Take(&parts.boxes, total);
  const size_t before = layout.used();
  layout.Take(&parts.counters, 2);
  layout.Take(&parts.survives, total);
  parts.cleared = layout.used() - before;
  parts.bytes = layout.used();
  return parts;
}

struct Workspace {
  uint64_t *keys, *sorted_keys;
  int32_t *values, *order, *members, *starts;
  Box* boxes;
  float *pool_scores, *decayed;
  uint8_t* survives;
  int32_t* counters;  // the number of groups, and the next group to take
  void* sort;
  size_t sort_bytes;
  size_t bytes;  // of all parts
};

cudaError_t LayOut(const NmsProblem& problem, void* memory, Workspace* parts) {
  Layout layout(memory);
  const size_t total = static_cast<size_t>(Total(problem));
  layout.Take(&parts->keys, total);
  layout.Take(&parts->sorted_keys, total);
  layout.Take(&parts->values, total);
  layout.Take(&parts->order, total);
  layout.Take(&parts->members, total);
  layout.Take(&parts->starts, total);
  layout.Take(&parts->boxes, total);
  layout.Take(&parts->pool_scores, total);
  layout.Take(&parts->decayed, total);
  layout.Take(&parts->survives, total);
  layout.Take(&parts->counters, 2);
  AWSDET_RETURN_IF_ERROR(SortByKey(nullptr, &parts->sort_bytes, nullptr, nullptr, nullptr, nullptr, Total(problem),
                                   33 + ImageBits(problem), nullptr));
  parts->sort = layout.rest();
  parts->bytes = layout.used() + parts->sort_bytes;
  return cudaSuccess;
}

// Does steps 1 to 3.
cudaError_t Decide(const NmsProblem& problem, const float* boxes, const float* scores, const int32_t* classes,
                   const Workspace& work, cudaStream_t stream) {
  const int64_t total = Total(problem);
  const dim3 blocks(static_cast<unsigned>((total + kThreads - 1) / kThreads)), threads(kThreads);
  size_t sort_bytes = work.sort_bytes;
  AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(work.counters, 0, 2 * sizeof(int32_t), stream));
  AWSDET_RETURN_IF_ERROR(
      Launch(ScoreKeysKernel, blocks, threads, 0, stream, problem, boxes, scores, work.keys, work.values));
  AWSDET_RETURN_IF_ERROR(SortByKey(work.sort, &sort_bytes, work.keys, work.sorted_keys, work.values, work.order, total,
                                   32 + ImageBits(problem), stream));
  AWSDET_RETURN_IF_ERROR(Launch(ClassKeysKernel, blocks, threads, 0, stream, total, work.sorted_keys, work.order,
                                classes, work.keys, work.values));
  AWSDET_RETURN_IF_ERROR(SortByKey(work.sort, &sort_bytes, work.keys, work.sorted_keys, work.values, work.members,
                                   total, 33 + ImageBits(problem), stream));
  AWSDET_RETURN_IF_ERROR(
      Launch(StartsKernel, blocks, threads, 0, stream, total, work.sorted_keys, work.starts, work.counters));
  const NmsGroups groups{work.sorted_keys, work.members, work.order,        work.starts,
                         work.counters,    work.counters + 1, total};
  if (problem.method == NmsMethod::kHard) {
    AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(work.survives, 0, total, stream));
    return LaunchHardNms(problem, groups, boxes, work.boxes, work.survives, stream);
  }
  AWSDET_RETURN_IF_ERROR(Launch(FillKernel, blocks, threads, 0, stream, total, kGone, work.decayed));
  return LaunchSoftNms(problem, groups, boxes, scores, work.boxes, work.pool_scores, work.decayed, stream);
}

// NMS of boxes that come in order.
cudaError_t DecideAndEmitRuns(const NmsProblem& problem, const float* boxes, const float* scores,
                              const int32_t* classes, const RunsWorkspace& work, const KeptBoxes& kept,
                              cudaStream_t stream) {
  const int64_t total = Total(problem), per_image = std::max(problem.count, problem.max_output);
  const NmsRuns runs{boxes, scores,        classes,       work.starts, work.counters, work.counters + 1,
                     total, problem.count, problem.score_threshold};
  AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(work.counters, 0, work.cleared, stream));
  if (total > 0) {
    const dim3 blocks(static_cast<unsigned>((total + kThreads - 1) / kThreads));
    AWSDET_RETURN_IF_ERROR(
        Launch(RunStartsKernel, blocks, dim3(kThreads), 0, stream, runs, work.starts, work.counters));
    AWSDET_RETURN_IF_ERROR(LaunchHardNms(problem, runs, boxes, work.boxes, work.survives, stream));
  }
  const int blocks = static_cast<int>(std::max<int64_t>((per_image + kThreads - 1) / kThreads, 1));
  return Launch(EmitRunsKernel, dim3(static_cast<unsigned>(problem.images * blocks)), dim3(kThreads), 0, stream, problem,
                runs, blocks, work.survives, kept);
}

// Sorts by the decayed scores, into work.sorted_keys and work.order.
cudaError_t SortDecayed(const NmsProblem& problem, const Workspace& work, cudaStream_t stream) {
  const int64_t total = Total(problem);
  const dim3 blocks(static_cast<unsigned>((total + kThreads - 1) / kThreads));
  size_t sort_bytes = work.sort_bytes;
  AWSDET_RETURN_IF_ERROR(Launch(DecayedKeysKernel, blocks, dim3(kThreads), 0, stream, problem, work.decayed, work.keys,
                                work.values));
  return SortByKey(work.sort, &sort_bytes, work.keys, work.sorted_keys, work.values, work.order, total,
                   32 + ImageBits(problem), stream);
}

}  // namespace

cudaError_t NmsWorkspaceSize(const NmsProblem& problem, size_t* bytes) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  if (problem.in_order != 0) {
    *bytes = LayOutRuns(problem, nullptr).bytes;
    return cudaSuccess;
  }
  Workspace parts;
  AWSDET_RETURN_IF_ERROR(LayOut(problem, nullptr, &parts));
  *bytes = parts.bytes;
  return cudaSuccess;
}

cudaError_t Nms(const NmsProblem& problem, const float* boxes, const float* scores, const int32_t* classes,
                void* workspace, size_t workspace_bytes, const KeptBoxes& kept, cudaStream_t stream) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  if (problem.images == 0) return cudaSuccess;
  if (problem.in_order != 0) {
    const RunsWorkspace work = LayOutRuns(problem, workspace);
    if (work.bytes > workspace_bytes) return cudaErrorInvalidValue;
    return DecideAndEmitRuns(problem, boxes, scores, classes, work, kept, stream);
  }
  const bool hard = problem.method == NmsMethod::kHard;
  Workspace work{};
  if (problem.count > 0) {
    AWSDET_RETURN_IF_ERROR(LayOut(problem, workspace, &work));
    if (work.bytes > workspace_bytes) return cudaErrorInvalidValue;
    AWSDET_RETURN_IF_ERROR(Decide(problem, boxes, scores, classes, work, stream));
    if (!hard) AWSDET_RETURN_IF_ERROR(SortDecayed(problem, work, stream));
  }
  return Launch(EmitKernel, dim3(static_cast<unsigned>(problem.images)), dim3(kEmitThreads), 0, stream, problem,
                work.sorted_keys, work.order, hard ? work.survives : nullptr, boxes, hard ? scores : work.decayed,
                classes, kept);
}

}  // namespace awsdet::cuda
