// Two passes over blocks of consecutive candidates. The first finds, for each candidate, its best object and, for each
// object, its highest IoU. The second finds the low-quality matches, and computes only what can be one.
//
// Neighbouring anchors lie close together, so most objects do not touch a block's bounding box. Their IoU with all of
// its candidates is 0, and they are skipped.
#include "kernels/match.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <vector>

#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

constexpr int64_t kBlock = 64;    // candidates
constexpr int64_t kGroup = 64;    // objects whose contact with a block is tested together
constexpr float kNone = -1.0f;    // below every IoU

// The candidates of one block, in vectors. Lanes beyond `size` repeat the last candidate.
struct Block {
  alignas(64) float x1[kBlock], y1[kBlock], x2[kBlock], y2[kBlock], area[kBlock];
  int64_t size;
  Box around;  // bounds all of them

  Box At(int64_t i) const { return {x1[i], y1[i], x2[i], y2[i]}; }
};

// What is found for the candidates of a block.
struct Found {
  alignas(64) int32_t usable[kBlock];  // 1 or 0
  alignas(64) int32_t best[kBlock];    // bits of the highest IoU with a target; 0 if there is none
  alignas(64) int32_t index[kBlock];   // the first target with that IoU
  alignas(64) int32_t rescuer[kBlock];  // the last target that claims the candidate; -1: none
};

// Objects of one image, in vectors of kGroup; those beyond the last are inverted boxes, which touch nothing.
struct Objects {
  std::vector<float> x1, y1, x2, y2;
  std::vector<float> least;  // a block whose best IoU is below this has nothing for the object
  std::vector<int32_t> number;

  void Add(const Box& box, int32_t own_number, float own_least) {
    x1.push_back(box.x1), y1.push_back(box.y1), x2.push_back(box.x2), y2.push_back(box.y2);
    least.push_back(own_least), number.push_back(own_number);
  }
  // After the last Add.
  void Pad() {
    const float most = std::numeric_limits<float>::max();
    while (x1.size() % kGroup != 0) Add({most, most, -most, -most}, -1, most);
  }
  int64_t size() const { return static_cast<int64_t>(x1.size()); }
  Box At(int64_t i) const { return {x1[i], y1[i], x2[i], y2[i]}; }
};

struct Truth {
  Objects targets, crowds;
  int32_t first_target = 0;  // 0 if there is none
};

// Written before a function that becomes part of the functions for each vector unit.
#define AWSDET_INLINE inline __attribute__((always_inline))

// The least or largest of a block's values; Pick: Smaller or Larger.
template <float (*Pick)(float, float)>
AWSDET_INLINE float Extreme(const float* values) {
  float lanes[16];
  for (int64_t j = 0; j < 16; ++j) lanes[j] = values[j];
  for (int64_t i = 16; i < kBlock; i += 16) {
    for (int64_t j = 0; j < 16; ++j) lanes[j] = Pick(lanes[j], values[i + j]);
  }
  for (int64_t half = 8; half > 0; half /= 2) {
    for (int64_t j = 0; j < half; ++j) lanes[j] = Pick(lanes[j], lanes[j + half]);
  }
  return lanes[0];
}

AWSDET_VECTOR_CLONES
void LoadBlock(const float* boxes, int64_t size, Block* block) {
  block->size = size;
  for (int64_t i = 0; i < size; ++i) {
    block->x1[i] = boxes[4 * i];
    block->y1[i] = boxes[4 * i + 1];
    block->x2[i] = boxes[4 * i + 2];
    block->y2[i] = boxes[4 * i + 3];
  }
  for (int64_t i = size; i < kBlock; ++i) {
    const Box last = BoxAt(boxes, size - 1);
    block->x1[i] = last.x1, block->y1[i] = last.y1, block->x2[i] = last.x2, block->y2[i] = last.y2;
  }
  for (int64_t i = 0; i < kBlock; ++i) block->area[i] = ClampedArea(block->At(i));
  block->around = {Extreme<Smaller>(block->x1), Extreme<Smaller>(block->y1), Extreme<Larger>(block->x2),
                   Extreme<Larger>(block->y2)};
}

