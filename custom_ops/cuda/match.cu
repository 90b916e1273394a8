// Two passes, with one thread per candidate. Both read the objects through shared memory, a tile at a time.
//
//   1. Finds the best object of each candidate, and the highest IoU of each object.
//   2. Computes the IoUs again, and gives each object the candidates that have its highest one.
#include "cuda/match.h"

#include "cuda/launch.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 256;              // objects
constexpr int32_t kNoIou = -1;          // as bits of a float, below those of every IoU; what cudaMemset(0xff) writes
constexpr float kUnreachable = -1.0f;   // not equal to any IoU
constexpr int32_t kUnusable = -1;       // the index of a candidate that is matched to nothing, between the passes

struct Tile {
  Box box[kTile];
  float area[kTile];
  bool is_target[kTile];
  bool is_crowd[kTile];
  union {
    int32_t highest[kTile];  // pass 1: bits of the highest IoU that the block has found
    float wanted[kTile];     // pass 2: the IoU of the candidates that the object claims, or kUnreachable
  };
};

// Where a thread's candidate is; `i` may lie beyond the last one.
struct Candidate {
  int64_t image, i;
  int64_t place;  // of its result
  Box box;
  float area;
};

__device__ int64_t RowLength(const MatchInput& input, const Matches& matches) {
  return input.count + (matches.with_truth ? input.objects : 0);
}

__device__ Candidate LoadCandidate(const MatchInput& input, const Matches& matches, int64_t i) {
  Candidate candidate{blockIdx.y, i, 0, {0, 0, 0, 0}, 0.0f};
  candidate.place = (candidate.image + 1) * RowLength(input, matches) - input.count + i;
  if (i < 0 || i >= input.count) return candidate;
  candidate.box = BoxAt(input.candidates, (input.shared ? 0 : candidate.image * input.count) + i);
  candidate.area = ClampedArea(candidate.box);
  return candidate;
}

// Reads the objects [first, first + size) of an image. The block must synchronise before and after.
__device__ void LoadTile(const MatchInput& input, int64_t image, int64_t first, int size, Tile* tile) {
  for (int g = threadIdx.x; g < size; g += kThreads) {
    const int64_t place = image * input.objects + first + g;
    tile->box[g] = BoxAt(input.boxes, place);
    tile->area[g] = ClampedArea(tile->box[g]);
    tile->is_target[g] = input.is_target[place];
    tile->is_crowd[g] = input.is_crowd[place];
  }
}

__device__ int TileSize(const MatchInput& input, int64_t first) {
  const int64_t rest = input.objects - first;
  return rest < kTile ? static_cast<int>(rest) : kTile;
}

// Whether the candidate takes part: it is valid, and not too much of it lies in a crowd. All threads call it.
__device__ bool IsUsable(const MatchInput& input, const MatchRule& rule, const Candidate& candidate, Tile* tile) {
  bool usable = candidate.i < input.count && input.valid[candidate.image * input.count + candidate.i];
  if (!(rule.ignore_iof >= 0.0f)) return usable;
  for (int64_t first = 0; first < input.objects; first += kTile) {
    const int size = TileSize(input, first);
    __syncthreads();
    LoadTile(input, candidate.image, first, size, tile);
    __syncthreads();
    if (!usable) continue;
    for (int g = 0; g < size; ++g) {
      if (!tile->is_crowd[g]) continue;
      const float share = MatchIof(CommonArea(candidate.box, tile->box[g]), candidate.area);
      usable = usable && share <= rule.ignore_iof;
    }
  }
  return usable;
}

