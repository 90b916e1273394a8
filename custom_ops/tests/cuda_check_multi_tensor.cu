// Compares the CUDA launchers on many tensors with the CPU's kernels: all must be equal bit for bit.
#include <cmath>
#include <cstring>

#include "cuda/multi_tensor.h"
#include "kernels/low_precision.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

using Values = std::vector<std::vector<float>>;

// Several float32 arrays on the GPU, each behind `offset` numbers that nobody may touch.
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

// 16 bits per number, of random types, and as often float32.
struct TypedLists {
  std::vector<FloatType> types;
  std::vector<std::vector<uint16_t>> halves;  // empty for float32
  Values values;                              // what the numbers are

  const void* host(size_t i) const {
    if (types[i] == FloatType::kFloat) return values[i].data();
    return halves[i].data();
  }
};

// The same on the GPU, each behind `offset` numbers.
class DeviceTypedLists {
 public:
  DeviceTypedLists(const TypedLists& lists, int offset)
      : types_(lists.types), offset_(offset), floats_(lists.values, offset) {
    for (const std::vector<uint16_t>& list : lists.halves) {
      std::vector<uint16_t> padded(offset, 7);
      padded.insert(padded.end(), list.begin(), list.end());
      halves_.emplace_back(padded);
    }
  }
  const void* data(size_t i) const {
    if (types_[i] == FloatType::kFloat) return floats_.data(i);
    return halves_[i].data() + offset_;
  }

 private:
  std::vector<FloatType> types_;
  int offset_;
  DeviceLists floats_;
  std::vector<DeviceArray<uint16_t>> halves_;
};

struct Case {
  std::vector<int> sizes;
  int offset;
  std::string name;
};

Case Draw(Random& random) {
  Case drawn;
  const int count = random.OneOf<int>({0, 1, 3, 108, 109, 250});
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

template <typename T>
void Round(std::vector<float>* values, std::vector<uint16_t>* bits) {
  for (float& value : *values) {
    T rounded;
    FromFloat(value, &rounded);
    bits->push_back(rounded.bits);
    value = awsdet::ToFloat(rounded);
  }
}

TypedLists RandomTypedLists(Random& random, const std::vector<int>& sizes, float scale) {
  TypedLists lists{{}, {}, RandomLists(random, sizes, scale)};
  for (std::vector<float>& values : lists.values) {
    const auto type =
        random.OneOf<FloatType>({FloatType::kFloat, FloatType::kFloat, FloatType::kHalf, FloatType::kBFloat16});
    lists.types.push_back(type);
    std::vector<uint16_t>& bits = lists.halves.emplace_back();
    if (type == FloatType::kHalf) Round<Half>(&values, &bits);
    if (type == FloatType::kBFloat16) Round<Bfloat16>(&values, &bits);
  }
  return lists;
}

void CheckSgd(Random& random, const Case& drawn, Verdict* verdict) {
  Values variables = RandomLists(random, drawn.sizes, 1), momenta = RandomLists(random, drawn.sizes, 1);
  const TypedLists gradients = RandomTypedLists(random, drawn.sizes, 10);
  const SgdRule rule{random.Uniform(0, 0.1f), random.OneOf<float>({1, 0.3f, 1.0f / 32768}), 0.9f, 1e-4f};
  const bool apply = random.Integer(0, 3) > 0;
  const DeviceLists on_variables(variables, drawn.offset), on_momenta(momenta, drawn.offset);
  const DeviceTypedLists on_gradients(gradients, drawn.offset);
  std::vector<SgdTensor> host, device;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    const FloatType type = gradients.types[i];
    host.push_back({variables[i].data(), momenta[i].data(), gradients.host(i), drawn.sizes[i], type});
    device.push_back({on_variables.data(i), on_momenta.data(i), on_gradients.data(i), drawn.sizes[i], type});
  }
  const DeviceArray<float> scalars(std::vector<float>{rule.learning_rate, rule.factor});
  const DeviceArray<char> applied(std::vector<char>{apply});
  Require(SgdUpdate(device, scalars.data(), scalars.data() + 1, reinterpret_cast<const bool*>(applied.data()),
                    rule.momentum, rule.weight_decay, nullptr),
          "SgdUpdate");
  if (apply) awsdet::SgdUpdate(host, rule, SerialFor);
  verdict->Check(on_variables.Equal(variables), "sgd_update, variables: " + drawn.name);
  verdict->Check(on_momenta.Equal(momenta), "sgd_update, momenta: " + drawn.name);
}

