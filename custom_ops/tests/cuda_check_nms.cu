// Compares the CUDA launcher of NMS with the CPU's kernel: hard NMS must be equal, soft but for the rounding of exp.
#include "cuda/nms.h"
#include "kernels/nms.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

struct Kept {
  std::vector<int32_t> indices;
  std::vector<float> scores;
  std::vector<int32_t> count;
  std::vector<float> boxes;
  std::vector<int32_t> classes;
  std::vector<uint8_t> valid;
};

struct Case {
  NmsProblem problem{};
  std::vector<float> boxes;
  std::vector<float> scores;
  std::vector<int32_t> classes;
  std::string name;
};

// Sorts each image by class and falling score. Boxes that are no candidates stay wherever they come to lie.
void PutInOrder(Random& random, Case* drawn) {
  const int64_t count = drawn->problem.count;
  for (int64_t image = 0; image < drawn->problem.images; ++image) {
    const auto begin = drawn->classes.begin() + image * count;
    std::sort(begin, begin + count);
    float* const scores = drawn->scores.data() + image * count;
    for (int64_t first = 0, end; first < count; first = end) {
      for (end = first; end < count && begin[end] == begin[first];) ++end;
      std::sort(scores + first, scores + end,
                [](float a, float b) { return (std::isnan(a) ? -2 : a) > (std::isnan(b) ? -2 : b); });
    }
    for (int64_t i = 0; i < count; ++i) {
      if (random.Integer(0, 9) == 0) scores[i] = random.OneOf<float>({NAN, -INFINITY});
    }
  }
}

Case Draw(Random& random) {
  Case drawn;
  NmsProblem& problem = drawn.problem;
  problem.images = random.Integer(1, 4);
  problem.count = random.OneOf<int>({0, 1, 30, 129, 700});
  problem.max_output = random.OneOf<int>({0, 1, 20, 300, 1000});
  problem.method = static_cast<NmsMethod>(random.OneOf<int>({0, 0, 1, 2}));
  const bool hard = problem.method == NmsMethod::kHard;
  problem.iou_threshold = random.OneOf<float>({0, 0.3f, 0.5f, 0.7f, 1});
  problem.score_threshold = random.OneOf<float>({0, 0.05f, 0.5f});
  if (hard && random.Integer(0, 3) == 0) problem.score_threshold = -INFINITY;
  problem.sigma = 0.5f;
  problem.in_order = hard && random.Integer(0, 1) == 0;
  const int64_t total = problem.images * problem.count;
  drawn.boxes = RandomBoxes(random, total, random.OneOf<float>({20, 400}));
  if (random.Integer(0, 1) == 0) {  // many overlaps are equal, and equal to the threshold
    for (float& side : drawn.boxes) side = std::round(side / 4) * 4;
  }
  const std::vector<int32_t> names = random.OneOf<std::vector<int32_t>>(
      {{0}, {0, 1, 2, 3, 4}, {-7, 0, INT32_MAX, INT32_MIN, 80}});
  const bool coarse = random.Integer(0, 1) == 0;  // many equal scores
  for (int64_t i = 0; i < total; ++i) {
    const float score = random.Uniform(hard ? -1 : 0, 1);
    drawn.scores.push_back(random.Integer(0, 19) == 0 ? NAN : coarse ? std::round(score * 8) / 8 : score);
    drawn.classes.push_back(random.OneOf(names));
  }
  if (problem.in_order != 0) PutInOrder(random, &drawn);
  drawn.name = (problem.in_order != 0 ? "nms in order, method " : "nms method ") + std::to_string(static_cast<int>(problem.method)) + " B" +
               std::to_string(problem.images) + " N" + std::to_string(problem.count) + " K" +
               std::to_string(problem.max_output) + " iou " + std::to_string(problem.iou_threshold);
  return drawn;
}

Kept OnCpu(const Case& drawn) {
  const NmsProblem& problem = drawn.problem;
  Kept kept;
  const size_t places = problem.images * problem.max_output;
  kept.indices.resize(places);
  kept.scores.resize(places);
  kept.count.resize(problem.images);
  kept.boxes.resize(4 * places);
  kept.classes.resize(places);
  kept.valid.resize(places);
  const NmsRule rule{problem.method, problem.iou_threshold, problem.score_threshold,
                     problem.sigma, problem.max_output};
  awsdet::Nms({drawn.boxes.data(), drawn.scores.data(), drawn.classes.data(), problem.images, problem.count}, rule,
              SerialFor,
              {kept.indices.data(), kept.scores.data(), kept.count.data(), kept.boxes.data(), kept.classes.data(),
               reinterpret_cast<bool*>(kept.valid.data())});
  return kept;
}

Kept OnGpu(const Case& drawn) {
  const NmsProblem& problem = drawn.problem;
  const DeviceArray<float> boxes(drawn.boxes), scores(drawn.scores);
  const DeviceArray<int32_t> classes(drawn.classes);
  const size_t places = problem.images * problem.max_output;
  const DeviceArray<int32_t> indices(places), kept_classes(places);
  const DeviceArray<int32_t> count(static_cast<size_t>(problem.images));
  const DeviceArray<float> kept_scores(places), kept_boxes(4 * places);
  const DeviceArray<uint8_t> valid(places);
  size_t bytes = 0;
  Require(NmsWorkspaceSize(problem, &bytes), "NmsWorkspaceSize");
  const DeviceArray<char> workspace(bytes);
  const KeptBoxes kept{indices.data(),    kept_scores.data(),  count.data(),
                       kept_boxes.data(), kept_classes.data(), reinterpret_cast<bool*>(valid.data())};
  Require(Nms(problem, boxes.data(), scores.data(), classes.data(), workspace.data(), bytes, kept, nullptr), "Nms");
  return {indices.Host(), kept_scores.Host(), count.Host(), kept_boxes.Host(), kept_classes.Host(), valid.Host()};
}

// Soft scores may differ in their last bits. Boxes whose scores are that close may be in another order.
bool CloseScores(const Kept& ours, const Kept& theirs) {
  if (ours.count != theirs.count || ours.valid != theirs.valid) return false;
  for (size_t i = 0; i < theirs.scores.size(); ++i) {
    if (!(std::fabs(ours.scores[i] - theirs.scores[i]) <= 1e-5f * std::fabs(theirs.scores[i]))) return false;
  }
  return true;
}

}  // namespace

void CheckNms(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    const Case drawn = Draw(random);
    const Kept ours = OnGpu(drawn), theirs = OnCpu(drawn);
    if (drawn.problem.method == NmsMethod::kGaussian) {
      verdict->Check(CloseScores(ours, theirs), drawn.name);
    } else {
      verdict->Check(ours.count == theirs.count && ours.indices == theirs.indices && ours.scores == theirs.scores &&
                         ours.boxes == theirs.boxes && ours.classes == theirs.classes && ours.valid == theirs.valid,
                     drawn.name);
    }
  }
  NmsProblem wrong{};
  wrong.images = -1;
  size_t bytes = 0;
  verdict->Check(NmsWorkspaceSize(wrong, &bytes) == cudaErrorInvalidValue, "a negative number of images is refused");
}

}  // namespace awsdet::cuda
