// The best boxes of each level: all levels and images in three launches, or in a few more if a level has millions of
// logits.
//
//   1. A level of an image is cut into chunks. One block per chunk finds its best pairs of anchor and class by counting
//      the digits of their keys (radix select), and lists them by index.
//   2. The lists of a level are one list, which is cut into chunks and shortened in the same manner, until it has as
//      many pairs as are wanted.
//   3. One thread per pair counts how many of its list are better. That is its place in the result, and the thread
//      decodes its box.
//
// Sizes of all lists follow from the shapes alone, so the host needs no number from the GPU. Nothing depends on the
// order in which blocks run.
#include "cuda/top_boxes.h"

#include <algorithm>

#include "cuda/block.h"
#include "cuda/for_type.h"
#include "cuda/vector.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kCopies = 8;  // of the counts of digits: most keys share their first digits, and would queue for one count
constexpr int64_t kChunk = 32768;
constexpr int kPlaceThreads = 256;

using Key = uint64_t;  // PairKey: a smaller one is better

// The lists of one step of shortening. A list is the pairs of one image and level; the lists of a level follow each
// other, image by image.
struct Step {
  int32_t levels;
  int64_t images;
  int64_t limit;
  int64_t chunk;                          // larger than the limit
  int64_t size[kMaxScoredLevels];         // of a list before the step
  int64_t shortened[kMaxScoredLevels];    // and after it
  int64_t chunks[kMaxScoredLevels];       // of a list
  int64_t first_block[kMaxScoredLevels];  // of a level
  int64_t from[kMaxScoredLevels];         // where the lists of a level begin before the step
  int64_t to[kMaxScoredLevels];           // and after it
  int64_t blocks;
};

template <typename T>
struct Logits {
  const T* level[kMaxScoredLevels];

  __device__ __forceinline__ Key At(const Step&, int level_number, int64_t list_begin, int64_t index) const {
    return PairKey(ToFloat(level[level_number][list_begin + index]), static_cast<uint64_t>(index));
  }
};

struct Keys {
  const Key* keys;

  __device__ __forceinline__ Key At(const Step& step, int level_number, int64_t list_begin, int64_t index) const {
    return keys[step.from[level_number] + list_begin + index];
  }
};

// The level that a block, or a place, belongs to, given where each level begins.
__device__ __forceinline__ int LevelOf(int64_t block, int levels, const int64_t (&first)[kMaxScoredLevels]) {
  int level = 0;
  while (level + 1 < levels && block >= first[level + 1]) ++level;
  return level;
}

struct Selection {
  uint32_t prefix;  // the digits of the last wanted key that are known
  int room;         // how many of the keys with this prefix are wanted
  int counts[kDigits][kCopies];
  int totals[kDigits];
};

// Finds the high half of the last of the `take` best keys, and how many keys with that half are wanted.
template <typename KeyAt>
__device__ void Select(const KeyAt& key_at, int64_t count, int64_t take, Selection* found) {
  const int thread = threadIdx.x;
  if (thread == 0) {
    found->prefix = 0;
    found->room = static_cast<int>(take);
  }
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (int i = thread; i < kDigits * kCopies; i += kThreads) found->counts[i / kCopies][i % kCopies] = 0;
    __syncthreads();
    const uint32_t prefix = found->prefix;
    const int room = found->room;
    const uint32_t known = shift + kDigitBits == 32 ? 0u : 0xffffffffu << (shift + kDigitBits);
    for (int64_t i = thread; i < count; i += kThreads) {
      const uint32_t key = static_cast<uint32_t>(key_at(i) >> 32);
      if ((key & known) == prefix) atomicAdd(&found->counts[key >> shift & (kDigits - 1)][thread % kCopies], 1);
    }
    __syncthreads();
    if (thread < kDigits) {
      int total = 0;
      for (int copy = 0; copy < kCopies; ++copy) total += found->counts[thread][copy];
      found->totals[thread] = total;
    }
    __syncthreads();
    if (thread < kDigits) {
      int before = 0;
      for (int digit = 0; digit < thread; ++digit) before += found->totals[digit];
      if (before < room && room <= before + found->totals[thread]) {  // true for one digit
        found->prefix = prefix | static_cast<uint32_t>(thread) << shift;
        found->room = room - before;
      }
    }
    __syncthreads();
  }
}

