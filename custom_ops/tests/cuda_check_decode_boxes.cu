// Compares the CUDA launcher of decode_boxes with the CPU's kernel: all results must have the same bits.
#include "cuda/decode_boxes.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

template <typename T>
struct Case {
  DecodeSizes sizes{};
  BoxDecoding rule{};
  std::vector<T> deltas;
  std::vector<float> boxes;
  std::vector<int32_t> image_size;
  std::string name;

  int64_t Results() const { return sizes.images * sizes.boxes * sizes.classes; }
};

struct Decoded {
  std::vector<float> boxes;
  std::vector<int32_t> classes;
};

template <typename T>
Case<T> Draw(Random& random, const char* type) {
  Case<T> drawn;
  DecodeSizes& sizes = drawn.sizes;
  sizes.images = random.OneOf<int>({0, 1, 2, 3});
  sizes.boxes = random.OneOf<int>({0, 1, 5, 64, 257});
  sizes.classes = random.OneOf<int>({1, 2, 5, 63, 64, 65, 80});
  sizes.delta_classes = random.Integer(0, 1) == 0 ? 1 : sizes.classes;
  drawn.rule = {{0.1f, 0.1f, 0.2f, 0.2f}, random.OneOf<float>({4.135f, 1.0f, 80.0f})};
  if (random.Integer(0, 1) == 0) drawn.rule.stds[2] = drawn.rule.stds[3] = 1.0f;
  const std::vector<float> odd = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 3e38f, -3e38f, 1e-20f};
  for (int64_t i = 0; i < sizes.images * sizes.boxes * sizes.delta_classes * 4; ++i) {
    const float delta = random.Integer(0, 19) == 0 ? random.OneOf(odd) : random.Uniform(-8, 8);
    T value;
    awsdet::FromFloat(delta, &value);
    drawn.deltas.push_back(value);
  }
  drawn.boxes = RandomBoxes(random, sizes.images * sizes.boxes, 300);
  for (int64_t i = 0; i < 2 * sizes.images; ++i) drawn.image_size.push_back(random.OneOf<int>({0, 1, 200, 333}));
  drawn.name = std::string("decode_boxes ") + type + " B" + std::to_string(sizes.images) + " N" +
               std::to_string(sizes.boxes) + " C" + std::to_string(sizes.classes) + " D" +
               std::to_string(sizes.delta_classes);
  return drawn;
}

template <typename T>
Decoded OnCpu(const Case<T>& drawn) {
  Decoded decoded{std::vector<float>(4 * drawn.Results()), std::vector<int32_t>(drawn.Results())};
  awsdet::DecodeBoxes(drawn.sizes, drawn.rule, drawn.deltas.data(), drawn.boxes.data(), drawn.image_size.data(),
                      SerialFor, decoded.boxes.data(), decoded.classes.data());
  return decoded;
}

template <typename T>
Decoded OnGpu(DataType type, const Case<T>& drawn) {
  const DeviceArray<T> deltas(drawn.deltas);
  const DeviceArray<float> boxes(drawn.boxes), decoded(4 * drawn.Results());
  const DeviceArray<int32_t> image_size(drawn.image_size), classes(drawn.Results());
  Require(DecodeBoxes(type, drawn.sizes, drawn.rule, deltas.data(), boxes.data(), image_size.data(), decoded.data(),
                      classes.data(), nullptr),
          "DecodeBoxes");
  return {decoded.Host(), classes.Host()};
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
  const Decoded ours = OnGpu(type, drawn), theirs = OnCpu(drawn);
  verdict->Check(Same(ours.boxes, theirs.boxes) && ours.classes == theirs.classes, drawn.name);
}

}  // namespace

void CheckDecodeBoxes(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    CheckOne<float>(DataType::kFloat, "float32", random, verdict);
    CheckOne<Half>(DataType::kHalf, "half", random, verdict);
    CheckOne<Bfloat16>(DataType::kBFloat16, "bfloat16", random, verdict);
  }
  const DecodeSizes wrong{1 << 15, 1 << 16, 1, 1};
  verdict->Check(DecodeBoxes(DataType::kFloat, wrong, {}, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) ==
                     cudaErrorInvalidValue,
                 "2^31 boxes are refused");
}

}  // namespace awsdet::cuda
