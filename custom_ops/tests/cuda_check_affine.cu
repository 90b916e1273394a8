// Compares the CUDA launchers of Affine with the CPU's kernels: forward, all gradients, all types.
#include "cuda/affine.h"
#include "tests/cuda_check.h"

namespace awsdet::cuda {
namespace {

template <typename T>
struct Case {
  AffineSize size{};
  bool norm = false, relu = false, residual = false, sums = false;
  int shift = 0;  // of the features' pointer, so that they do not lie on a multiple of 16 bytes
  std::vector<float> gamma, beta, mean, variance;
  std::vector<T> features, residuals, upstream;
  std::string name;

  AffineParameters Parameters() const {
    if (!norm) return {nullptr, beta.data(), nullptr, nullptr, 0.0f};
    return {gamma.data(), beta.data(), mean.data(), variance.data(), 1e-5f};
  }
  int64_t Values() const { return size.rows * size.channels; }
};

template <typename T>
Case<T> Draw(Random& random, const char* type) {
  Case<T> drawn;
  drawn.size.channels = random.OneOf<int>({1, 2, 3, 8, 16, 20, 72, 264, 520});
  drawn.size.rows = random.OneOf<int>({0, 1, 2, 9, 33, 300});
  drawn.norm = random.Integer(0, 1);
  drawn.relu = random.Integer(0, 1);
  drawn.residual = random.Integer(0, 1);
  drawn.sums = random.Integer(0, 2) > 0;
  drawn.shift = random.Integer(0, 3) == 0;
  const int64_t channels = drawn.size.channels;
  for (auto* values : {&drawn.gamma, &drawn.beta, &drawn.mean}) *values = RandomValues<float>(random, channels);
  for (int64_t i = 0; i < channels; ++i) drawn.variance.push_back(random.Uniform(0.1f, 3));
  for (auto* values : {&drawn.features, &drawn.residuals, &drawn.upstream}) {
    *values = RandomValues<T>(random, drawn.Values());
  }
  drawn.name = std::string("affine ") + type + " rows " + std::to_string(drawn.size.rows) + " C" +
               std::to_string(channels) + (drawn.norm ? " norm" : " bias") + (drawn.relu ? " relu" : "") +
               (drawn.residual ? " residual" : "") + (drawn.sums ? " sums" : "") + (drawn.shift ? " shifted" : "");
  return drawn;
}

template <typename T>
std::vector<T> Shifted(const std::vector<T>& values, int shift) {
  std::vector<T> shifted(shift);
  shifted.insert(shifted.end(), values.begin(), values.end());
  return shifted;
}

// The parameters in the GPU's memory.
template <typename T>
struct DeviceParameters {
  explicit DeviceParameters(const Case<T>& drawn)
      : gamma(drawn.gamma), beta(drawn.beta), mean(drawn.mean), variance(drawn.variance), norm(drawn.norm) {}
  AffineParameters Pointers() const {
    if (!norm) return {nullptr, beta.data(), nullptr, nullptr, 0.0f};
    return {gamma.data(), beta.data(), mean.data(), variance.data(), 1e-5f};
  }
  DeviceArray<float> gamma, beta, mean, variance;
  bool norm;
};

template <typename T>
bool SameBits(const std::vector<T>& ours, const std::vector<T>& theirs) {
  return ours.size() == theirs.size() &&
         (ours.empty() || std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(T)) == 0);
}

// Returns the outputs of the CPU's kernel.
template <typename T>
std::vector<T> CheckForward(const Case<T>& drawn, DataType type, Verdict* verdict) {
  std::vector<T> expected(drawn.Values());
  awsdet::Affine<T>(drawn.size, drawn.Parameters(), drawn.features.data(),
                    drawn.residual ? drawn.residuals.data() : nullptr, drawn.relu, SerialFor, expected.data());
  const DeviceParameters<T> parameters(drawn);
  const DeviceArray<T> features(Shifted(drawn.features, drawn.shift)), residuals(drawn.residuals);
  const DeviceArray<T> outputs(drawn.Values());
  T* const begin = features.data() + drawn.shift;
  const T* const residual = drawn.residual ? residuals.data() : nullptr;
  Require(Affine(type, drawn.size, parameters.Pointers(), begin, residual, drawn.relu, outputs.data(), nullptr),
          "Affine");
  verdict->Check(SameBits(outputs.Host(), expected), drawn.name);
  Require(Affine(type, drawn.size, parameters.Pointers(), begin, residual, drawn.relu, begin, nullptr), "Affine");
  verdict->Check(SameBits(features.Host(), Shifted(expected, drawn.shift)), drawn.name + ", in place");
  return expected;
}

bool Close(const std::vector<float>& ours, const std::vector<float>& theirs, int64_t rows) {
  for (size_t i = 0; i < theirs.size(); ++i) {
    if (!(std::fabs(ours[i] - theirs[i]) <= 1e-6f * (rows + 1) * 10)) return false;
  }
  return ours.size() == theirs.size();
}

template <typename T>
void CheckGradient(const Case<T>& drawn, DataType type, const std::vector<T>& outputs, Verdict* verdict) {
  const bool own_residual = drawn.residual && drawn.norm && drawn.relu, writes = drawn.norm || drawn.relu;
  const bool gamma = drawn.norm && drawn.sums;
  const int64_t channels = drawn.size.channels;
  std::vector<T> features_gradient(drawn.Values()), residual_gradient(drawn.Values());
  std::vector<float> gamma_gradient(channels), beta_gradient(channels);
  AffineGradient<T> expected{drawn.upstream.data(),
                             drawn.relu ? outputs.data() : nullptr,
                             gamma ? drawn.features.data() : nullptr,
                             writes ? features_gradient.data() : nullptr,
                             own_residual ? residual_gradient.data() : nullptr,
                             gamma ? gamma_gradient.data() : nullptr,
                             drawn.sums ? beta_gradient.data() : nullptr};
  awsdet::AffineGrad<T>(drawn.size, drawn.Parameters(), expected, SerialFor);

  const DeviceParameters<T> parameters(drawn);
  const DeviceArray<T> features(drawn.features), device_outputs(outputs);
  std::vector<float> first;
  for (const bool in_place : {false, true}) {
    const DeviceArray<T> upstream(Shifted(drawn.upstream, drawn.shift)), written(drawn.Values()), residual(drawn.Values());
    const DeviceArray<float> gamma_sum(channels), beta_sum(channels);
    const DeviceArray<char> workspace(AffineGradWorkspaceSize(drawn.size, drawn.sums));
    T* const begin = upstream.data() + drawn.shift;
    const AffineGradientPointers pointers{begin,
                                          drawn.relu ? device_outputs.data() : nullptr,
                                          gamma ? features.data() : nullptr,
                                          !writes ? nullptr : in_place ? begin : written.data(),
                                          own_residual ? residual.data() : nullptr,
                                          gamma ? gamma_sum.data() : nullptr,
                                          drawn.sums ? beta_sum.data() : nullptr};
    Require(AffineGrad(type, drawn.size, parameters.Pointers(), pointers, workspace.data(), nullptr), "AffineGrad");
    const std::string name = drawn.name + (in_place ? ", gradient in place" : ", gradient");
    if (writes && !in_place) verdict->Check(SameBits(written.Host(), features_gradient), name + " of the features");
    if (writes && in_place) {
      verdict->Check(SameBits(upstream.Host(), Shifted(features_gradient, drawn.shift)), name + " of the features");
    }
    if (own_residual) verdict->Check(SameBits(residual.Host(), residual_gradient), name + " of the residual");
    if (gamma) verdict->Check(Close(gamma_sum.Host(), gamma_gradient, drawn.size.rows), name + " of gamma");
    if (!drawn.sums) continue;
    verdict->Check(Close(beta_sum.Host(), beta_gradient, drawn.size.rows), name + " of beta");
    if (in_place) verdict->Check(SameBits(beta_sum.Host(), first), name + " of beta repeats");
    first = beta_sum.Host();
  }
}

template <typename T>
void CheckType(Random& random, DataType type, const char* name, Verdict* verdict) {
  const Case<T> drawn = Draw<T>(random, name);
  CheckGradient(drawn, type, CheckForward(drawn, type, verdict), verdict);
}

}  // namespace

void CheckAffine(int cases, uint64_t seed, Verdict* verdict) {
  Random random(seed);
  for (int i = 0; i < cases; ++i) {
    ForEachType([&](auto zero, DataType type, const char* name) {
      CheckType<decltype(zero)>(random, type, name, verdict);
    });
  }
  verdict->Check(Affine(DataType::kFloat, {-1, 4}, {}, nullptr, nullptr, false, nullptr, nullptr) ==
                     cudaErrorInvalidValue,
                 "a negative number of rows is refused");
}

}  // namespace awsdet::cuda
