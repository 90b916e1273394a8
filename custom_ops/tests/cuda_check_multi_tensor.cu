// Compares the CUDA launchers on many tensors with the CPU's kernels: all must be equal bit for bit.
#include <cstring>

#include "cuda/multi_tensor.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

using Values = std::vector<std::vector<float>>;

// Several arrays on the GPU, each behind `offset` numbers that nobody may touch.
class DeviceLists {
 public:
  DeviceLists(const Values& values, int offset) : offset_(offset) {
    for (const std::vector<float>& list : values) {
      std::vector<float> padded(offset, 7.0f);
      padded.insert(padded.end(), list.begin(), list.end());
      padded.push_back(7.0f);
      arrays_.emplace_back(padded);
    }
  }
  float* data(size_t i) const { return arrays_[i].data() + offset_; }

  // Whether the numbers are `wanted` bit for bit, and those around them are as before.
  bool Equal(const Values& wanted) const {
    for (size_t i = 0; i < wanted.size(); ++i) {
      const std::vector<float> found = arrays_[i].Host();
      if (found.size() != wanted[i].size() + offset_ + 1 || found.back() != 7.0f) return false;
      for (int k = 0; k < offset_; ++k) {
        if (found[k] != 7.0f) return false;
      }
      if (!wanted[i].empty() &&
          std::memcmp(found.data() + offset_, wanted[i].data(), wanted[i].size() * sizeof(float)) != 0) {
        return false;
      }
    }
    return true;
  }

 private:
  std::vector<DeviceArray<float>> arrays_;
  int offset_;
};

struct Case {
  std::vector<int> sizes;
  int offset;
  std::string name;
};

Case Draw(Random& random) {
  Case drawn;
  const int count = random.OneOf<int>({0, 1, 3, 110, 111, 250});
  for (int i = 0; i < count; ++i) {
    const bool large = random.Integer(0, count) < 3;
    drawn.sizes.push_back(large ? random.OneOf<int>({8191, 8192, 8193, 20000})
                                : random.OneOf<int>({0, 1, 2, 3, 4, 5, 127, 128, 129, 300}));
  }
  drawn.offset = random.OneOf<int>({0, 0, 1, 4});
  drawn.name = std::to_string(count) + " tensors, offset " + std::to_string(drawn.offset);
  return drawn;
}

Values RandomLists(Random& random, const std::vector<int>& sizes, float scale) {
  Values values;
  for (const int size : sizes) {
    std::vector<float>& list = values.emplace_back();
    for (int i = 0; i < size; ++i) list.push_back(random.Uniform(-scale, scale));
  }
  return values;
}

void CheckSgd(Random& random, const Case& drawn, Verdict* verdict) {
  Values variables = RandomLists(random, drawn.sizes, 1), momenta = RandomLists(random, drawn.sizes, 1);
  Values gradients = RandomLists(random, drawn.sizes, 10);
  const SgdRule rule{random.Uniform(0, 0.1f), random.OneOf<float>({1, 0.3f, 1.0f / 32768}), 0.9f, 1e-4f};
  const bool apply = random.Integer(0, 3) > 0;
  const DeviceLists on_variables(variables, drawn.offset), on_momenta(momenta, drawn.offset);
  const DeviceLists on_gradients(gradients, drawn.offset);
  std::vector<SgdTensor> host, device;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    host.push_back({variables[i].data(), momenta[i].data(), gradients[i].data(), drawn.sizes[i]});
    device.push_back({on_variables.data(i), on_momenta.data(i), on_gradients.data(i), drawn.sizes[i]});
  }
  const DeviceArray<float> scalars(std::vector<float>{rule.learning_rate, rule.factor});
  const DeviceArray<char> applied(std::vector<char>{apply});
  Require(SgdUpdate(device, scalars.data(), scalars.data() + 1, reinterpret_cast<const bool*>(applied.data()),
                    rule.momentum, rule.weight_decay, nullptr),
          "SgdUpdate");
  if (apply) awsdet::SgdUpdate(host, rule, SerialFor);
  verdict->Check(on_variables.Equal(variables), "sgd_update, variables: " + drawn.name);
  verdict->Check(on_momenta.Equal(momenta), "sgd_update, momenta: " + drawn.name);
  verdict->Check(on_gradients.Equal(gradients), "sgd_update, gradients: " + drawn.name);
}

void CheckNorm(Random& random, const Case& drawn, Verdict* verdict) {
  Values values = RandomLists(random, drawn.sizes, random.OneOf<float>({1e-15f, 1, 1e25f}));
  const int odd = random.Integer(0, 3);
  if (odd < 2 && !values.empty() && !values.back().empty()) values.back().back() = odd == 0 ? INFINITY : NAN;
  const DeviceLists on_values(values, drawn.offset);
  std::vector<ConstTensor> host, device;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    host.push_back({values[i].data(), drawn.sizes[i]});
    device.push_back({on_values.data(i), drawn.sizes[i]});
  }
  const DeviceArray<char> workspace(GlobalNormWorkspaceSize(device));
  const DeviceArray<float> norm(1);
  Require(GlobalNorm(device, workspace.data(), norm.data(), nullptr), "GlobalNorm");
  const float ours = norm.Host()[0], theirs = awsdet::GlobalNorm(host, SerialFor);
  verdict->Check(ours == theirs || (std::isnan(ours) && std::isnan(theirs)), "global_norm: " + drawn.name);
}

void CheckSums(Random& random, const Case& drawn, Verdict* verdict) {
  Values sums = RandomLists(random, drawn.sizes, 1), addends = RandomLists(random, drawn.sizes, 1);
  const DeviceLists on_sums(sums, drawn.offset), on_addends(addends, drawn.offset);
  std::vector<SumTensor> host, device;
  std::vector<MutableTensor> zeroed;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    host.push_back({sums[i].data(), addends[i].data(), drawn.sizes[i]});
    device.push_back({on_sums.data(i), on_addends.data(i), drawn.sizes[i]});
    zeroed.push_back({on_sums.data(i), drawn.sizes[i]});
  }
  const float factor = random.Uniform(0, 1);
  const DeviceArray<float> on_factor(std::vector<float>{factor});
  Require(Accumulate(device, on_factor.data(), nullptr), "Accumulate");
  awsdet::Accumulate(host, factor, SerialFor);
  verdict->Check(on_sums.Equal(sums), "accumulate: " + drawn.name);
  Require(SetZero(zeroed, nullptr), "SetZero");
  for (std::vector<float>& list : sums) std::fill(list.begin(), list.end(), 0.0f);
  verdict->Check(on_sums.Equal(sums), "set_zero: " + drawn.name);
}

}  // namespace

void CheckMultiTensor(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    const Case drawn = Draw(random);
    CheckSgd(random, drawn, verdict);
    CheckNorm(random, drawn, verdict);
    CheckSums(random, drawn, verdict);
  }
}

}  // namespace awsdet::cuda