// One block per chunk lists the best `limit` pairs of its chunk, in the order of the chunk.
template <typename Source>
__global__ void __launch_bounds__(kThreads)
    ShortenKernel(const __grid_constant__ Step step, const __grid_constant__ Source source, Key* __restrict__ keys) {
  __shared__ Selection found;
  __shared__ int warp_counts[kThreads / 32];
  const int thread = threadIdx.x, level = LevelOf(blockIdx.x, step.levels, step.first_block);
  const int64_t block = blockIdx.x - step.first_block[level], image = block / step.chunks[level];
  const int64_t chunk = block % step.chunks[level], begin = chunk * step.chunk;
  const int64_t left = step.size[level] - begin, count = left < step.chunk ? left : step.chunk;
  const int64_t take = count < step.limit ? count : step.limit;
  // Every chunk before this one is whole, and so lists `limit` pairs.
  Key* const output = keys + step.to[level] + image * step.shortened[level] + chunk * step.limit;
  const auto key_at = [&](int64_t i) { return source.At(step, level, image * step.size[level], begin + i); };
  if (take == count) {
    for (int64_t i = thread; i < count; i += kThreads) output[i] = key_at(i);
    return;
  }
  Select(key_at, count, take, &found);
  const uint32_t last = found.prefix;
  const int64_t room = found.room;
  int64_t better = 0, equal = 0;
  for (int64_t first = 0; first < count; first += kThreads) {
    const Key key = first + thread < count ? key_at(first + thread) : ~Key{0};
    const uint32_t high = static_cast<uint32_t>(key >> 32);
    const bool is_better = first + thread < count && high < last, is_equal = first + thread < count && high == last;
    int all_better, all_equal;
    const int64_t better_before = better + BlockRank(is_better, thread, kThreads, warp_counts, &all_better);
    const int64_t equal_before = equal + BlockRank(is_equal, thread, kThreads, warp_counts, &all_equal);
    if (is_better || (is_equal && equal_before < room)) {
      output[better_before + (equal_before < room ? equal_before : room)] = key;
    }
    better += all_better;
    equal += all_equal;
  }
}

// What the last kernel needs. The lists have their final length.
template <typename T>
struct Placing {
  int32_t levels;
  int64_t images;
  int64_t classes;
  int64_t chosen;                          // M, per image
  int64_t size[kMaxScoredLevels];          // of a list
  int64_t from[kMaxScoredLevels];          // where the lists of a level begin
  int64_t place[kMaxScoredLevels];         // where a level begins among the M pairs of an image
  int64_t first_block[kMaxScoredLevels];   // of a level
  int64_t blocks_per_list[kMaxScoredLevels];
  int64_t anchors[kMaxScoredLevels];
  int64_t first_anchor[kMaxScoredLevels];
  const T* logits[kMaxScoredLevels];
  const T* deltas[kMaxScoredLevels];
  const float* anchor;
  const int32_t* image_size;
  TopBoxesRule rule;
  TopBoxesResult result;
};

template <typename T>
__device__ void WritePair(const Placing<T>& placing, int level, int64_t image, int64_t index, int64_t rank) {
  const int64_t anchor = index / placing.classes;
  const T* const deltas = placing.deltas[level] + (image * placing.anchors[level] + anchor) * 4;
  float moves[4];
  for (int k = 0; k < 4; ++k) moves[k] = ToFloat(deltas[k]);
  const Box start = BoxAt(placing.anchor, placing.first_anchor[level] + anchor);
  const Box box = Clip(Decode(start, moves, placing.rule.decoding), static_cast<float>(placing.image_size[2 * image]),
                       static_cast<float>(placing.image_size[2 * image + 1]));
  const float logit = ToFloat(placing.logits[level][image * placing.anchors[level] * placing.classes + index]);
  const int64_t place = image * placing.chosen + placing.place[level] + rank;
  StoreBox(box, placing.result.boxes + 4 * place);
  placing.result.logits[place] = UsableLogit(logit, box, placing.rule.min_size);
  placing.result.classes[place] = static_cast<int32_t>(index % placing.classes);
  placing.result.levels[place] = level;
}

// One thread per pair of every list.
template <typename T>
__global__ void __launch_bounds__(kPlaceThreads)
    PlaceKernel(const __grid_constant__ Placing<T> placing, const Key* __restrict__ keys) {
  __shared__ Key tile[kPlaceThreads];
  const int thread = threadIdx.x, level = LevelOf(blockIdx.x, placing.levels, placing.first_block);
  const int64_t block = blockIdx.x - placing.first_block[level], image = block / placing.blocks_per_list[level];
  const int64_t own = block % placing.blocks_per_list[level] * kPlaceThreads + thread, size = placing.size[level];
  const Key* const list = keys + placing.from[level] + image * size;
  const Key key = own < size ? list[own] : 0;
  int64_t rank = 0;
  for (int64_t first = 0; first < size; first += kPlaceThreads) {
    tile[thread] = first + thread < size ? list[first + thread] : ~Key{0};
    __syncthreads();
    int better = 0;
#pragma unroll 8
    for (int i = 0; i < kPlaceThreads; ++i) better += tile[i] < key;
    rank += better;
    __syncthreads();
  }
  if (own < size) WritePair(placing, level, image, static_cast<int64_t>(key & 0xffffffffu), rank);
}

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool IsValid(const TopBoxesProblem& problem) {
  if (problem.images < 0 || problem.classes < 1 || problem.chunk < 0) return false;
  if (problem.num_levels < 1 || problem.num_levels > kMaxScoredLevels) return false;
  if (problem.rule.limit < 1 || problem.rule.limit > INT32_MAX) return false;
  for (int level = 0; level < problem.num_levels; ++level) {
    if (problem.anchors[level] < 0 || problem.anchors[level] > INT32_MAX) return false;
    if (problem.anchors[level] * problem.classes > INT32_MAX) return false;
  }
  return true;
}

