#include "kernels/top_boxes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

constexpr int64_t kChunk = 1 << 17;  // logits that one thread looks at, of one image and level
constexpr int64_t kBlock = 32;       // logits that are compared at once
constexpr int64_t kSample = 1024;    // logits that the bar at the beginning is guessed from
constexpr int64_t kSpare = 1024;     // the least number of pairs that are collected before the worst are dropped

// Whether any of `count` logits is not below or equal to `bar`.
template <typename T>
inline __attribute__((always_inline)) bool AnyAboveIn(const T* logits, int64_t count, float bar) {
  int any = 0;
  for (int64_t i = 0; i < count; ++i) any |= !(ToFloat(logits[i]) <= bar);
  return any != 0;
}
AWSDET_VECTOR_CLONES
bool AnyAbove(const float* logits, int64_t count, float bar) { return AnyAboveIn(logits, count, bar); }
AWSDET_VECTOR_CLONES
bool AnyAbove(const Half* logits, int64_t count, float bar) { return AnyAboveIn(logits, count, bar); }
AWSDET_VECTOR_CLONES
bool AnyAbove(const Bfloat16* logits, int64_t count, float bar) { return AnyAboveIn(logits, count, bar); }

// Moves the `limit` lowest keys to the front, in any order, and drops the others.
void DropWorst(int64_t limit, std::vector<uint64_t>* keys) {
  if (static_cast<int64_t>(keys->size()) <= limit) return;
  std::nth_element(keys->begin(), keys->begin() + (limit - 1), keys->end());
  keys->resize(limit);
}

// A logit that probably a little more than `limit` of [begin, end) are above, or NaN if that would not pay.
template <typename T>
float GuessBar(const T* logits, int64_t begin, int64_t end, int64_t limit) {
  const int64_t count = end - begin;
  if (count < 4 * std::max(limit, kSample)) return std::numeric_limits<float>::quiet_NaN();
  std::vector<uint64_t> sample(kSample);
  for (int64_t i = 0; i < kSample; ++i) sample[i] = PairKey(ToFloat(logits[begin + i * count / kSample]), i);
  const double expected = static_cast<double>(limit) * kSample / count;
  const int64_t rank = static_cast<int64_t>(expected + 4 * std::sqrt(expected) + 2);  // four standard deviations more
  if (rank >= kSample) return std::numeric_limits<float>::quiet_NaN();
  std::nth_element(sample.begin(), sample.begin() + rank, sample.end());
  return ToFloat(logits[begin + static_cast<int64_t>(sample[rank] & 0xffffffffu) * count / kSample]);
}

// The keys of the `limit` best pairs of [begin, end) whose logits are above `bar`, in any order; of all pairs if it is
// NaN.
//
// The logits are read once. Those that are better than `limit` earlier ones are collected; once there are enough, the
// worst of them are dropped. After that few logits are better than all that are left, so most are only compared.
template <typename T>
std::vector<uint64_t> BestAbove(const T* logits, int64_t begin, int64_t end, int64_t limit, float bar) {
  const int64_t room = std::min(end - begin, limit + std::max(limit, kSpare));
  std::vector<uint64_t> keys(room + kBlock);
  int64_t size = 0;
  uint64_t worst = std::isnan(bar) ? std::numeric_limits<uint64_t>::max() : PairKey(bar, 0);
  for (int64_t block = begin; block < end; block += kBlock) {
    const int64_t block_end = std::min(block + kBlock, end);
    if (!AnyAbove(logits + block, block_end - block, bar)) continue;
    for (int64_t i = block; i < block_end; ++i) {  // without a branch, which would often be guessed wrong
      const uint64_t key = PairKey(ToFloat(logits[i]), i);
      keys[size] = key;
      size += key < worst;
    }
    if (size > room) {
      keys.resize(size);
      DropWorst(limit, &keys);
      worst = keys.back();  // the last of the best is the worst of them
      bar = ToFloat(logits[worst & 0xffffffffu]);
      size = limit;
      keys.resize(room + kBlock);
    }
  }
  keys.resize(size);
  DropWorst(limit, &keys);
  return keys;
}

// The keys of the `limit` best pairs of [begin, end), in any order.
template <typename T>
std::vector<uint64_t> BestOf(const T* logits, int64_t begin, int64_t end, int64_t limit) {
  const float bar = GuessBar(logits, begin, end, limit);
  std::vector<uint64_t> keys = BestAbove(logits, begin, end, limit, bar);
  if (std::isnan(bar) || static_cast<int64_t>(keys.size()) >= limit) return keys;
  return BestAbove(logits, begin, end, limit, std::numeric_limits<float>::quiet_NaN());  // guessed too high
}

