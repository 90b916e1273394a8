#include "kernels/nms.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/nms_candidates.h"
#include "kernels/nms_classes.h"

namespace awsdet {
namespace {

// One class of one image. A thread works on one unit at a time.
struct Unit {
  int64_t image;
  ClassBoxes boxes;
};

std::vector<Candidates> FindAll(const ScoredBoxes& input, const NmsRule& rule, const ParallelFor& parallel) {
  std::vector<Candidates> found(input.images);
  parallel(input.images, 10 * input.count, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      const int64_t first = image * input.count;
      found[image] = FindCandidates(input.boxes + 4 * first, input.scores + first, input.classes + first, input.count,
                                    rule.score_threshold, rule.method == NmsMethod::kHard);
    }
  });
  return found;
}

std::vector<Unit> AllClasses(const ScoredBoxes& input, const std::vector<Candidates>& candidates) {
  std::vector<Unit> units;
  for (int64_t image = 0; image < input.images; ++image) {
    const Candidates& found = candidates[image];
    for (const ClassGroup& group : found.classes) {
      units.push_back({image,
                       {input.boxes + 4 * image * input.count, found.order.data(), found.member.data() + group.begin,
                        group.end - group.begin}});
    }
  }
  return units;
}

// Estimates the cycles of one unit: each candidate is compared with each kept box, sixteen at a time.
int64_t UnitCost(const std::vector<Unit>& units, int64_t max_output) {
  double cycles = 0;
  for (const Unit& unit : units) {
    cycles += static_cast<double>(unit.boxes.size) * (50 + std::min(unit.boxes.size, max_output) / 2);
  }
  return static_cast<int64_t>(std::min(cycles / std::max<size_t>(units.size(), 1), 1e12));
}

// Greedy NMS takes the candidates by falling score, in rounds. In one round the threads work on all classes at once, up
// to a place at which max_output boxes are likely to be kept. Only if there are fewer, another round takes later
// candidates.
class HardRounds {
 public:
  HardRounds(const NmsRule& rule, const std::vector<Candidates>& candidates, const std::vector<Unit>& units)
      : rule_(rule), candidates_(candidates), units_(units), survives_(candidates.size()) {
    for (size_t image = 0; image < candidates.size(); ++image) survives_[image].resize(candidates[image].order.size());
    for (const Unit& unit : units) classes_.emplace_back(unit.boxes, rule.iou_threshold, rule.max_output);
  }

  void Run(const ParallelFor& parallel) {
    std::vector<int64_t> limit(candidates_.size(), 0);
    const int64_t cost = UnitCost(units_, rule_.max_output);
    for (int64_t round = rule_.max_output + rule_.max_output / 2 + kLeastRound; Raise(round, &limit); round *= 2) {
      parallel(classes_.size(), cost, [&](int64_t begin, int64_t end) {
        HardScratch scratch;
        for (int64_t i = begin; i < end; ++i) {
          const int64_t image = units_[i].image;
          classes_[i].Advance(limit[image], &scratch, survives_[image].data());
        }
      });
    }
  }

  // For each candidate, in their order: whether it is kept.
  const std::vector<uint8_t>& survives(int64_t image) const { return survives_[image]; }

 private:
  static constexpr int64_t kLeastRound = 512;

  // Moves the limits of images that still have too few boxes. Returns false if there is no such image.
  bool Raise(int64_t round, std::vector<int64_t>* limit) const {
    bool any = false;
    for (size_t image = 0; image < candidates_.size(); ++image) {
      const auto& survives = survives_[image];
      const int64_t size = survives.size();
      if ((*limit)[image] >= size) continue;
      if (std::count(survives.begin(), survives.end(), 1) >= rule_.max_output) continue;
      (*limit)[image] = std::min(size, (*limit)[image] + round);
      any = true;
    }
    return any;
  }

  const NmsRule& rule_;
  const std::vector<Candidates>& candidates_;
  const std::vector<Unit>& units_;
  std::vector<std::vector<uint8_t>> survives_;
  std::vector<HardNms> classes_;
};

// One row of the result.
class Row {
 public:
  Row(const ScoredBoxes& input, const KeptBoxes& kept, int64_t image, int64_t size)
      : first_(image * input.count), begin_(image * size), size_(size), input_(input), kept_(kept), image_(image) {}

  bool full() const { return filled_ == size_; }
  void Add(int32_t index, float score) {
    const int64_t place = begin_ + filled_++;
    kept_.indices[place] = index;
    kept_.scores[place] = score;
    StoreBox(BoxAt(input_.boxes, first_ + index), kept_.boxes + 4 * place);
    kept_.classes[place] = input_.classes[first_ + index];
    kept_.valid[place] = true;
  }
  // Fills the rest.
  void Finish() {
    const int64_t from = begin_ + filled_, count = size_ - filled_;
    std::fill_n(kept_.indices + from, count, 0);
    std::fill_n(kept_.scores + from, count, 0.0f);
    std::fill_n(kept_.boxes + 4 * from, 4 * count, 0.0f);
    std::fill_n(kept_.classes + from, count, -1);
    std::fill_n(kept_.valid + from, count, false);
    kept_.count[image_] = static_cast<int32_t>(filled_);
  }

 private:
  const int64_t first_, begin_, size_;
  const ScoredBoxes& input_;
  const KeptBoxes& kept_;
  const int64_t image_;
  int64_t filled_ = 0;
};

void Hard(const ScoredBoxes& input, const NmsRule& rule, const ParallelFor& parallel, const KeptBoxes& kept) {
  const auto candidates = FindAll(input, rule, parallel);
  const auto units = AllClasses(input, candidates);
  HardRounds rounds(rule, candidates, units);
  rounds.Run(parallel);
  for (int64_t image = 0; image < input.images; ++image) {
    Row row(input, kept, image, rule.max_output);
    const auto& order = candidates[image].order;
    for (size_t i = 0; i < order.size() && !row.full(); ++i) {
      if (rounds.survives(image)[i]) row.Add(order[i], input.scores[image * input.count + order[i]]);
    }
    row.Finish();
  }
}

void Soft(const ScoredBoxes& input, const NmsRule& rule, const ParallelFor& parallel, const KeptBoxes& kept) {
  const auto candidates = FindAll(input, rule, parallel);
  const auto units = AllClasses(input, candidates);
  const float gone = std::numeric_limits<float>::lowest();
  std::vector<std::vector<float>> decayed(input.images);
  for (int64_t image = 0; image < input.images; ++image) decayed[image].assign(candidates[image].order.size(), gone);
  parallel(units.size(), 10 * UnitCost(units, rule.max_output), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = units[i].image;
      SoftNms(units[i].boxes, input.scores + image * input.count, rule, decayed[image].data());
    }
  });
  std::vector<Keyed> items, scratch;
  for (int64_t image = 0; image < input.images; ++image) {
    items.clear();
    for (size_t i = 0; i < decayed[image].size(); ++i) {
      if (decayed[image][i] != gone) items.push_back(MakeKeyed(FallingKey(decayed[image][i]), i));
    }
    SortByKey(&items, &scratch);
    Row row(input, kept, image, rule.max_output);
    for (size_t i = 0; i < items.size() && !row.full(); ++i) {
      row.Add(candidates[image].order[Value(items[i])], decayed[image][Value(items[i])]);
    }
    row.Finish();
  }
}

}  // namespace

void Nms(const ScoredBoxes& input, const NmsRule& rule, const ParallelFor& parallel, const KeptBoxes& kept) {
  (rule.method == NmsMethod::kHard ? Hard : Soft)(input, rule, parallel, kept);
}

}  // namespace awsdet
