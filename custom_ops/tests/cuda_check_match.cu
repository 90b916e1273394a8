// Compares the CUDA launcher of matching with the CPU's kernel: everything must be equal.
#include <cmath>

#include "cuda/match.h"
#include "kernels/match.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

// bool arrays: a std::vector<bool> has no data().
using Flags = std::vector<uint8_t>;

struct Result {
  Flags positive, negative;
  std::vector<int32_t> index;

  explicit Result(size_t size) : positive(size, 7), negative(size, 7), index(size, -7) {}
};

struct Case {
  MatchRule rule{};
  int64_t images, count, objects;
  bool shared, with_truth;
  std::vector<float> candidates, boxes;
  Flags valid, is_target, is_crowd;
  std::string name;

  MatchInput Input(const float* own_candidates, const uint8_t* own_valid, const float* own_boxes,
                   const uint8_t* own_targets, const uint8_t* own_crowds) const {
    const auto flags = [](const uint8_t* values) { return reinterpret_cast<const bool*>(values); };
    return {own_candidates, shared, flags(own_valid), own_boxes, flags(own_targets), flags(own_crowds),
            images, count, objects};
  }
  size_t Size() const { return images * (count + (with_truth ? objects : 0)); }
};

Matches Into(uint8_t* positive, uint8_t* negative, int32_t* index, bool with_truth) {
  return {reinterpret_cast<bool*>(positive), reinterpret_cast<bool*>(negative), index, with_truth};
}

Flags RandomFlags(Random& random, int64_t count, float share) {
  Flags flags;
  for (int64_t i = 0; i < count; ++i) flags.push_back(random.Uniform(0, 1) < share);
  return flags;
}

Case Draw(Random& random) {
  Case drawn;
  drawn.images = random.Integer(0, 3);
  drawn.count = random.OneOf<int>({0, 1, 63, 64, 257, 700});
  drawn.objects = random.OneOf<int>({0, 1, 5, 63, 64, 65, 300});
  drawn.shared = random.Integer(0, 1);
  drawn.with_truth = random.Integer(0, 1);
  const float positive = random.OneOf<float>({0, 0.3f, 0.5f, 0.7f, 1});
  drawn.rule = {positive, positive * random.OneOf<float>({0.5f, 1}), random.Integer(0, 3) != 0,
                random.OneOf<float>({-1, 0, 0.3f, 0.5f}), random.OneOf<float>({-1, 0, 0.5f, 0.9f})};
  const float extent = random.OneOf<float>({20, 100, 400});
  drawn.candidates = RandomBoxes(random, (drawn.shared ? 1 : drawn.images) * drawn.count, extent);
  drawn.boxes = RandomBoxes(random, drawn.images * drawn.objects, extent);
  const bool coarse = random.Integer(0, 1) == 0;  // many overlaps are equal
  for (auto* boxes : {&drawn.candidates, &drawn.boxes}) {
    for (float& side : *boxes) {
      // The rule is for finite boxes whose areas do not overflow.
      if (!(std::fabs(side) < 1e9f)) side = 0;
      if (coarse) side = std::round(side / 4) * 4;
    }
  }
  drawn.valid = RandomFlags(random, drawn.images * drawn.count, random.OneOf<float>({0, 0.5f, 1}));
  drawn.is_target = RandomFlags(random, drawn.images * drawn.objects, random.OneOf<float>({0, 0.7f, 1}));
  drawn.is_crowd = RandomFlags(random, drawn.images * drawn.objects, random.OneOf<float>({0, 0.3f}));
  for (size_t i = 0; i < drawn.is_crowd.size(); ++i) drawn.is_crowd[i] &= drawn.is_target[i] ^ 1;
  drawn.name = "match B" + std::to_string(drawn.images) + " N" + std::to_string(drawn.count) + " G" +
               std::to_string(drawn.objects) + (drawn.shared ? " shared" : "") + (drawn.with_truth ? " truth" : "");
  return drawn;
}

Result OnCpu(const Case& drawn) {
  Result result(drawn.Size());
  awsdet::Match(drawn.Input(drawn.candidates.data(), drawn.valid.data(), drawn.boxes.data(), drawn.is_target.data(),
                            drawn.is_crowd.data()),
                drawn.rule, SerialFor,
                Into(result.positive.data(), result.negative.data(), result.index.data(), drawn.with_truth));
  return result;
}

Result OnGpu(const Case& drawn) {
  const DeviceArray<float> candidates(drawn.candidates), boxes(drawn.boxes);
  const DeviceArray<uint8_t> valid(drawn.valid), is_target(drawn.is_target), is_crowd(drawn.is_crowd);
  const DeviceArray<uint8_t> positive(drawn.Size()), negative(drawn.Size());
  const DeviceArray<int32_t> index(drawn.Size());
  const MatchInput input =
      drawn.Input(candidates.data(), valid.data(), boxes.data(), is_target.data(), is_crowd.data());
  const DeviceArray<char> workspace(MatchWorkspaceSize(input));
  Require(Match(input, drawn.rule, workspace.data(),
                Into(positive.data(), negative.data(), index.data(), drawn.with_truth), nullptr),
          "Match");
  Result result(0);
  result.positive = positive.Host(), result.negative = negative.Host(), result.index = index.Host();
  return result;
}

}  // namespace

void CheckMatch(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    const Case drawn = Draw(random);
    const Result ours = OnGpu(drawn), theirs = OnCpu(drawn);
    verdict->Check(ours.positive == theirs.positive && ours.negative == theirs.negative && ours.index == theirs.index,
                   drawn.name);
  }
  MatchInput wrong{};
  wrong.images = 70000;
  verdict->Check(Match(wrong, {}, nullptr, {}, nullptr) == cudaErrorInvalidValue, "too many images are refused");
}

}  // namespace awsdet::cuda
