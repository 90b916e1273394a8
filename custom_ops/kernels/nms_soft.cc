#include <algorithm>
#include <cmath>

#include "kernels/nms_classes.h"
#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

constexpr int64_t kLanes = 16;
constexpr float kGone = -1.0f;  // below every threshold, also after any decay

int64_t Padded(int64_t size) { return (size + kLanes - 1) / kLanes * kLanes; }

// The boxes that are not yet kept or gone, by rising index. Those between `size` and the padding are gone.
struct Pool {
  explicit Pool(int64_t room) : stride(room), lanes(7 * room, 0.0f), member(room), score(Part(5)) {
    std::fill_n(score, room, kGone);
  }
  float* Part(int part) { return lanes.data() + part * stride; }

  int64_t stride;
  std::vector<float> lanes;  // x1, y1, x2, y2, area, score, IoU with the last kept box
  std::vector<int32_t> member;
  float* score;
  int64_t size = 0;
};

Pool Fill(const ClassBoxes& input, const float* scores) {
  Pool pool(Padded(input.size));
  for (; pool.size < input.size; ++pool.size) {
    const int32_t member = input.member[pool.size];
    const Box box = input.At(member);
    int part = 0;
    for (const float value : {box.x1, box.y1, box.x2, box.y2, Area(box), scores[input.order[member]]}) {
      pool.Part(part++)[pool.size] = value;
    }
    pool.member[pool.size] = member;
  }
  return pool;
}

// IoU of box `best` with each box of [0, count). `count` is a multiple of the lanes.
AWSDET_VECTOR_CLONES
void Overlaps(const float* lanes, int64_t stride, int64_t best, int64_t count, float* iou) {
  const float *x1 = lanes, *y1 = x1 + stride, *x2 = y1 + stride, *y2 = x2 + stride, *area = y2 + stride;
  const Box box{x1[best], y1[best], x2[best], y2[best]};
  const float own = area[best];
  for (int64_t i = 0; i < count; ++i) iou[i] = Iou(box, own, {x1[i], y1[i], x2[i], y2[i]}, area[i]);
}

AWSDET_VECTOR_CLONES
void DecayLinear(const float* iou, float iou_threshold, float score_threshold, int64_t count, float* score) {
  for (int64_t i = 0; i < count; ++i) {
    const float decayed = score[i] * (iou[i] >= iou_threshold ? 1.0f - iou[i] : 1.0f);
    score[i] = decayed > score_threshold ? decayed : kGone;
  }
}

void DecayGaussian(const float* iou, float sigma, float score_threshold, int64_t count, float* score) {
  for (int64_t i = 0; i < count; ++i) {
    if (iou[i] == 0.0f) continue;  // the factor is 1, as for most pairs
    const float decayed = score[i] * std::exp(-(iou[i] * iou[i]) / sigma);
    score[i] = decayed > score_threshold ? decayed : kGone;
  }
}

AWSDET_VECTOR_CLONES
float Highest(const float* score, int64_t count) {
  float highest[kLanes];
  for (int64_t lane = 0; lane < kLanes; ++lane) highest[lane] = kGone;
  for (int64_t begin = 0; begin < count; begin += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) highest[lane] = std::max(highest[lane], score[begin + lane]);
  }
  return *std::max_element(highest, highest + kLanes);
}

// Removes the boxes that are gone from the pool.
void Compact(Pool* pool) {
  int64_t size = 0;
  for (int64_t i = 0; i < pool->size; ++i) {
    if (pool->score[i] == kGone) continue;
    for (int part = 0; part < 6; ++part) pool->Part(part)[size] = pool->Part(part)[i];
    pool->member[size++] = pool->member[i];
  }
  std::fill(pool->score + size, pool->score + pool->size, kGone);
  pool->size = size;
}

}  // namespace

void SoftNms(const ClassBoxes& input, const float* scores, const NmsRule& rule, float* decayed) {
  Pool pool = Fill(input, scores);
  float* iou = pool.Part(6);
  int64_t until_compact = pool.size / 4;
  for (int64_t kept = 0; kept < rule.max_output; ++kept) {
    const int64_t count = Padded(pool.size);
    const float highest = Highest(pool.score, count);
    if (highest == kGone) return;
    const int64_t best = std::find(pool.score, pool.score + count, highest) - pool.score;  // the first of equal ones
    decayed[pool.member[best]] = highest;
    pool.score[best] = kGone;
    Overlaps(pool.lanes.data(), pool.stride, best, count, iou);
    if (rule.method == NmsMethod::kLinear) {
      DecayLinear(iou, rule.iou_threshold, rule.score_threshold, count, pool.score);
    } else {
      DecayGaussian(iou, rule.sigma, rule.score_threshold, count, pool.score);
    }
    // At least one box goes in every step. Removing them once a quarter has gone costs little compared to what it
    // saves.
    if (--until_compact <= 0) {
      Compact(&pool);
      until_compact = pool.size / 4;
    }
  }
}

}  // namespace awsdet