// The first step takes every logit.
Step FirstStep(const TopBoxesProblem& problem) {
  Step step{};
  step.levels = problem.num_levels;
  step.images = problem.images;
  step.limit = problem.rule.limit;
  // A chunk of at least four times the limit shortens a list to a quarter.
  step.chunk = std::max(problem.chunk > 0 ? problem.chunk : kChunk, 4 * problem.rule.limit);
  for (int level = 0; level < step.levels; ++level) step.size[level] = problem.anchors[level] * problem.classes;
  return step;
}

// Fills in what follows from the sizes of the lists before the step. Returns how many keys all lists have after it.
int64_t Plan(Step* step) {
  int64_t used = 0;
  step->blocks = 0;
  for (int level = 0; level < step->levels; ++level) {
    const int64_t size = step->size[level], whole = size / step->chunk, rest = size % step->chunk;
    step->chunks[level] = CeilDivide(size, step->chunk);
    step->shortened[level] = whole * step->limit + std::min(step->limit, rest);
    step->first_block[level] = step->blocks;
    step->blocks += step->images * step->chunks[level];
    step->to[level] = used;
    used += step->images * step->shortened[level];
  }
  return used;
}

// Makes the next step out of a planned one. Returns false if every list has its final length.
bool Advance(Step* step) {
  bool more = false;
  for (int level = 0; level < step->levels; ++level) {
    step->size[level] = step->shortened[level];
    step->from[level] = step->to[level];
    more |= step->size[level] > step->limit;
  }
  return more;
}

template <typename T>
cudaError_t Place(const TopBoxesProblem& problem, const TopBoxesInputs& inputs, const Step& last, const Key* keys,
                  const TopBoxesResult& result, cudaStream_t stream) {
  Placing<T> placing{};
  placing.levels = last.levels;
  placing.images = last.images;
  placing.classes = problem.classes;
  placing.anchor = inputs.anchors;
  placing.image_size = inputs.image_size;
  placing.rule = problem.rule;
  placing.result = result;
  int64_t blocks = 0, first_anchor = 0;
  for (int level = 0; level < last.levels; ++level) {
    placing.size[level] = last.size[level];
    placing.from[level] = last.from[level];
    placing.place[level] = placing.chosen;
    placing.chosen += last.size[level];
    placing.first_block[level] = blocks;
    placing.blocks_per_list[level] = CeilDivide(last.size[level], kPlaceThreads);
    blocks += last.images * placing.blocks_per_list[level];
    placing.anchors[level] = problem.anchors[level];
    placing.first_anchor[level] = first_anchor;
    first_anchor += problem.anchors[level];
    placing.logits[level] = static_cast<const T*>(inputs.logits[level]);
    placing.deltas[level] = static_cast<const T*>(inputs.deltas[level]);
  }
  return Launch(PlaceKernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(kPlaceThreads), 0, stream, placing, keys);
}

template <typename T>
cudaError_t Run(const TopBoxesProblem& problem, const TopBoxesInputs& inputs, Key* workspace,
                const TopBoxesResult& result, cudaStream_t stream) {
  Step step = FirstStep(problem);
  const int64_t largest = Plan(&step);
  if (step.blocks == 0) return cudaSuccess;  // no image, or no anchor
  Logits<T> logits{};
  for (int level = 0; level < step.levels; ++level) logits.level[level] = static_cast<const T*>(inputs.logits[level]);
  Key *now = workspace, *next = workspace + largest;
  AWSDET_RETURN_IF_ERROR(Launch(ShortenKernel<Logits<T>>, dim3(static_cast<unsigned>(step.blocks)), dim3(kThreads), 0,
                                stream, step, logits, now));
  while (Advance(&step)) {
    Plan(&step);
    AWSDET_RETURN_IF_ERROR(Launch(ShortenKernel<Keys>, dim3(static_cast<unsigned>(step.blocks)), dim3(kThreads), 0,
                                  stream, step, Keys{now}, next));
    std::swap(now, next);
  }
  return Place<T>(problem, inputs, step, now, result, stream);
}

}  // namespace

cudaError_t TopBoxesWorkspaceSize(const TopBoxesProblem& problem, size_t* bytes) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  Step step = FirstStep(problem);
  const int64_t first = Plan(&step);
  if (step.blocks > INT32_MAX) return cudaErrorInvalidValue;
  const int64_t second = Advance(&step) ? Plan(&step) : 0;  // lists only become shorter
  *bytes = static_cast<size_t>(first + second) * sizeof(Key);
  return cudaSuccess;
}

cudaError_t TopBoxes(DataType type, const TopBoxesProblem& problem, const TopBoxesInputs& inputs, void* workspace,
                     size_t workspace_bytes, const TopBoxesResult& result, cudaStream_t stream) {
  size_t needed = 0;
  AWSDET_RETURN_IF_ERROR(TopBoxesWorkspaceSize(problem, &needed));
  if (needed > workspace_bytes) return cudaErrorInvalidValue;
  Key* const keys = static_cast<Key*>(workspace);
  return ForType(type, [&](auto element) {
    return Run<decltype(element)>(problem, inputs, keys, result, stream);
  });
}

}  // namespace awsdet::cuda