// The index becomes kUnusable for candidates that are matched to nothing.
__global__ void __launch_bounds__(kThreads)
    AssignKernel(const __grid_constant__ MatchInput input, const __grid_constant__ MatchRule rule,
                 int32_t* __restrict__ highest, const __grid_constant__ Matches matches) {
  __shared__ Tile tile;
  const Candidate candidate =
      LoadCandidate(input, matches, static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  const bool usable = IsUsable(input, rule, candidate, &tile);
  float best = 0.0f;
  int32_t index = -1, first_target = -1;
  for (int64_t first = 0; first < input.objects; first += kTile) {
    const int size = TileSize(input, first);
    __syncthreads();
    LoadTile(input, candidate.image, first, size, &tile);
    for (int g = threadIdx.x; g < size; g += kThreads) tile.highest[g] = kNoIou;
    __syncthreads();
    for (int g = 0; usable && g < size; ++g) {
      if (!tile.is_target[g]) continue;
      if (first_target < 0) first_target = static_cast<int32_t>(first + g);
      const float common = CommonArea(candidate.box, tile.box[g]);
      // A branch costs less than a division; few pairs touch.
      const float iou = common > 0.0f ? MatchIou(common, candidate.area, tile.area[g]) : 0.0f;
      if (iou > best) {
        best = iou;
        index = static_cast<int32_t>(first + g);
      }
      // The first comparison spares nearly all atomic operations.
      if (FloatBits(iou) > tile.highest[g]) atomicMax(&tile.highest[g], FloatBits(iou));
    }
    __syncthreads();
    for (int g = threadIdx.x; g < size; g += kThreads) {
      int32_t* const own = highest + candidate.image * input.objects + first + g;
      if (tile.highest[g] > *own) atomicMax(own, tile.highest[g]);
    }
  }
  if (candidate.i >= input.count) return;
  const bool positive = usable && best >= rule.positive_iou;
  matches.positive[candidate.place] = positive;
  matches.negative[candidate.place] = usable && !positive && best < rule.negative_iou;
  // Without an object that it touches, the first target counts.
  matches.index[candidate.place] = !usable ? kUnusable : index >= 0 ? index : first_target >= 0 ? first_target : 0;
}

// Threads before the candidates write the objects that are candidates themselves.
__global__ void __launch_bounds__(kThreads)
    RescueKernel(const __grid_constant__ MatchInput input, const __grid_constant__ MatchRule rule,
                 const int32_t* __restrict__ highest, const __grid_constant__ Matches matches) {
  __shared__ Tile tile;
  const int64_t before = matches.with_truth ? input.objects : 0;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const Candidate candidate = LoadCandidate(input, matches, thread - before);
  const bool is_candidate = candidate.i >= 0 && candidate.i < input.count;
  const int32_t index = is_candidate ? matches.index[candidate.place] : kUnusable;
  int32_t rescuer = -1;
  for (int64_t first = 0; first < input.objects && rule.low_quality_matches; first += kTile) {
    const int size = TileSize(input, first);
    __syncthreads();
    LoadTile(input, candidate.image, first, size, &tile);
    for (int g = threadIdx.x; g < size; g += kThreads) {
      const int64_t place = candidate.image * input.objects + first + g;
      const float own = BitsFloat(highest[place]);
      const bool reachable = input.is_target[place] && own >= 0.0f && own >= rule.min_positive_iou;
      tile.wanted[g] = reachable ? own : kUnreachable;
    }
    __syncthreads();
    if (index == kUnusable) continue;
    for (int g = 0; g < size; ++g) {
      if (tile.wanted[g] == kUnreachable) continue;
      const float common = CommonArea(candidate.box, tile.box[g]);
      const float iou = common > 0.0f ? MatchIou(common, candidate.area, tile.area[g]) : 0.0f;
      if (iou == tile.wanted[g]) rescuer = static_cast<int32_t>(first + g);
    }
  }
  if (is_candidate) {
    if (rescuer >= 0) {
      matches.positive[candidate.place] = true;
      matches.negative[candidate.place] = false;
    }
    matches.index[candidate.place] = rescuer >= 0 ? rescuer : index == kUnusable ? 0 : index;
  } else if (candidate.i < 0) {
    matches.positive[candidate.place] = input.is_target[candidate.image * input.objects + thread];
    matches.negative[candidate.place] = false;
    matches.index[candidate.place] = static_cast<int32_t>(thread);
  }
}

dim3 Grid(int64_t threads, int64_t images) {
  return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads), static_cast<unsigned>(images));
}

}  // namespace

size_t MatchWorkspaceSize(const MatchInput& input) { return input.images * input.objects * sizeof(int32_t); }

cudaError_t Match(const MatchInput& input, const MatchRule& rule, void* workspace, const Matches& matches,
                  cudaStream_t stream) {
  if (input.images < 0 || input.count < 0 || input.objects < 0) return cudaErrorInvalidValue;
  if (input.images > 65535 || input.count + input.objects > INT32_MAX) return cudaErrorInvalidValue;
  const int64_t rows = input.count + (matches.with_truth ? input.objects : 0);
  if (input.images == 0 || rows == 0) return cudaSuccess;
  int32_t* const highest = static_cast<int32_t*>(workspace);
  // -1 as an integer: kNoIou.
  if (input.objects > 0) {
    AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(highest, 0xff, MatchWorkspaceSize(input), stream));
  }
  if (input.count > 0) {
    AWSDET_RETURN_IF_ERROR(Launch(AssignKernel, Grid(input.count, input.images), dim3(kThreads), 0, stream, input,
                                  rule, highest, matches));
  }
  return Launch(RescueKernel, Grid(rows, input.images), dim3(kThreads), 0, stream, input, rule, highest, matches);
}

}  // namespace awsdet::cuda