void CheckAdamw(Random& random, const Case& drawn, Verdict* verdict) {
  Values variables = RandomLists(random, drawn.sizes, 1), firsts = RandomLists(random, drawn.sizes, 1);
  Values seconds = RandomLists(random, drawn.sizes, 1);
  for (std::vector<float>& list : seconds) {
    for (float& value : list) value = std::fabs(value);
  }
  const TypedLists gradients = RandomTypedLists(random, drawn.sizes, 10);
  const AdamwSettings settings{random.OneOf<float>({0, 0.9f}), random.OneOf<float>({0.98f, 0.999f}), 1e-8f};
  const float learning_rate = random.Uniform(0, 0.1f), factor = random.OneOf<float>({1, 0.3f, 1.0f / 32768});
  const bool apply = random.Integer(0, 3) > 0;
  const int64_t before = random.OneOf<int64_t>({0, 1, 999, 12345, int64_t{1} << 40});
  const DeviceLists on_variables(variables, drawn.offset), on_firsts(firsts, drawn.offset);
  const DeviceLists on_seconds(seconds, drawn.offset);
  const DeviceTypedLists on_gradients(gradients, drawn.offset);
  std::vector<AdamwTensor> host, device;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    AdamwTensor tensor{variables[i].data(), firsts[i].data(), seconds[i].data(), gradients.host(i), drawn.sizes[i],
                       random.OneOf<float>({1, 0.7f}), random.OneOf<float>({0, 0.05f}), gradients.types[i]};
    host.push_back(tensor);
    tensor.variable = on_variables.data(i);
    tensor.first_moment = on_firsts.data(i);
    tensor.second_moment = on_seconds.data(i);
    tensor.gradient = on_gradients.data(i);
    device.push_back(tensor);
  }
  const DeviceArray<float> scalars(std::vector<float>{learning_rate, factor});
  const DeviceArray<char> applies(std::vector<char>{apply});
  const DeviceArray<int64_t> applied(std::vector<int64_t>{before});
  const DeviceArray<AdamwCorrection> correction(1);
  Require(AdamwUpdate(device, settings, scalars.data(), scalars.data() + 1,
                      reinterpret_cast<const bool*>(applies.data()), applied.data(), correction.data(), nullptr),
          "AdamwUpdate");
  if (apply) awsdet::AdamwUpdate(host, settings, learning_rate, factor, before + 1, SerialFor);
  verdict->Check(on_variables.Equal(variables), "adamw_update, variables: " + drawn.name);
  verdict->Check(on_firsts.Equal(firsts) && on_seconds.Equal(seconds), "adamw_update, moments: " + drawn.name);
  verdict->Check(applied.Host()[0] == before + apply, "adamw_update, counter: " + drawn.name);
}

void CheckNorm(Random& random, const Case& drawn, Verdict* verdict) {
  TypedLists lists = RandomTypedLists(random, drawn.sizes, random.OneOf<float>({1e-15f, 1, 1e25f}));
  const int odd = random.Integer(0, 3);
  Values& values = lists.values;
  if (odd < 2 && !values.empty() && !values.back().empty()) values.back().back() = odd == 0 ? INFINITY : NAN;
  const DeviceTypedLists on_values(lists, drawn.offset);
  std::vector<ConstTensor> host, device;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    host.push_back({lists.host(i), drawn.sizes[i], lists.types[i]});
    device.push_back({on_values.data(i), drawn.sizes[i], lists.types[i]});
  }
  const DeviceArray<char> workspace(GlobalNormWorkspaceSize(device));
  const DeviceArray<float> norm(1);
  Require(GlobalNorm(device, workspace.data(), norm.data(), nullptr), "GlobalNorm");
  const float ours = norm.Host()[0], theirs = awsdet::GlobalNorm(host, SerialFor);
  verdict->Check(ours == theirs || (std::isnan(ours) && std::isnan(theirs)), "global_norm: " + drawn.name);
}