// Sets bit i if object `first` + i may have a common area with a box in `around`, and a place for a block whose best
// IoU is `best`. Objects that are left out have none: rounded differences keep their order.
AWSDET_VECTOR_CLONES
uint64_t Touching(const Box& around, float best, const Objects& objects, int64_t first) {
  const float *x1 = objects.x1.data() + first, *y1 = objects.y1.data() + first, *x2 = objects.x2.data() + first,
              *y2 = objects.y2.data() + first, *least = objects.least.data() + first;
  alignas(64) uint8_t touches[kGroup];
  for (int64_t i = 0; i < kGroup; ++i) {
    touches[i] = (Smaller(around.x2, x2[i]) > Larger(around.x1, x1[i])) &
                 (Smaller(around.y2, y2[i]) > Larger(around.y1, y1[i])) & (best >= least[i]);
  }
  uint64_t bits = 0;
  for (int64_t i = 0; i < kGroup; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, touches + i, sizeof(eight));
    // The multiplication moves the lowest bits of the eight bytes into the highest byte, the first to the lowest bit.
    bits |= (eight * 0x0102040810204080u >> 56) << i;
  }
  return bits;
}

// Calls visit(place in `objects`) for each object that Touching finds, in order.
template <typename Visit>
void ForTouching(const Box& around, float best, const Objects& objects, const Visit& visit) {
  for (int64_t first = 0; first < objects.size(); first += kGroup) {
    for (uint64_t bits = Touching(around, best, objects, first); bits != 0; bits &= bits - 1) {
      visit(first + __builtin_ctzll(bits));
    }
  }
}

AWSDET_VECTOR_CLONES
void LeaveOutCrowd(const Block& block, const Box& crowd, float ignore_iof, int32_t* __restrict__ usable) {
  for (int64_t i = 0; i < kBlock; ++i) {
    usable[i] &= MatchIof(CommonArea(block.At(i), crowd), block.area[i]) <= ignore_iof ? 1 : 0;
  }
}

// Takes one target into account; returns its highest IoU with a usable candidate, or kNone.
AWSDET_VECTOR_CLONES
float AddTarget(const Block& block, const Box& target, int32_t number, Found* found) {
  const float area = ClampedArea(target);
  const int32_t none = FloatBits(kNone);
  int32_t top = none;
  // Integers are compared, whose maximum the compiler can vectorise.
  for (int64_t i = 0; i < kBlock; ++i) {
    const int32_t iou = FloatBits(MatchIou(CommonArea(block.At(i), target), block.area[i], area));
    const int32_t mask = -found->usable[i], counted = (iou & mask) | (none & ~mask);
    found->index[i] = counted > found->best[i] ? number : found->index[i];
    found->best[i] = std::max(counted, found->best[i]);
    top = std::max(top, counted);
  }
  return BitsFloat(top);
}

// Lets a target claim the usable candidates whose IoU with it is `highest`.
AWSDET_VECTOR_CLONES
void Claim(const Block& block, const Box& target, int32_t number, float highest, Found* found) {
  const float area = ClampedArea(target);
  for (int64_t i = 0; i < kBlock; ++i) {
    const float iou = MatchIou(CommonArea(block.At(i), target), block.area[i], area);
    found->rescuer[i] = std::max(found->rescuer[i], iou == highest ? number : -1);
  }
}

// Writes what the best IoU decides; returns the highest one of the block.
AWSDET_VECTOR_CLONES
float Decide(const Found& found, const MatchRule& rule, int64_t size, bool* __restrict__ positive,
             bool* __restrict__ negative, int32_t* __restrict__ index) {
  alignas(64) uint8_t is_positive[kBlock], is_negative[kBlock];
  int32_t top = 0;
  for (int64_t i = 0; i < kBlock; ++i) {
    const float best = BitsFloat(found.best[i]);
    const int32_t high = best >= rule.positive_iou ? 1 : 0, low = best < rule.negative_iou ? 1 : 0;
    is_positive[i] = found.usable[i] & high;
    is_negative[i] = found.usable[i] & low & (high ^ 1);
    top = std::max(top, found.best[i]);
  }
  std::memcpy(positive, is_positive, size);
  std::memcpy(negative, is_negative, size);
  for (int64_t i = 0; i < size; ++i) index[i] = found.usable[i] ? found.index[i] : 0;
  return BitsFloat(top);
}

