// Compares the CUDA launcher of anchors with the CPU's kernel: everything must be equal.
#include "cuda/anchors.h"
#include "kernels/anchors.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

AnchorProblem Draw(Random& random) {
  AnchorProblem problem{};
  problem.levels = random.Integer(1, 6);
  problem.per_cell = random.OneOf<int>({1, 3, 9});
  problem.pad_multiple = random.OneOf<int>({1, 32, 50});
  problem.allowed_border = random.OneOf<float>({-1, 0, 7.5f});
  for (int level = 0; level < problem.levels; ++level) {
    problem.height[level] = random.Integer(0, 20);
    problem.width[level] = random.Integer(0, 20);
    problem.stride[level] = random.OneOf<int>({1, 4, 7, 64});
    const int64_t cells = int64_t{problem.height[level]} * problem.width[level];
    problem.first[level + 1] = problem.first[level] + cells * problem.per_cell;
  }
  for (int i = 0; i < problem.levels * problem.per_cell; ++i) {
    const float width = random.Uniform(1, 50), height = random.Uniform(1, 50);
    problem.shape[i] = {-width, -height, width, height};
  }
  return problem;
}

}  // namespace

void CheckAnchors(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    const AnchorProblem problem = Draw(random);
    const int64_t images = random.Integer(0, 3);
    std::vector<int32_t> sizes;
    for (int64_t j = 0; j < 2 * images; ++j) sizes.push_back(random.Integer(0, 300));
    const size_t count = problem.Count();
    std::vector<float> boxes(4 * count);
    std::vector<uint8_t> valid(images * count);
    awsdet::Anchors(problem, sizes.data(), images, SerialFor, boxes.data(), reinterpret_cast<bool*>(valid.data()));
    const DeviceArray<int32_t> device_sizes(sizes);
    const DeviceArray<float> device_boxes(4 * count);
    const DeviceArray<uint8_t> device_valid(images * count);
    Require(Anchors(problem, device_sizes.data(), images, device_boxes.data(),
                    reinterpret_cast<bool*>(device_valid.data()), nullptr),
            "Anchors");
    verdict->Check(device_boxes.Host() == boxes && device_valid.Host() == valid,
                   "anchors of " + std::to_string(count) + " in " + std::to_string(images) + " images");
  }
}

}  // namespace awsdet::cuda