void CheckSums(Random& random, const Case& drawn, Verdict* verdict) {
  Values sums = RandomLists(random, drawn.sizes, 1);
  const TypedLists addends = RandomTypedLists(random, drawn.sizes, 1);
  const DeviceLists on_sums(sums, drawn.offset);
  const DeviceTypedLists on_addends(addends, drawn.offset);
  std::vector<SumTensor> host, device;
  std::vector<MutableTensor> zeroed;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    host.push_back({sums[i].data(), addends.host(i), drawn.sizes[i], addends.types[i]});
    device.push_back({on_sums.data(i), on_addends.data(i), drawn.sizes[i], addends.types[i]});
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

void CheckAverages(Random& random, const Case& drawn, Verdict* verdict) {
  Values averages = RandomLists(random, drawn.sizes, 1), values = RandomLists(random, drawn.sizes, 1);
  const DeviceLists on_averages(averages, drawn.offset), on_values(values, drawn.offset);
  std::vector<AverageTensor> host, device;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    host.push_back({averages[i].data(), values[i].data(), drawn.sizes[i]});
    device.push_back({on_averages.data(i), on_values.data(i), drawn.sizes[i]});
  }
  const float decay = random.OneOf<float>({0, 0.1f, 0.9999f});
  const bool apply = random.Integer(0, 3) > 0;
  const DeviceArray<float> on_decay(std::vector<float>{decay});
  const DeviceArray<char> applied(std::vector<char>{apply});
  Require(MovingAverage(device, on_decay.data(), reinterpret_cast<const bool*>(applied.data()), nullptr),
          "MovingAverage");
  if (apply) awsdet::MovingAverage(host, decay, SerialFor);
  verdict->Check(on_averages.Equal(averages) && on_values.Equal(values), "moving_average: " + drawn.name);
}

bool IsNan(FloatType type, uint16_t bits) {
  return (bits & 0x7fff) > (type == FloatType::kHalf ? 0x7c00 : 0x7f80);
}

// Any bits may be cast: all kinds of numbers, NaN and infinity among them. A NaN is any NaN.
void CheckCast(Random& random, const Case& drawn, Verdict* verdict) {
  constexpr uint16_t kUntouched = 0x1234;
  const auto type = random.OneOf<FloatType>({FloatType::kHalf, FloatType::kBFloat16});
  Values values = RandomLists(random, drawn.sizes, random.OneOf<float>({1e-7f, 1, 70000}));
  for (std::vector<float>& list : values) {
    for (float& value : list) {
      // Not subnormal: the GPU keeps those that TensorFlow's threads on the CPU set to zero.
      const uint32_t bits = random.Integer(0, INT32_MAX) ^ (random.Integer(0, 1) ? 0x80000000u : 0);
      if (random.Integer(0, 3) == 0 && (bits & 0x7f800000u) != 0) value = FloatOfBits(bits);
    }
  }
  const DeviceLists on_values(values, drawn.offset);
  std::vector<DeviceArray<uint16_t>> on_results;
  std::vector<std::vector<uint16_t>> results;
  for (const int size : drawn.sizes) {
    on_results.emplace_back(std::vector<uint16_t>(drawn.offset + size + 1, kUntouched));
    results.emplace_back(size);
  }
  std::vector<CastTensor> host, device;
  for (size_t i = 0; i < drawn.sizes.size(); ++i) {
    host.push_back({values[i].data(), results[i].data(), drawn.sizes[i]});
    device.push_back({on_values.data(i), on_results[i].data() + drawn.offset, drawn.sizes[i]});
  }
  Require(Cast(device, type, nullptr), "Cast");
  awsdet::Cast(host, type, SerialFor);
  bool equal = true;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::vector<uint16_t> found = on_results[i].Host();
    for (int k = 0; k < drawn.offset; ++k) equal &= found[k] == kUntouched;
    equal &= found.back() == kUntouched;
    for (size_t k = 0; k < results[i].size(); ++k) {
      const uint16_t ours = found[drawn.offset + k], theirs = results[i][k];
      equal &= ours == theirs || (IsNan(type, ours) && IsNan(type, theirs));
    }
  }
  verdict->Check(equal, "cast: " + drawn.name);
}

}  // namespace

void CheckMultiTensor(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    const Case drawn = Draw(random);
    CheckSgd(random, drawn, verdict);
    CheckAdamw(random, drawn, verdict);
    CheckNorm(random, drawn, verdict);
    CheckSums(random, drawn, verdict);
    CheckCast(random, drawn, verdict);
    CheckAverages(random, drawn, verdict);
  }
}

}  // namespace awsdet::cuda