class Matching {
 public:
  Matching(const MatchInput& input, const MatchRule& rule, const Matches& matches)
      : input_(input), rule_(rule), matches_(matches), blocks_((input.count + kBlock - 1) / kBlock),
        truth_(input.images), highest_(input.images * input.objects, kNone), around_(blocks_ * input.images),
        best_(blocks_ * input.images) {
    for (int64_t image = 0; image < input.images; ++image) ReadTruth(image);
  }

  void Run(const ParallelFor& parallel) {
    if (matches_.with_truth) MatchTruth();
    const int64_t cost = input_.images * (400 + 20 * input_.objects);
    parallel(blocks_, cost, [&](int64_t begin, int64_t end) { Assign(begin, end); });
    if (!rule_.low_quality_matches) return;
    std::vector<Rescue> rescues(input_.images);
    bool any = false;
    for (int64_t image = 0; image < input_.images; ++image) any |= FindRescue(image, &rescues[image]);
    if (!any) return;
    parallel(blocks_, cost / 4, [&](int64_t begin, int64_t end) { RescueBlocks(rescues, begin, end); });
  }

 private:
  // The targets of an image that claim candidates. One that touches no usable candidate has the highest IoU 0 with all
  // of them, so it claims them all; `everywhere` is the last one, or -1.
  struct Rescue {
    Objects targets;  // each with its highest IoU as `least`
    int32_t everywhere = -1;
  };

  int64_t Length() const { return input_.count + (matches_.with_truth ? input_.objects : 0); }
  // Where the results of the first candidate of a block are.
  int64_t Place(int64_t image, int64_t block) const {
    return (image + 1) * Length() - input_.count + block * kBlock;
  }
  int64_t Size(int64_t block) const { return std::min(kBlock, input_.count - block * kBlock); }

  void ReadTruth(int64_t image) {
    Truth& truth = truth_[image];
    for (int64_t g = 0; g < input_.objects; ++g) {
      const int64_t place = image * input_.objects + g;
      const Box box = BoxAt(input_.boxes, place);
      const int32_t number = static_cast<int32_t>(g);
      if (input_.is_target[place]) {
        if (truth.targets.x1.empty()) truth.first_target = number;
        truth.targets.Add(box, number, 0.0f);
      }
      if (input_.is_crowd[place] && rule_.ignore_iof >= 0) truth.crowds.Add(box, number, 0.0f);
    }
    truth.targets.Pad();
    truth.crowds.Pad();
  }

  void MatchTruth() const {
    for (int64_t image = 0; image < input_.images; ++image) {
      for (int64_t g = 0; g < input_.objects; ++g) {
        const int64_t place = image * Length() + g;
        matches_.positive[place] = input_.is_target[image * input_.objects + g];
        matches_.negative[place] = false;
        matches_.index[place] = static_cast<int32_t>(g);
      }
    }
  }

  void Load(int64_t image, int64_t block, Block* loaded) const {
    const int64_t first = (input_.shared ? 0 : image * input_.count) + block * kBlock;
    LoadBlock(input_.candidates + 4 * first, Size(block), loaded);
  }

  // Sets found->usable.
  void FindUsable(int64_t image, int64_t number, const Block& block, Found* found) const {
    const bool* valid = input_.valid + image * input_.count + number * kBlock;
    for (int64_t i = 0; i < kBlock; ++i) found->usable[i] = i < block.size && valid[i] ? 1 : 0;
    const Objects& crowds = truth_[image].crowds;
    ForTouching(block.around, 0.0f, crowds, [&](int64_t i) {
      LeaveOutCrowd(block, crowds.At(i), rule_.ignore_iof, found->usable);
    });
  }

