#include "kernels/affine.h"

#include <algorithm>

#include "kernels/aligned.h"
#include "kernels/vector_clones.h"

#define AWSDET_INLINE inline __attribute__((always_inline))

namespace awsdet {
namespace {

constexpr int64_t kLeastPeriod = 256;       // values; shorter loops would not be vectorised well
constexpr int64_t kChunkValues = 64 * 1024;  // about; of one unit of parallel work
constexpr int64_t kPeriodsAtOnce = 4;       // of a gradient, so that its sums are read and written less often

// The values are cut into periods of whole rows, and these into chunks. In every period value i has the same channel.
struct Layout {
  explicit Layout(const AffineSize& size)
      : values(size.rows * size.channels),
        period(size.channels * std::max<int64_t>(1, kLeastPeriod / size.channels)),
        chunk(period * std::max(kPeriodsAtOnce, kChunkValues / period)),
        chunks((values + chunk - 1) / chunk) {}

  int64_t values, period, chunk, chunks;
};

// One number for each value of a period.
template <typename Of>
AlignedFloats Periodic(const Layout& layout, int64_t channels, const Of& of) {
  AlignedFloats numbers(layout.period);
  for (int64_t i = 0; i < channels; ++i) numbers[i] = of(i);
  for (int64_t i = channels; i < layout.period; ++i) numbers[i] = numbers[i - channels];
  return numbers;
}

template <typename T>
struct ForwardTask {
  const T* features;
  const T* residual;  // or null
  const float* scale;   // [period]
  const float* offset;  // [period]
  bool relu;
  T* outputs;
};

template <bool kResidual, bool kRelu, typename T>
AWSDET_INLINE void Forward(const ForwardTask<T>& task, int64_t begin, int64_t end, int64_t period) {
  const float *const scale = task.scale, *const offset = task.offset;
  for (; begin < end; begin += period) {
    const T *const features = task.features + begin, *const residual = kResidual ? task.residual + begin : nullptr;
    T* const outputs = task.outputs + begin;
    const int64_t length = std::min(period, end - begin);
#pragma GCC ivdep
    for (int64_t i = 0; i < length; ++i) {
      float value = ToFloat(features[i]) * scale[i] + offset[i];
      if (kResidual) value += ToFloat(residual[i]);
      if (kRelu) value = value <= 0.0f ? 0.0f : value;
      FromFloat(value, outputs + i);
    }
  }
}

template <typename T>
AWSDET_INLINE void ForwardOf(const ForwardTask<T>& task, int64_t begin, int64_t end, int64_t period) {
  if (task.residual != nullptr) {
    return task.relu ? Forward<true, true>(task, begin, end, period) : Forward<true, false>(task, begin, end, period);
  }
  return task.relu ? Forward<false, true>(task, begin, end, period) : Forward<false, false>(task, begin, end, period);
}

template <typename T>
struct GradientTask {
  AffineGradient<T> at;
  const float* scale;  // [period]; null: 1
  const float* mean;   // [period]; null: gamma_gradient is not wanted
};

// Adds to the sums [period] what `kPeriods` periods from `begin` on contribute; `length` values of each are there.
template <bool kScale, bool kRelu, bool kResidual, bool kSums, int kPeriods, typename T>
AWSDET_INLINE void Gradient(const GradientTask<T>& task, int64_t begin, int64_t period, int64_t length,
                            float* gamma_sum, float* beta_sum) {
  const float *const scale = task.scale, *const mean = task.mean;
  const T *const upstream = task.at.upstream + begin, *const outputs = kRelu ? task.at.outputs + begin : nullptr;
  const T* const features = kScale && kSums ? task.at.features + begin : nullptr;
  T* const features_gradient = kScale || kRelu ? task.at.features_gradient + begin : nullptr;
  T* const residual_gradient = kResidual ? task.at.residual_gradient + begin : nullptr;
#pragma GCC ivdep
  for (int64_t i = 0; i < length; ++i) {
    float own_gamma = 0.0f, own_beta = 0.0f;
    for (int k = 0; k < kPeriods; ++k) {
      const int64_t j = k * period + i;
      float value = ToFloat(upstream[j]);
      if (kRelu) value = ToFloat(outputs[j]) > 0.0f ? value : 0.0f;
      if (kSums) own_beta += value;
      if (kSums && kScale) own_gamma += value * (ToFloat(features[j]) - mean[i]);
      if (kResidual) FromFloat(value, residual_gradient + j);
      if (kScale || kRelu) FromFloat(kScale ? value * scale[i] : value, features_gradient + j);
    }
    if (kSums) beta_sum[i] += own_beta;
    if (kSums && kScale) gamma_sum[i] += own_gamma;
  }
}

template <bool kScale, bool kRelu, bool kResidual, bool kSums, typename T>
AWSDET_INLINE void Gradients(const GradientTask<T>& task, int64_t begin, int64_t end, int64_t period, float* gamma_sum,
                             float* beta_sum) {
  constexpr int kSeveral = kPeriodsAtOnce;
  for (; end - begin >= kSeveral * period; begin += kSeveral * period) {
    Gradient<kScale, kRelu, kResidual, kSums, kSeveral>(task, begin, period, period, gamma_sum, beta_sum);
  }
  for (; begin < end; begin += period) {
    const int64_t length = std::min(period, end - begin);
    Gradient<kScale, kRelu, kResidual, kSums, 1>(task, begin, period, length, gamma_sum, beta_sum);
  }
}

template <bool kScale, bool kRelu, bool kResidual, typename T>
AWSDET_INLINE void GradientsSummed(const GradientTask<T>& task, int64_t begin, int64_t end, int64_t period,
                                   float* gamma_sum, float* beta_sum) {
  if (beta_sum != nullptr) {
    Gradients<kScale, kRelu, kResidual, true>(task, begin, end, period, gamma_sum, beta_sum);
  } else if (kScale || kRelu) {
    Gradients<kScale, kRelu, kResidual, false>(task, begin, end, period, gamma_sum, beta_sum);
  }
}

template <typename T>
AWSDET_INLINE void GradientsOf(const GradientTask<T>& task, int64_t begin, int64_t end, int64_t period,
                               float* gamma_sum, float* beta_sum) {
  const bool relu = task.at.outputs != nullptr, residual = task.at.residual_gradient != nullptr;
  if (task.scale == nullptr) {
    return relu ? GradientsSummed<false, true, false>(task, begin, end, period, gamma_sum, beta_sum)
                : GradientsSummed<false, false, false>(task, begin, end, period, gamma_sum, beta_sum);
  }
  if (!relu) return GradientsSummed<true, false, false>(task, begin, end, period, gamma_sum, beta_sum);
  return residual ? GradientsSummed<true, true, true>(task, begin, end, period, gamma_sum, beta_sum)
                  : GradientsSummed<true, true, false>(task, begin, end, period, gamma_sum, beta_sum);
}

// Only plain functions can be cloned, not templates.
#define AWSDET_CLONED(T)                                                                                          \
  AWSDET_VECTOR_CLONES void ForwardChunk(const ForwardTask<T>& task, int64_t begin, int64_t end, int64_t period) { \
    ForwardOf(task, begin, end, period);                                                                          \
  }                                                                                                               \
  AWSDET_VECTOR_CLONES void GradientChunk(const GradientTask<T>& task, int64_t begin, int64_t end, int64_t period, \
                                          float* gamma_sum, float* beta_sum) {                                    \
    GradientsOf(task, begin, end, period, gamma_sum, beta_sum);                                                   \
  }
AWSDET_CLONED(float)
AWSDET_CLONED(Half)
AWSDET_CLONED(Bfloat16)
#undef AWSDET_CLONED

// The sums of one chunk for each value of a period -> the sums for each channel.
void Fold(const AlignedFloats& periodic, int64_t channels, float* sums) {
  std::copy_n(periodic.data(), channels, sums);
  for (int64_t i = channels; i < static_cast<int64_t>(periodic.size()); ++i) sums[i % channels] += periodic[i];
}

// [chunks, channels] -> the sums over chunks, in their order.
void AddChunks(const AlignedFloats& partial, int64_t chunks, int64_t channels, float* sums) {
  std::fill_n(sums, channels, 0.0f);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    for (int64_t i = 0; i < channels; ++i) sums[i] += partial[chunk * channels + i];
  }
}

}  // namespace

