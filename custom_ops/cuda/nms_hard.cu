// Greedy NMS within classes, one block per class.
//
// The block takes the candidates by falling score, one tile at a time. It compares the tile with all boxes that were
// kept before (all pairs at once), then with itself: a bit matrix says which candidate suppresses which, and one thread
// goes through it in order. No memory grows with the square of the number of boxes, and a class ends early at
// max_output.
#include "cuda/nms_groups.h"

namespace awsdet::cuda {
namespace {

constexpr int kTile = 128;
constexpr int kWords = kTile / 32;
constexpr int kThreads = 1024;
constexpr int kParts = kThreads / kTile;  // threads that share the kept boxes of one candidate

struct Tile {
  Box box[kTile];
  float area[kTile];
  unsigned gone[kTile];              // not 0: suppressed by a box that was kept before, or no candidate
  unsigned suppresses[kTile][kWords];  // bit j of row i: i suppresses j; only for j > i
  unsigned kept[kWords];
};

// Goes through the tile in order, keeps at most `room` candidates in tile->kept, and returns how many.
__device__ int Resolve(Tile* tile, int room) {
  unsigned alive[kWords];
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    alive[w] = 0;
    for (int i = 0; i < 32; ++i) alive[w] |= (tile->gone[32 * w + i] ? 0u : 1u) << i;
  }
  int count = 0;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    unsigned kept = 0;
    while (alive[w] != 0 && count < room) {
      const int bit = __ffs(alive[w]) - 1;
      kept |= 1u << bit;
      ++count;
      alive[w] &= ~(1u << bit);
#pragma unroll
      for (int v = 0; v < kWords; ++v) {
        if (v >= w) alive[v] &= ~tile->suppresses[32 * w + bit][v];
      }
    }
    tile->kept[w] = kept;
  }
  return count;
}

template <typename Groups>
__global__ void __launch_bounds__(kThreads)
    HardKernel(const __grid_constant__ Groups groups, const float* __restrict__ boxes, float iou_threshold, int64_t max_output,
               Box* kept_boxes, uint8_t* __restrict__ survives) {
  __shared__ Tile tile;
  __shared__ int64_t range[2];
  __shared__ int now_kept;
  const int thread = threadIdx.x, slot = thread % kTile, part = thread / kTile, lane = thread % 32;
  int64_t begin, end;
  while (TakeGroup(groups, thread, range, &begin, &end)) {
    Box* const kept = kept_boxes + begin;  // no more boxes are kept than the class has
    int64_t kept_count = 0;
    for (int64_t first = begin; first < end && kept_count < max_output; first += kTile) {
      const int64_t place = first + slot;
      if (part == 0) {
        tile.gone[slot] = place < end && IsCandidate(groups, place) ? 0 : 1;
        tile.box[slot] = place < end ? BoxAt(boxes, BoxIndex(groups, place)) : Box{0, 0, 0, 0};
        tile.area[slot] = Area(tile.box[slot]);
      }
      __syncthreads();
      const Box box = tile.box[slot];
      const float area = tile.area[slot];
      if (place < end && !tile.gone[slot]) {
        for (int64_t k = part; k < kept_count; k += kParts) {
          const Box other = kept[k];  // the whole warp reads the same address
          if (Iou(box, area, other, Area(other)) > iou_threshold) {
            atomicOr(&tile.gone[slot], 1u);
            break;
          }
        }
      }
      __syncthreads();
      for (int i = thread / 32; i < kTile * kWords; i += kThreads / 32) {
        const int row = i / kWords, word = i % kWords, column = 32 * word + lane;
        const bool suppresses = column > row && !tile.gone[row] && !tile.gone[column] &&
                                Iou(tile.box[row], tile.area[row], tile.box[column], tile.area[column]) > iou_threshold;
        const unsigned votes = __ballot_sync(0xffffffffu, suppresses);
        if (lane == 0) tile.suppresses[row][word] = votes;
      }
      __syncthreads();
      if (thread == 0) {
        const int64_t room = max_output - kept_count;
        now_kept = Resolve(&tile, room < kTile ? static_cast<int>(room) : kTile);
      }
      __syncthreads();
      if (part == 0 && (tile.kept[slot / 32] >> (slot % 32) & 1u)) {
        int rank = __popc(tile.kept[slot / 32] & ((1u << (slot % 32)) - 1));
        for (int w = 0; w < slot / 32; ++w) rank += __popc(tile.kept[w]);
        kept[kept_count + rank] = box;
        survives[SurvivorPlace(groups, place)] = 1;
      }
      kept_count += now_kept;
      __syncthreads();
    }
  }
}

template <typename Groups>
cudaError_t Start(const NmsProblem& problem, const Groups& groups, const float* boxes, Box* kept, uint8_t* survives,
                  cudaStream_t stream) {
  return Launch(HardKernel<Groups>, GroupGrid(groups), dim3(kThreads), 0, stream, groups, boxes, problem.iou_threshold,
                problem.max_output, kept, survives);
}

}  // namespace

cudaError_t LaunchHardNms(const NmsProblem& problem, const NmsGroups& groups, const float* boxes, Box* kept,
                          uint8_t* survives, cudaStream_t stream) {
  return Start(problem, groups, boxes, kept, survives, stream);
}

cudaError_t LaunchHardNms(const NmsProblem& problem, const NmsRuns& runs, const float* boxes, Box* kept,
                          uint8_t* survives, cudaStream_t stream) {
  return Start(problem, runs, boxes, kept, survives, stream);
}

}  // namespace awsdet::cuda
