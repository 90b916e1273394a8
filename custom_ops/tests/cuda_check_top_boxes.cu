// Compares the CUDA launcher of top_boxes with the CPU's kernel: all results must have the same bits.
#include "cuda/top_boxes.h"
#include "kernels/top_boxes.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

template <typename T>
struct Case {
  TopBoxesProblem problem{};
  std::vector<std::vector<T>> logits;
  std::vector<std::vector<T>> deltas;
  std::vector<float> anchors;
  std::vector<int32_t> image_size;
  int64_t chosen = 0;  // per image
  std::string name;
};

struct Found {
  std::vector<float> boxes;
  std::vector<float> logits;
  std::vector<int32_t> classes;
  std::vector<int32_t> levels;
};

template <typename T>
std::vector<T> Converted(const std::vector<float>& values) {
  std::vector<T> converted(values.size());
  for (size_t i = 0; i < values.size(); ++i) awsdet::FromFloat(values[i], &converted[i]);
  return converted;
}

template <typename T>
Case<T> Draw(Random& random, const char* type) {
  Case<T> drawn;
  TopBoxesProblem& problem = drawn.problem;
  problem.images = random.OneOf<int>({0, 1, 1, 2, 3});
  problem.classes = random.OneOf<int>({1, 1, 1, 5});
  problem.num_levels = random.Integer(1, 4);
  problem.rule.limit = random.OneOf<int>({1, 7, 100, 300, 5000});
  problem.rule.min_size = random.OneOf<float>({0, 0, 8});
  problem.rule.decoding = {{1, 1, 1, 1}, random.OneOf<float>({4.135f, 1.0f})};
  if (random.Integer(0, 1) == 0) problem.rule.decoding = {{0.1f, 0.1f, 0.2f, 0.2f}, 4.135f};
  problem.chunk = random.OneOf<int>({0, 300, 1000});
  const bool coarse = random.Integer(0, 1) == 0;  // many equal logits
  for (int level = 0; level < problem.num_levels; ++level) {
    const int64_t anchors = random.OneOf<int>({0, 1, 30, 400, 1025}), total = problem.images * anchors;
    problem.anchors[level] = anchors;
    drawn.chosen += std::min(problem.rule.limit, anchors * problem.classes);
    std::vector<float> logits, deltas;
    const std::vector<float> odd = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, -3e38f};
    for (int64_t i = 0; i < total * problem.classes; ++i) {
      const float logit = random.Uniform(-6, 6);
      logits.push_back(random.Integer(0, 15) == 0 ? random.OneOf(odd) : coarse ? std::round(logit) : logit);
    }
    for (int64_t i = 0; i < total * 4; ++i) {
      deltas.push_back(random.Integer(0, 99) == 0 ? random.OneOf(odd) : random.Uniform(-2, 2));
    }
    drawn.logits.push_back(Converted<T>(logits));
    drawn.deltas.push_back(Converted<T>(deltas));
    const std::vector<float> boxes = RandomBoxes(random, anchors, 300);
    drawn.anchors.insert(drawn.anchors.end(), boxes.begin(), boxes.end());
  }
  for (int64_t i = 0; i < 2 * problem.images; ++i) drawn.image_size.push_back(random.OneOf<int>({0, 1, 200, 333}));
  drawn.name = std::string("top_boxes ") + type + " B" + std::to_string(problem.images) + " C" +
               std::to_string(problem.classes) + " levels " + std::to_string(problem.num_levels) + " limit " +
               std::to_string(problem.rule.limit) + " chunk " + std::to_string(problem.chunk);
  return drawn;
}

template <typename T>
Found OnCpu(const Case<T>& drawn) {
  const TopBoxesProblem& problem = drawn.problem;
  ScoredPyramid<T> input{{}, drawn.anchors.data(), drawn.image_size.data(), problem.images, problem.classes};
  for (int level = 0; level < problem.num_levels; ++level) {
    input.levels.push_back({drawn.logits[level].data(), drawn.deltas[level].data(), problem.anchors[level]});
  }
  const size_t places = problem.images * drawn.chosen;
  Found found{std::vector<float>(4 * places), std::vector<float>(places), std::vector<int32_t>(places),
              std::vector<int32_t>(places)};
  awsdet::TopBoxes(input, problem.rule, SerialFor,
                   {found.boxes.data(), found.logits.data(), found.classes.data(), found.levels.data()});
  return found;
}

template <typename T>
Found OnGpu(DataType type, const Case<T>& drawn) {
  const TopBoxesProblem& problem = drawn.problem;
  std::vector<DeviceArray<T>> memory;
  std::vector<const void*> logits, deltas;
  for (int level = 0; level < problem.num_levels; ++level) {
    memory.emplace_back(drawn.logits[level]);
    logits.push_back(memory.back().data());
    memory.emplace_back(drawn.deltas[level]);
    deltas.push_back(memory.back().data());
  }
  const DeviceArray<float> anchors(drawn.anchors);
  const DeviceArray<int32_t> image_size(drawn.image_size);
  const size_t places = problem.images * drawn.chosen;
  const DeviceArray<float> boxes(4 * places), top_logits(places);
  const DeviceArray<int32_t> classes(places), levels(places);
  size_t bytes = 0;
  Require(TopBoxesWorkspaceSize(problem, &bytes), "TopBoxesWorkspaceSize");
  const DeviceArray<char> workspace(bytes);
  const TopBoxesInputs inputs{logits.data(), deltas.data(), anchors.data(), image_size.data()};
  Require(TopBoxes(type, problem, inputs, workspace.data(), bytes,
                   {boxes.data(), top_logits.data(), classes.data(), levels.data()}, nullptr),
          "TopBoxes");
  return {boxes.Host(), top_logits.Host(), classes.Host(), levels.Host()};
}

// Equal numbers, or both NaN.
bool Same(const std::vector<float>& ours, const std::vector<float>& theirs) {
  for (size_t i = 0; i < theirs.size(); ++i) {
    if (!(ours[i] == theirs[i]) && !(std::isnan(ours[i]) && std::isnan(theirs[i]))) return false;
  }
  return ours.size() == theirs.size();
}

template <typename T>
void CheckOne(DataType type, const char* name, Random& random, Verdict* verdict) {
  const Case<T> drawn = Draw<T>(random, name);
  const Found ours = OnGpu(type, drawn), theirs = OnCpu(drawn);
  verdict->Check(Same(ours.boxes, theirs.boxes) && Same(ours.logits, theirs.logits) &&
                     ours.classes == theirs.classes && ours.levels == theirs.levels,
                 drawn.name);
}

}  // namespace

void CheckTopBoxes(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    ForEachType([&](auto zero, DataType type, const char* name) {
      CheckOne<decltype(zero)>(type, name, random, verdict);
    });
  }
  TopBoxesProblem wrong{};
  wrong.classes = wrong.num_levels = 1;
  size_t bytes = 0;
  verdict->Check(TopBoxesWorkspaceSize(wrong, &bytes) == cudaErrorInvalidValue, "a limit of 0 is refused");
}

}  // namespace awsdet::cuda