template <typename T>
void Affine(const AffineSize& size, const AffineParameters& parameters, const T* features, const T* residual, bool relu,
            const ParallelFor& parallel, T* outputs) {
  if (size.rows == 0 || size.channels == 0) return;
  const Layout layout(size);
  const AlignedFloats scale =
      Periodic(layout, size.channels, [&](int64_t channel) { return ScaleOf(parameters, channel); });
  const AlignedFloats offset =
      Periodic(layout, size.channels, [&](int64_t channel) { return OffsetOf(parameters, channel, scale[channel]); });
  const ForwardTask<T> task{features, residual, scale.data(), offset.data(), relu, outputs};
  parallel(layout.chunks, layout.chunk / 2, [&](int64_t begin, int64_t end) {
    ForwardChunk(task, begin * layout.chunk, std::min(end * layout.chunk, layout.values), layout.period);
  });
}

template <typename T>
void AffineGrad(const AffineSize& size, const AffineParameters& parameters, const AffineGradient<T>& gradient,
                const ParallelFor& parallel) {
  if (size.channels == 0) return;
  const Layout layout(size);
  const bool norm = parameters.gamma != nullptr, sums = gradient.beta_gradient != nullptr;
  AlignedFloats scale, mean, partial_gamma, partial_beta;
  if (norm) scale = Periodic(layout, size.channels, [&](int64_t channel) { return ScaleOf(parameters, channel); });
  if (norm && sums) {
    mean = Periodic(layout, size.channels, [&](int64_t channel) { return parameters.mean[channel]; });
    partial_gamma.resize(layout.chunks * size.channels);
  }
  if (sums) partial_beta.resize(layout.chunks * size.channels);
  const GradientTask<T> task{gradient, norm ? scale.data() : nullptr, norm && sums ? mean.data() : nullptr};
  parallel(layout.chunks, layout.chunk, [&](int64_t begin, int64_t end) {
    AlignedFloats gamma_sum, beta_sum;
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      if (sums) beta_sum.assign(layout.period, 0.0f);
      if (sums && norm) gamma_sum.assign(layout.period, 0.0f);
      GradientChunk(task, chunk * layout.chunk, std::min((chunk + 1) * layout.chunk, layout.values), layout.period,
                    gamma_sum.data(), sums ? beta_sum.data() : nullptr);
      if (sums) Fold(beta_sum, size.channels, partial_beta.data() + chunk * size.channels);
      if (sums && norm) Fold(gamma_sum, size.channels, partial_gamma.data() + chunk * size.channels);
    }
  });
  if (!sums) return;
  AddChunks(partial_beta, layout.chunks, size.channels, gradient.beta_gradient);
  if (!norm) return;
  AddChunks(partial_gamma, layout.chunks, size.channels, gradient.gamma_gradient);
  for (int64_t i = 0; i < size.channels; ++i) gradient.gamma_gradient[i] *= InverseDeviation(parameters, i);
}

#define AWSDET_INSTANTIATE(T)                                                                                     \
  template void Affine(const AffineSize&, const AffineParameters&, const T*, const T*, bool, const ParallelFor&, T*); \
  template void AffineGrad(const AffineSize&, const AffineParameters&, const AffineGradient<T>&, const ParallelFor&);
AWSDET_INSTANTIATE(float)
AWSDET_INSTANTIATE(Half)
AWSDET_INSTANTIATE(Bfloat16)
#undef AWSDET_INSTANTIATE

}  // namespace awsdet
