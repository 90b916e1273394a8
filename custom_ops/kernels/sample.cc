// One pass over the candidates of an image keeps those that can still be among the smallest keys.
#include "kernels/sample.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

constexpr int64_t kBlock = 64;
constexpr size_t kLeastRoom = 1024;

// Whether one of kBlock candidates is allowed and has a key below the bound.
AWSDET_VECTOR_CLONES
bool AnyBelow(const bool* allowed, const float* keys, float bound) {
  int32_t any = 0;
  for (int64_t i = 0; i < kBlock; ++i) any |= static_cast<int32_t>(allowed[i]) & (keys[i] < bound ? 1 : 0);
  return any != 0;
}

// The allowed candidates with the smallest keys of one image.
class Smallest {
 public:
  explicit Smallest(int64_t limit) : limit_(limit), room_(std::max<size_t>(4 * limit, kLeastRoom)) {}

  // Indices of at most `limit` of the allowed ones, by rising key, of equal keys the lower index first.
  const std::vector<uint64_t>& Find(const bool* allowed, const float* keys, int64_t length) {
    order_.clear();
    bounded_ = false;
    for (int64_t i = 0; i < length && limit_ > 0; i += kBlock) {
      const int64_t end = std::min(i + kBlock, length);
      if (bounded_ && end == i + kBlock && !AnyBelow(allowed + i, keys + i, bound_)) continue;
      for (int64_t j = i; j < end; ++j) {
        // An equal key with a higher index comes after all that were kept.
        if (allowed[j] && (!bounded_ || keys[j] < bound_)) order_.push_back(SampleOrder(keys[j], j));
      }
      if (order_.size() >= room_) Shrink(keys);
    }
    std::sort(order_.begin(), order_.end());
    if (order_.size() > static_cast<size_t>(limit_)) order_.resize(limit_);
    return order_;
  }

 private:
  void Shrink(const float* keys) {
    std::nth_element(order_.begin(), order_.begin() + limit_ - 1, order_.end());
    order_.resize(limit_);
    bound_ = keys[IndexOf(order_.back())];
    bounded_ = true;
  }

  const int64_t limit_;
  const size_t room_;
  std::vector<uint64_t> order_;
  bool bounded_ = false;
  float bound_ = 0.0f;
};

// Samples one image. Returns the flat index of a positive without an object, or -1.
int64_t SampleImage(const SampleInput& input, const SampleRule& rule, int64_t image, const Samples& samples) {
  const int64_t length = input.Length(), first = image * length;
  Smallest positives(std::min(rule.positive_limit, rule.size));
  const std::vector<uint64_t>& chosen = positives.Find(input.positive + first, input.keys + first, length);
  const int64_t positive_count = chosen.size();
  Smallest negatives(rule.size - positive_count);
  const std::vector<uint64_t>& others = negatives.Find(input.negative + first, input.keys + first, length);
  const int64_t negative_count = others.size();
  for (int64_t slot = 0; slot < rule.size; ++slot) {
    const bool positive = slot < positive_count, valid = slot < positive_count + negative_count;
    int64_t index = -1;
    if (valid) index = IndexOf(positive ? chosen[slot] : others[slot - positive_count]);
    if (positive) {
      const int32_t truth = input.matched[first + index];
      if (truth < 0 || truth >= input.objects) return first + index;
    }
    WriteSample(input, rule, samples, image, slot, index, positive);
  }
  samples.counts[2 * image] = static_cast<float>(positive_count);
  samples.counts[2 * image + 1] = static_cast<float>(negative_count);
  return -1;
}

}  // namespace

int64_t Sample(const SampleInput& input, const SampleRule& rule, const ParallelFor& parallel, const Samples& samples) {
  std::atomic<int64_t> wrong{-1};
  parallel(input.images, input.Length() / 2 + 100 * rule.size, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      const int64_t found = SampleImage(input, rule, image, samples);
      if (found >= 0) wrong = found;
    }
  });
  return wrong;
}

}  // namespace awsdet
