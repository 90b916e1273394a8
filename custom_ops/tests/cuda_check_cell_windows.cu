// Compares the CUDA launchers of the 3 x 3 windows with the CPU's kernels: all bits must be equal.
#include "cuda/cell_windows.h"

#include <cstring>

#include "kernels/cell_windows.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

struct Case {
  CellWindowsProblem problem{};
  std::vector<int32_t> anchors;
  std::string name;

  int64_t Cells(int level) const {
    return problem.images * problem.grid.height[level] * problem.grid.width[level];
  }
  int64_t WindowValues() const { return problem.images * problem.samples * kWindowCells * problem.channels; }
  int64_t Choices() const { return problem.images * problem.samples * problem.grid.anchors_per_cell; }
};

Case Draw(Random& random) {
  Case drawn;
  CellWindowsProblem& problem = drawn.problem;
  problem.images = random.Integer(1, 3);
  problem.samples = random.OneOf<int>({0, 1, 5, 40, 300, 600});
  problem.channels = random.OneOf<int>({1, 3, 8, 24, 64, 72});
  problem.grid.levels = random.Integer(1, kMaxWindowLevels);
  problem.grid.anchors_per_cell = random.Integer(1, 9);
  int32_t anchors = 0;
  for (int level = 0; level < problem.grid.levels; ++level) {
    problem.grid.height[level] = random.OneOf<int>({1, 1, 2, 7, 25});
    problem.grid.width[level] = random.OneOf<int>({1, 2, 3, 9, 31});
    anchors += problem.grid.height[level] * problem.grid.width[level] * problem.grid.anchors_per_cell;
  }
  // Sometimes many samples of few cells.
  const int32_t most = random.Integer(0, 2) == 0 ? std::min(anchors, 20) : anchors;
  for (int64_t i = 0; i < problem.images * problem.samples; ++i) {
    drawn.anchors.push_back(anchors - 1 - random.Integer(0, most - 1));
  }
  drawn.name = "cell_windows B" + std::to_string(problem.images) + " S" + std::to_string(problem.samples) + " C" +
               std::to_string(problem.channels) + " L" + std::to_string(problem.grid.levels) + " A" +
               std::to_string(problem.grid.anchors_per_cell);
  return drawn;
}

template <typename T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Kernel is the CPU's type of the elements, of the same size as the GPU's.
template <typename Kernel>
void CheckForward(const Case& drawn, DataType type, Random& random, Verdict* verdict) {
  const CellWindowsProblem& problem = drawn.problem;
  std::vector<std::vector<Kernel>> maps;
  std::vector<DeviceArray<Kernel>> device_maps;
  std::vector<const void*> pyramid, device_pyramid;
  for (int level = 0; level < problem.grid.levels; ++level) {
    maps.push_back(RandomValues<Kernel>(random, drawn.Cells(level) * problem.channels));
    device_maps.emplace_back(maps.back());
  }
  for (const auto& map : maps) pyramid.push_back(map.data());
  for (const auto& map : device_maps) device_pyramid.push_back(map.data());
  std::vector<Kernel> windows(drawn.WindowValues());
  std::vector<uint8_t> chosen(drawn.Choices());
  awsdet::CellWindows(pyramid, problem.channels * sizeof(Kernel),
                      {drawn.anchors.data(), problem.images, problem.samples, problem.grid}, SerialFor, windows.data(),
                      reinterpret_cast<bool*>(chosen.data()));
  const DeviceArray<int32_t> anchors(drawn.anchors);
  const DeviceArray<Kernel> device_windows(windows.size());
  const DeviceArray<uint8_t> device_chosen(chosen.size());
  Require(CellWindows(type, problem, device_pyramid.data(), anchors.data(), device_windows.data(),
                      reinterpret_cast<bool*>(device_chosen.data()), nullptr),
          "CellWindows");
  verdict->Check(SameBits(device_windows.Host(), windows), drawn.name);
  verdict->Check(SameBits(device_chosen.Host(), chosen), drawn.name + ", chosen");
}

template <typename Kernel>
void CheckGradient(const Case& drawn, DataType type, Random& random, Verdict* verdict) {
  const CellWindowsProblem& problem = drawn.problem;
  const std::vector<Kernel> gradient = RandomValues<Kernel>(random, drawn.WindowValues());
  std::vector<std::vector<Kernel>> maps;
  std::vector<DeviceArray<Kernel>> device_maps;
  std::vector<Kernel*> pyramid;
  std::vector<void*> device_pyramid;
  for (int level = 0; level < problem.grid.levels; ++level) {
    maps.emplace_back(drawn.Cells(level) * problem.channels);
    device_maps.emplace_back(maps.back().size());
  }
  for (auto& map : maps) pyramid.push_back(map.data());
  for (const auto& map : device_maps) device_pyramid.push_back(map.data());
  awsdet::CellWindowsGrad(gradient.data(), pyramid, problem.channels,
                          {drawn.anchors.data(), problem.images, problem.samples, problem.grid}, SerialFor);
  const DeviceArray<int32_t> anchors(drawn.anchors);
  const DeviceArray<Kernel> device_gradient(gradient);
  Require(CellWindowsGrad(type, problem, device_gradient.data(), anchors.data(), device_pyramid.data(), nullptr),
          "CellWindowsGrad");
  bool same = true;
  for (size_t level = 0; level < maps.size(); ++level) same &= SameBits(device_maps[level].Host(), maps[level]);
  verdict->Check(same, drawn.name + ", gradient");
}

// Anchors that do not exist: windows of zeros, nothing chosen, nothing added to the gradient.
void CheckStrays(Verdict* verdict) {
  CellWindowsProblem problem{1, 3, 4, {1, 2, {2}, {2}}};
  const DeviceArray<int32_t> anchors(std::vector<int32_t>{-1, 8, INT32_MAX});
  const DeviceArray<float> map(std::vector<float>(16, 1.0f)), windows(size_t{108}), gradient(size_t{16});
  const DeviceArray<uint8_t> chosen(size_t{6});
  const void* pyramid[] = {map.data()};
  void* pyramid_gradient[] = {gradient.data()};
  Require(CellWindows(DataType::kFloat, problem, pyramid, anchors.data(), windows.data(),
                      reinterpret_cast<bool*>(chosen.data()), nullptr),
          "CellWindows");
  Require(CellWindowsGrad(DataType::kFloat, problem, windows.data(), anchors.data(), pyramid_gradient, nullptr),
          "CellWindowsGrad");
  verdict->Check(windows.Host() == std::vector<float>(108, 0.0f), "windows of anchors that do not exist");
  verdict->Check(chosen.Host() == std::vector<uint8_t>(6, 0), "choices of anchors that do not exist");
  verdict->Check(gradient.Host() == std::vector<float>(16, 0.0f), "gradient of anchors that do not exist");
  problem.grid.levels = kMaxWindowLevels + 1;
  const cudaError_t refused =
      CellWindowsGrad(DataType::kFloat, problem, windows.data(), anchors.data(), pyramid_gradient, nullptr);
  verdict->Check(refused == cudaErrorInvalidValue, "too many levels are refused");
}

}  // namespace

void CheckCellWindows(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    const Case drawn = Draw(random);
    ForEachType([&](auto zero, DataType type, const char*) {
      CheckForward<decltype(zero)>(drawn, type, random, verdict);
      CheckGradient<decltype(zero)>(drawn, type, random, verdict);
    });
  }
  CheckStrays(verdict);
}

}  // namespace awsdet::cuda
