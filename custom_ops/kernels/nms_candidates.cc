#include "kernels/nms_candidates.h"

#include <algorithm>
#include <array>
#include <utility>

namespace awsdet {
namespace {

constexpr size_t kFewItems = 256;  // for fewer items a comparison sort is faster than histograms
constexpr int kDigitBits = 11;     // so there are three digits, and the counts of one digit fit the L1 cache
constexpr int kDigits = 3;
constexpr uint32_t kDigitValues = 1u << kDigitBits;

uint32_t Digit(Keyed item, int digit) {
  return static_cast<uint32_t>(item >> (32 + digit * kDigitBits)) & (kDigitValues - 1);
}

// Sorts by class. Returns false, and does nothing, if there is only one class.
bool GroupByClass(const int32_t* classes, const std::vector<int32_t>& order, std::vector<Keyed>* items,
                  std::vector<Keyed>* scratch) {
  const int32_t first = classes[order[0]];
  if (std::all_of(order.begin(), order.end(), [&](int32_t i) { return classes[i] == first; })) return false;
  items->resize(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    (*items)[i] = MakeKeyed(static_cast<uint32_t>(classes[order[i]]), i);
  }
  SortByKey(items, scratch);
  return true;
}

}  // namespace

void SortByKey(std::vector<Keyed>* items, std::vector<Keyed>* scratch) {
  if (items->size() < kFewItems) {
    std::sort(items->begin(), items->end());
    return;
  }
  std::array<std::array<uint32_t, kDigitValues>, kDigits> counts{};
  for (const Keyed item : *items) {
    for (int digit = 0; digit < kDigits; ++digit) ++counts[digit][Digit(item, digit)];
  }
  scratch->resize(items->size());
  for (int digit = 0; digit < kDigits; ++digit) {
    auto& places = counts[digit];
    if (places[Digit(items->front(), digit)] == items->size()) continue;  // the same digit everywhere
    uint32_t before = 0;
    for (uint32_t& place : places) before += std::exchange(place, before);
    for (const Keyed item : *items) (*scratch)[places[Digit(item, digit)]++] = item;
    items->swap(*scratch);
  }
}

Candidates FindCandidates(const float* boxes, const float* scores, const int32_t* classes, int64_t count,
                          float score_threshold, bool by_score) {
  std::vector<Keyed> items, scratch;
  items.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    if (scores[i] > score_threshold && IsFinite(BoxAt(boxes, i))) {
      items.push_back(MakeKeyed(by_score ? FallingKey(scores[i]) : 0, i));
    }
  }
  if (by_score) SortByKey(&items, &scratch);
  Candidates found;
  if (items.empty()) return found;
  const int64_t size = items.size();
  found.order.resize(size);
  std::transform(items.begin(), items.end(), found.order.begin(), Value);
  found.member.resize(size);
  if (!GroupByClass(classes, found.order, &items, &scratch)) {
    for (int64_t i = 0; i < size; ++i) found.member[i] = i;
    found.classes.push_back({0, size});
    return found;
  }
  std::transform(items.begin(), items.end(), found.member.begin(), Value);
  for (int64_t i = 0; i < size; ++i) {
    if (i == 0 || items[i] >> 32 != items[i - 1] >> 32) {
      if (i > 0) found.classes.back().end = i;
      found.classes.push_back({i, size});
    }
  }
  return found;
}

}  // namespace awsdet