// A part of the logits of one image and level, and the best pairs in it.
struct Chunk {
  int64_t image;
  int64_t level;
  int64_t begin;
  int64_t end;
  std::vector<uint64_t> best;
};

template <typename T>
std::vector<Chunk> AllChunks(const ScoredPyramid<T>& input) {
  std::vector<Chunk> chunks;
  for (int64_t image = 0; image < input.images; ++image) {
    for (size_t level = 0; level < input.levels.size(); ++level) {
      const int64_t size = input.levels[level].anchors * input.classes;
      for (int64_t begin = 0; begin < size; begin += kChunk) {
        chunks.push_back({image, static_cast<int64_t>(level), begin, std::min(begin + kChunk, size), {}});
      }
    }
  }
  return chunks;
}

// One image and level: its chunks [begin, end), and the place of its pairs in the result.
struct Row {
  size_t begin;
  size_t end;
  int64_t first_anchor;  // of the level
  int64_t place;
};

template <typename T>
std::vector<Row> AllRows(const ScoredPyramid<T>& input, int64_t limit, const std::vector<Chunk>& chunks) {
  std::vector<Row> rows;
  size_t chunk = 0;
  int64_t place = 0;
  for (int64_t image = 0; image < input.images; ++image) {
    int64_t first_anchor = 0;
    for (size_t level = 0; level < input.levels.size(); ++level) {
      const int64_t anchors = input.levels[level].anchors;
      Row row{chunk, chunk, first_anchor, place};
      while (row.end < chunks.size() && chunks[row.end].image == image &&
             chunks[row.end].level == static_cast<int64_t>(level)) {
        ++row.end;
      }
      if (row.end > row.begin) rows.push_back(row);
      chunk = row.end;
      first_anchor += anchors;
      place += std::min(limit, anchors * input.classes);
    }
  }
  return rows;
}

template <typename T>
void Write(const ScoredPyramid<T>& input, const TopBoxesRule& rule, const Row& row, const std::vector<Chunk>& chunks,
           const TopBoxesResult& result) {
  const Chunk& first = chunks[row.begin];
  std::vector<uint64_t> keys;
  for (size_t i = row.begin; i < row.end; ++i) keys.insert(keys.end(), chunks[i].best.begin(), chunks[i].best.end());
  DropWorst(rule.limit, &keys);
  std::sort(keys.begin(), keys.end());

  const ScoredLevel<T>& level = input.levels[first.level];
  const T* logits = level.logits + first.image * level.anchors * input.classes;
  const T* deltas = level.deltas + first.image * level.anchors * 4;
  const float height = static_cast<float>(input.image_size[2 * first.image]);
  const float width = static_cast<float>(input.image_size[2 * first.image + 1]);
  for (size_t i = 0; i < keys.size(); ++i) {
    const int64_t index = keys[i] & 0xffffffffu, anchor = index / input.classes, place = row.place + i;
    float moves[4];
    for (int k = 0; k < 4; ++k) moves[k] = ToFloat(deltas[4 * anchor + k]);
    const Box box =
        Clip(Decode(BoxAt(input.anchors, row.first_anchor + anchor), moves, rule.decoding), height, width);
    StoreBox(box, result.boxes + 4 * place);
    result.logits[place] = UsableLogit(ToFloat(logits[index]), box, rule.min_size);
    result.classes[place] = static_cast<int32_t>(index % input.classes);
    result.levels[place] = static_cast<int32_t>(first.level);
  }
}

}  // namespace

template <typename T>
void TopBoxes(const ScoredPyramid<T>& input, const TopBoxesRule& rule, const ParallelFor& parallel,
              const TopBoxesResult& result) {
  std::vector<Chunk> chunks = AllChunks(input);
  const std::vector<Row> rows = AllRows(input, rule.limit, chunks);
  const int64_t limit = std::min(rule.limit, kChunk);
  parallel(chunks.size(), kChunk + 20 * limit, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Chunk& chunk = chunks[i];
      const ScoredLevel<T>& level = input.levels[chunk.level];
      const T* logits = level.logits + chunk.image * level.anchors * input.classes;
      chunk.best = BestOf(logits, chunk.begin, chunk.end, rule.limit);
    }
  });
  parallel(rows.size(), 150 * limit, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) Write(input, rule, rows[i], chunks, result);
  });
}

template void TopBoxes(const ScoredPyramid<float>&, const TopBoxesRule&, const ParallelFor&, const TopBoxesResult&);
template void TopBoxes(const ScoredPyramid<Half>&, const TopBoxesRule&, const ParallelFor&, const TopBoxesResult&);
template void TopBoxes(const ScoredPyramid<Bfloat16>&, const TopBoxesRule&, const ParallelFor&, const TopBoxesResult&);

}  // namespace awsdet
