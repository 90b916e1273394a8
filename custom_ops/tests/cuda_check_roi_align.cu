// Compares the CUDA launchers of RoIAlign with the CPU's kernels: forward, gradient, deterministic gradient, all types.
#include "cuda/roi_align.h"
#include "kernels/roi_align.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

template <typename T>
struct Case {
  RoiAlignProblem problem{};
  RoiAlignSettings settings{};
  std::vector<std::vector<T>> maps;
  std::vector<float> boxes;
  std::vector<int32_t> images;
  std::vector<T> pooled_gradient;
  std::string name;

  size_t PooledSize() const {
    return problem.rois * problem.output_size * problem.output_size * problem.channels;
  }
  std::vector<awsdet::PyramidLevel<T>> Levels(std::vector<std::vector<T>>* values) const {
    std::vector<awsdet::PyramidLevel<T>> levels;
    for (int l = 0; l < problem.num_levels; ++l) {
      levels.push_back({(*values)[l].data(), problem.height[l], problem.width[l], problem.stride[l]});
    }
    return levels;
  }
  Rois HostRois() const { return {boxes.data(), images.data(), problem.rois}; }
};

template <typename T>
Case<T> Draw(Random& random, const char* type) {
  Case<T> drawn;
  RoiAlignProblem& problem = drawn.problem;
  problem.channels = random.OneOf<int>({1, 3, 8, 16, 20, 72, 264});
  problem.rois = random.OneOf<int>({0, 1, 7, 20, 40});
  if (problem.rois == 40 && problem.channels < 16) problem.rois = 700;  // more than a block lists at a time
  problem.images = random.Integer(1, 3);
  problem.num_levels = random.Integer(1, kMaxLevels);
  problem.output_size = random.OneOf<int>({1, 2, 3, 7, 14, 33});
  problem.sampling_ratio = random.OneOf<int>({0, 0, 0, 1, 2, 5});
  problem.aligned = random.Integer(0, 1);
  problem.finest_scale = random.OneOf<float>({10, 30, 1000});
  for (int l = 0; l < problem.num_levels; ++l) {
    problem.stride[l] = 2 << l;
    problem.height[l] = std::max(1, random.Integer(20, 120) >> l);
    problem.width[l] = std::max(1, random.Integer(20, 120) >> l);
    drawn.maps.push_back(
        RandomValues<T>(random, problem.images * problem.height[l] * problem.width[l] * problem.channels));
  }
  drawn.settings = {problem.output_size, problem.sampling_ratio, problem.finest_scale, problem.aligned != 0};
  drawn.boxes = RandomBoxes(random, problem.rois, 200);
  for (int64_t r = 0; r < problem.rois; ++r) drawn.images.push_back(random.Integer(0, problem.images - 1));
  if (random.Integer(0, 1)) std::sort(drawn.images.begin(), drawn.images.end());  // as the detectors have them
  drawn.pooled_gradient = RandomValues<T>(random, drawn.PooledSize());
  drawn.name = std::string(type) + " R" + std::to_string(problem.rois) + " C" + std::to_string(problem.channels) +
               " L" + std::to_string(problem.num_levels) + " P" + std::to_string(problem.output_size) + " ratio " +
               std::to_string(problem.sampling_ratio) + (problem.aligned ? " aligned" : "");
  return drawn;
}

// Equal but for float32 sums in another order (relative to the largest number) and one rounding to T.
template <typename T>
bool Close(const std::vector<T>& ours, const std::vector<T>& theirs) {
  const float last_bit = sizeof(T) == 4 ? 0.0f : std::is_same_v<T, Half> ? 0x1p-10f : 0x1p-7f;
  float largest = 0;
  for (const T value : theirs) largest = std::max(largest, std::fabs(awsdet::ToFloat(value)));
  for (size_t i = 0; i < theirs.size(); ++i) {
    const float expected = awsdet::ToFloat(theirs[i]), got = awsdet::ToFloat(ours[i]);
    if (!(std::fabs(got - expected) <= last_bit * std::fabs(expected) + 1e-5f * largest)) return false;
  }
  return ours.size() == theirs.size();
}

template <typename T>
void CheckForward(const Case<T>& drawn, DataType type, Verdict* verdict) {
  auto maps = drawn.maps;
  std::vector<awsdet::PyramidLevel<const T>> levels;
  for (const auto& level : drawn.Levels(&maps)) {
    levels.push_back({level.values, level.height, level.width, level.stride});
  }
  std::vector<T> expected(drawn.PooledSize());
  awsdet::RoiAlign<T>(levels, drawn.problem.channels, drawn.HostRois(), drawn.settings, SerialFor, expected.data());

  std::vector<DeviceArray<T>> device_maps;
  std::vector<const void*> pointers;
  for (const auto& map : drawn.maps) pointers.push_back(device_maps.emplace_back(map).data());
  const DeviceArray<float> boxes(drawn.boxes);
  const DeviceArray<int32_t> images(drawn.images);
  const DeviceArray<T> pooled(drawn.PooledSize());
  Require(RoiAlign(type, drawn.problem, pointers.data(), boxes.data(), images.data(), pooled.data(), nullptr),
          "RoiAlign");
  verdict->Check(Close(pooled.Host(), expected), "roi_align " + drawn.name);
}