  // The first pass, over some blocks of all images.
  void Assign(int64_t begin, int64_t end) {
    Block block;
    Found found;
    std::vector<float> highest(highest_.size(), kNone);
    for (int64_t number = begin; number < end; ++number) {
      for (int64_t image = 0; image < input_.images; ++image) {
        if (image == 0 || !input_.shared) Load(image, number, &block);
        FindUsable(image, number, block, &found);
        const Truth& truth = truth_[image];
        std::fill_n(found.best, kBlock, 0);
        std::fill_n(found.index, kBlock, truth.first_target);
        float* const own_highest = highest.data() + image * input_.objects;
        ForTouching(block.around, 0.0f, truth.targets, [&](int64_t i) {
          const int32_t g = truth.targets.number[i];
          own_highest[g] = std::max(own_highest[g], AddTarget(block, truth.targets.At(i), g, &found));
        });
        const int64_t place = Place(image, number);
        const float best = Decide(found, rule_, block.size, matches_.positive + place, matches_.negative + place,
                                  matches_.index + place);
        around_[number * input_.images + image] = block.around;
        // Below every IoU if the block has nothing to claim.
        const bool any = std::any_of(found.usable, found.usable + kBlock, [](int32_t usable) { return usable != 0; });
        best_[number * input_.images + image] = any ? best : kNone;
      }
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < highest.size(); ++i) highest_[i] = std::max(highest_[i], highest[i]);
  }

  // Returns whether any target claims a candidate.
  bool FindRescue(int64_t image, Rescue* rescue) const {
    bool usable = false;
    for (int64_t number = 0; number < blocks_; ++number) usable |= best_[number * input_.images + image] >= 0.0f;
    if (!usable) return false;
    const Objects& targets = truth_[image].targets;
    for (int64_t i = 0; i < targets.size(); ++i) {
      const int32_t g = targets.number[i];
      if (g < 0) continue;
      // Targets that touch no block were not visited.
      const float highest = std::max(highest_[image * input_.objects + g], 0.0f);
      if (!(highest >= rule_.min_positive_iou)) continue;
      if (highest == 0.0f) {
        rescue->everywhere = g;
      } else {
        rescue->targets.Add(targets.At(i), g, highest);
      }
    }
    rescue->targets.Pad();
    return rescue->everywhere >= 0 || rescue->targets.size() > 0;
  }

  // The second pass.
  void RescueBlocks(const std::vector<Rescue>& rescues, int64_t begin, int64_t end) const {
    Block block;
    Found found;
    for (int64_t number = begin; number < end; ++number) {
      for (int64_t image = 0; image < input_.images; ++image) {
        const Rescue& rescue = rescues[image];
        const Objects& targets = rescue.targets;
        const int64_t summary = number * input_.images + image;
        if (best_[summary] < 0.0f) continue;
        bool ready = false;
        const auto prepare = [&] {
          if (ready) return;
          Load(image, number, &block);
          FindUsable(image, number, block, &found);
          std::fill_n(found.rescuer, kBlock, rescue.everywhere);
          ready = true;
        };
        if (rescue.everywhere >= 0) prepare();
        ForTouching(around_[summary], best_[summary], targets, [&](int64_t i) {
          prepare();
          Claim(block, targets.At(i), targets.number[i], targets.least[i], &found);
        });
        if (ready) GiveAway(image, number, found);
      }
    }
  }

  void GiveAway(int64_t image, int64_t number, const Found& found) const {
    const int64_t place = Place(image, number);
    for (int64_t i = 0; i < Size(number); ++i) {
      if (!found.usable[i] || found.rescuer[i] < 0) continue;
      matches_.positive[place + i] = true;
      matches_.negative[place + i] = false;
      matches_.index[place + i] = found.rescuer[i];
    }
  }

  const MatchInput& input_;
  const MatchRule& rule_;
  const Matches& matches_;
  const int64_t blocks_;
  std::vector<Truth> truth_;
  std::vector<float> highest_;  // of each object of each image, its highest IoU with a usable candidate
  std::vector<Box> around_;     // of each block, for each image
  std::vector<float> best_;     // the same; kNone if no candidate is usable
  std::mutex mutex_;
};

}  // namespace

void Match(const MatchInput& input, const MatchRule& rule, const ParallelFor& parallel, const Matches& matches) {
  Matching(input, rule, matches).Run(parallel);
}

}  // namespace awsdet
