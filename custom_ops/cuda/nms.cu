// NMS of a batch: all images and classes at once. A candidate is a box whose score is above the threshold.
//
//   1. A stable radix sort orders the candidates by image and falling score (for Soft-NMS by image and index).
//   2. A second stable sort orders them by image and class, so that each class is a run, in the order of step 1.
//   3. One block per class decides which boxes are kept (nms_hard.cu, nms_soft.cu).
//   4. One block per image writes the first max_output kept boxes, in the order of their (decayed) scores.
#include "cuda/nms.h"

#include <type_traits>

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
      const int64_t index = order[place], to = output + rank;
      kept.indices[to] = static_cast<int32_t>(index - first);
      kept.scores[to] = scores[index];
      StoreBox(BoxAt(boxes, index), kept.boxes + 4 * to);
      kept.classes[to] = classes[index];
      kept.valid[to] = true;
    }
    written += total;
  }
  written = written < problem.max_output ? written : problem.max_output;
  for (int64_t i = written + thread; i < problem.max_output; i += kEmitThreads) {
    kept.indices[output + i] = 0;
    kept.scores[output + i] = 0.0f;
    StoreBox({0.0f, 0.0f, 0.0f, 0.0f}, kept.boxes + 4 * (output + i));
    kept.classes[output + i] = -1;
    kept.valid[output + i] = false;
  }
  if (thread == 0) kept.count[blockIdx.x] = static_cast<int32_t>(written);
}

int64_t Total(const NmsProblem& problem) { return problem.images * problem.count; }

bool IsValid(const NmsProblem& problem) {
  if (problem.images < 0 || problem.count < 0 || problem.max_output < 0) return false;
  if (problem.images > INT32_MAX || problem.count > INT32_MAX || problem.max_output > INT32_MAX) return false;
  return Total(problem) <= INT32_MAX;
}

// How many bits of a key the images need, above the lowest 32 (or 33) bits.
int ImageBits(const NmsProblem& problem) {
  int bits = 1;
  while ((int64_t{1} << bits) < problem.images) ++bits;
  return bits;
}

// The parts of the workspace. They follow each other, and each begins at a multiple of 256 bytes.
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
  char* const base = static_cast<char*>(memory);
  size_t used = 0;
  const size_t total = static_cast<size_t>(Total(problem));
  const auto take = [&](auto** part, size_t count) {
    using Element = std::remove_reference_t<decltype(**part)>;
    *part = base == nullptr ? nullptr : reinterpret_cast<Element*>(base + used);
    used += (count * sizeof(Element) + 255) / 256 * 256;
  };
  take(&parts->keys, total);
  take(&parts->sorted_keys, total);
  take(&parts->values, total);
  take(&parts->order, total);
  take(&parts->members, total);
  take(&parts->starts, total);
  take(&parts->boxes, total);
  take(&parts->pool_scores, total);
  take(&parts->decayed, total);
  take(&parts->survives, total);
  take(&parts->counters, 2);
  AWSDET_RETURN_IF_ERROR(SortByKey(nullptr, &parts->sort_bytes, nullptr, nullptr, nullptr, nullptr, Total(problem),
                                   33 + ImageBits(problem), nullptr));
  parts->sort = base == nullptr ? nullptr : base + used;
  parts->bytes = used + parts->sort_bytes;
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
  Workspace parts;
  AWSDET_RETURN_IF_ERROR(LayOut(problem, nullptr, &parts));
  *bytes = parts.bytes;
  return cudaSuccess;
}

cudaError_t Nms(const NmsProblem& problem, const float* boxes, const float* scores, const int32_t* classes,
                void* workspace, size_t workspace_bytes, const KeptBoxes& kept, cudaStream_t stream) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  if (problem.images == 0) return cudaSuccess;
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