template <typename T>
std::vector<std::vector<T>> DeviceGradient(const Case<T>& drawn, DataType type, bool deterministic) {
  const DeviceArray<float> boxes(drawn.boxes);
  const DeviceArray<int32_t> images(drawn.images);
  const DeviceArray<T> pooled_gradient(drawn.pooled_gradient);
  std::vector<DeviceArray<T>> gradients;
  std::vector<void*> pointers;
  for (const auto& map : drawn.maps) pointers.push_back(gradients.emplace_back(map.size()).data());
  const DeviceArray<char> workspace(RoiAlignGradWorkspaceSize(type, drawn.problem, deterministic));
  Require(RoiAlignGrad(type, drawn.problem, pooled_gradient.data(), boxes.data(), images.data(), pointers.data(),
                       workspace.data(), deterministic, nullptr),
          "RoiAlignGrad");
  std::vector<std::vector<T>> result;
  for (const auto& gradient : gradients) result.push_back(gradient.Host());
  return result;
}

template <typename T>
void CheckGradient(const Case<T>& drawn, DataType type, Verdict* verdict) {
  auto expected = drawn.maps;
  awsdet::RoiAlignGrad<T>(drawn.pooled_gradient.data(), drawn.Levels(&expected), drawn.problem.images,
                          drawn.problem.channels, drawn.HostRois(), drawn.settings, SerialFor);
  const auto fast = DeviceGradient(drawn, type, false);
  const auto deterministic = DeviceGradient(drawn, type, true), again = DeviceGradient(drawn, type, true);
  for (size_t l = 0; l < expected.size(); ++l) {
    const std::string level = drawn.name + ", level " + std::to_string(l);
    verdict->Check(Close(fast[l], expected[l]), "roi_align gradient " + level);
    verdict->Check(Close(deterministic[l], expected[l]), "deterministic roi_align gradient " + level);
    const auto same = [&](const std::vector<T>& other) {
      return std::memcmp(deterministic[l].data(), other.data(), other.size() * sizeof(T)) == 0;
    };
    verdict->Check(same(again[l]), "deterministic roi_align gradient repeats " + level);
    if (!std::is_same_v<T, float>) verdict->Check(same(fast[l]), "half roi_align gradient is deterministic " + level);
  }
}

// The largest output size that is allowed, which needs the most shared memory.
void CheckLargestOutput(Random& random, Verdict* verdict) {
  Case<float> drawn = Draw<float>(random, "float32");
  drawn.problem.rois = 1;
  drawn.problem.images = drawn.problem.channels = drawn.problem.num_levels = 1;
  drawn.problem.output_size = kMaxOutputSize;
  drawn.settings.output_size = kMaxOutputSize;
  drawn.maps = {RandomValues<float>(random, drawn.problem.height[0] * drawn.problem.width[0])};
  drawn.boxes = {3, 5, 60, 44};
  drawn.images = {0};
  drawn.pooled_gradient = RandomValues<float>(random, drawn.PooledSize());
  drawn.name = "of the largest output";
  CheckForward(drawn, DataType::kFloat, verdict);
  CheckGradient(drawn, DataType::kFloat, verdict);
}

// A RoI of an image that is not in the batch gives zeros, and adds nothing to a gradient.
void CheckStrangeImage(Random& random, Verdict* verdict) {
  Case<float> drawn = Draw<float>(random, "float32");
  while (drawn.problem.rois == 0) drawn = Draw<float>(random, "float32");
  std::fill(drawn.images.begin(), drawn.images.end(), drawn.problem.images);
  drawn.images[0] = -1;
  std::vector<DeviceArray<float>> maps;
  std::vector<const void*> pointers;
  for (const auto& map : drawn.maps) pointers.push_back(maps.emplace_back(map).data());
  const DeviceArray<float> boxes(drawn.boxes);
  const DeviceArray<int32_t> images(drawn.images);
  const DeviceArray<float> pooled(drawn.PooledSize());
  Require(RoiAlign(DataType::kFloat, drawn.problem, pointers.data(), boxes.data(), images.data(), pooled.data(),
                   nullptr),
          "RoiAlign");
  const auto zero = [](float value) { return value == 0.0f; };
  const auto host = pooled.Host();
  verdict->Check(std::all_of(host.begin(), host.end(), zero), "roi_align of images that are not there");
  for (const bool deterministic : {false, true}) {
    for (const auto& gradient : DeviceGradient(drawn, DataType::kFloat, deterministic)) {
      verdict->Check(std::all_of(gradient.begin(), gradient.end(), zero), "its gradient");
    }
  }
}

template <typename T>
void CheckType(Random& random, DataType type, const char* name, Verdict* verdict) {
  const Case<T> drawn = Draw<T>(random, name);
  CheckForward(drawn, type, verdict);
  CheckGradient(drawn, type, verdict);
}

}  // namespace

void CheckRoiAlign(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    ForEachType([&](auto zero, DataType type, const char* name) {
      CheckType<decltype(zero)>(random, type, name, verdict);
    });
  }
  CheckStrangeImage(random, verdict);
  CheckLargestOutput(random, verdict);
  RoiAlignProblem wrong{};
  verdict->Check(RoiAlign(DataType::kFloat, wrong, nullptr, nullptr, nullptr, nullptr, nullptr) ==
                     cudaErrorInvalidValue,
                 "a pyramid of no level is refused");
}

}  // namespace awsdet::cuda
