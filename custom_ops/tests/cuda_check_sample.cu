// Compares the CUDA launcher of sampling with the CPU's kernel: everything must be equal but the rounding of deltas.
#include <cmath>
#include <cstring>

#include "cuda/sample.h"
#include "kernels/sample.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

struct Case {
  SampleRule rule{};
  SampleInput input{};
  std::vector<uint8_t> positive, negative;
  std::vector<int32_t> matched, classes;
  std::vector<float> keys, candidates, boxes;
  std::string name;
};

struct Result {
  std::vector<int32_t> index, truth, labels;
  std::vector<uint8_t> positive, valid, is_object;
  std::vector<float> boxes, deltas, counts;
};

// Keys of one kind: spread, few different ones, all equal, or so close that only their last bits differ.
float RandomKey(Random& random, int kind) {
  if (kind == 0) return random.Uniform(0, 1);
  if (kind == 1) return random.OneOf<float>({0, -0.0f, 0.25f, 0.5f, -1, INFINITY, 3e38f});
  if (kind == 2) return 0.5f;
  const uint32_t bits = 0x3f000000u + static_cast<uint32_t>(random.Integer(0, 40));
  float key;
  std::memcpy(&key, &bits, sizeof(key));
  return key;
}

Case Draw(Random& random) {
  Case drawn;
  SampleInput& input = drawn.input;
  input.images = random.Integer(0, 3);
  input.count = random.OneOf<int>({0, 1, 300, 2000, 9000, 20000});
  input.objects = random.OneOf<int>({1, 7, 70});
  input.shared = random.Integer(0, 1);
  input.with_truth = random.Integer(0, 1);
  drawn.rule.size = random.OneOf<int>({0, 1, 16, 256, 512, 3000});
  drawn.rule.positive_limit = random.OneOf<int64_t>({0, drawn.rule.size / 4, drawn.rule.size / 2, drawn.rule.size});
  drawn.rule.background = 80;
  const float stds[] = {0.1f, 0.1f, 0.2f, 0.2f};
  std::memcpy(drawn.rule.stds, stds, sizeof(stds));
  const int key_kind = random.Integer(0, 3);
  const float positives = random.OneOf<float>({0, 0.01f, 0.5f, 1}), negatives = random.OneOf<float>({0, 0.2f, 1});
  for (int64_t i = 0; i < input.images * input.Length(); ++i) {
    drawn.positive.push_back(random.Uniform(0, 1) < positives);
    drawn.negative.push_back(!drawn.positive.back() && random.Uniform(0, 1) < negatives);
    drawn.matched.push_back(random.Integer(0, static_cast<int>(input.objects) - 1));
    drawn.keys.push_back(RandomKey(random, key_kind));
  }
  for (int64_t i = 0; i < input.images * input.objects; ++i) drawn.classes.push_back(random.Integer(0, 79));
  drawn.candidates = RandomBoxes(random, (input.shared ? 1 : input.images) * input.count, 100);
  drawn.boxes = RandomBoxes(random, input.images * input.objects, 100);
  for (auto* boxes : {&drawn.candidates, &drawn.boxes}) {
    for (float& side : *boxes) {
      if (!(std::fabs(side) < 1e9f)) side = 0;
    }
  }
  drawn.name = "sample B" + std::to_string(input.images) + " N" + std::to_string(input.count) + " G" +
               std::to_string(input.objects) + " S" + std::to_string(drawn.rule.size) + " limit " +
               std::to_string(drawn.rule.positive_limit) + " keys " + std::to_string(key_kind) +
               (input.with_truth ? " truth" : "");
  return drawn;
}

const bool* Flags(const uint8_t* values) { return reinterpret_cast<const bool*>(values); }
bool* Flags(uint8_t* values) { return reinterpret_cast<bool*>(values); }

Result OnCpu(const Case& drawn) {
  SampleInput input = drawn.input;
  input.positive = Flags(drawn.positive.data()), input.negative = Flags(drawn.negative.data());
  input.matched = drawn.matched.data(), input.keys = drawn.keys.data();
  input.candidates = drawn.candidates.data(), input.boxes = drawn.boxes.data(), input.classes = drawn.classes.data();
  const size_t slots = input.images * drawn.rule.size;
  Result result;
  for (auto* part : {&result.index, &result.truth, &result.labels}) part->resize(slots);
  for (auto* part : {&result.positive, &result.valid, &result.is_object}) part->resize(slots);
  result.boxes.resize(4 * slots), result.deltas.resize(4 * slots), result.counts.resize(2 * input.images);
  awsdet::Sample(input, drawn.rule, SerialFor,
                 {result.index.data(), Flags(result.positive.data()), Flags(result.valid.data()), result.truth.data(),
                  result.boxes.data(), result.labels.data(), result.deltas.data(), Flags(result.is_object.data()),
                  result.counts.data()});
  return result;
}

Result OnGpu(const Case& drawn) {
  const DeviceArray<uint8_t> positive(drawn.positive), negative(drawn.negative);
  const DeviceArray<int32_t> matched(drawn.matched), classes(drawn.classes);
  const DeviceArray<float> keys(drawn.keys), candidates(drawn.candidates), boxes(drawn.boxes);
  SampleInput input = drawn.input;
  input.positive = Flags(positive.data()), input.negative = Flags(negative.data());
  input.matched = matched.data(), input.keys = keys.data();
  input.candidates = candidates.data(), input.boxes = boxes.data(), input.classes = classes.data();
  const size_t slots = input.images * drawn.rule.size;
  const DeviceArray<int32_t> index(slots), truth(slots), labels(slots);
  const DeviceArray<uint8_t> is_positive(slots), valid(slots), is_object(slots);
  const DeviceArray<float> sampled(4 * slots), deltas(4 * slots), counts(static_cast<size_t>(2 * input.images));
  Require(Sample(input, drawn.rule,
                 {index.data(), Flags(is_positive.data()), Flags(valid.data()), truth.data(), sampled.data(),
                  labels.data(), deltas.data(), Flags(is_object.data()), counts.data()},
                 nullptr),
          "Sample");
  return {index.Host(), truth.Host(), labels.Host(), is_positive.Host(), valid.Host(), is_object.Host(),
          sampled.Host(), deltas.Host(), counts.Host()};
}

bool Close(const std::vector<float>& ours, const std::vector<float>& theirs) {
  for (size_t i = 0; i < theirs.size(); ++i) {
    if (!(std::fabs(ours[i] - theirs[i]) <= 1e-6f * std::fabs(theirs[i]) + 1e-6f)) return false;
  }
  return ours.size() == theirs.size();
}

bool Equal(const Result& ours, const Result& theirs) {
  return ours.index == theirs.index && ours.truth == theirs.truth && ours.labels == theirs.labels &&
         ours.positive == theirs.positive && ours.valid == theirs.valid && ours.is_object == theirs.is_object &&
         ours.boxes == theirs.boxes && ours.counts == theirs.counts && Close(ours.deltas, theirs.deltas);
}

}  // namespace

void CheckSample(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    const Case drawn = Draw(random);
    verdict->Check(Equal(OnGpu(drawn), OnCpu(drawn)), drawn.name);
  }
  SampleRule wrong{};
  wrong.size = kMaxSampleSize + 1;
  verdict->Check(Sample({}, wrong, {}, nullptr) == cudaErrorInvalidValue, "too many samples are refused");
}

}  // namespace awsdet::cuda
