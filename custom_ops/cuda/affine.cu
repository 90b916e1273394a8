#include "cuda/affine.h"

#include <algorithm>
#include <type_traits>

#include "cuda/for_type.h"
#include "cuda/vector.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 32;             // at most so many threads of a block lie side by side, each with V channels
constexpr int64_t kMostBlocks = 1056;  // about as many as a large GPU runs at once; each takes rows until none is left

// A block has x threads over channels and y over rows. `slabs` blocks together cover all channels of their rows, and
// block b works on slab b % slabs and on every row_blocks-th group of rows.
struct Grid {
  dim3 threads;
  int64_t slabs;
  int64_t row_blocks;

  unsigned blocks() const { return static_cast<unsigned>(slabs * row_blocks); }
};

// It depends on the size and V alone, so sums have the same order on every GPU.
Grid MakeGrid(const AffineSize& size, int vector) {
  const int64_t groups = (size.channels + vector - 1) / vector;
  unsigned across = 1;
  while (across < groups && across < kLanes) across *= 2;
  Grid grid;
  grid.threads = dim3(across, kThreads / across);
  grid.slabs = (groups + across - 1) / across;
  const int64_t needed = (size.rows + grid.threads.y - 1) / grid.threads.y;
  grid.row_blocks = std::max<int64_t>(1, std::min(needed, kMostBlocks / grid.slabs));
  return grid;
}

// Results may be written over the arrays that are read, so these are not read through the cache of constants.
template <typename T, int V>
__device__ __forceinline__ void Read(const T* address, float (&value)[V]) {
  Pack<T, V> pack;
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    const uint4 raw = *reinterpret_cast<const uint4*>(address);
    memcpy(&pack, &raw, sizeof(raw));
  } else {
    pack = *reinterpret_cast<const Pack<T, V>*>(address);
  }
#pragma unroll
  for (int v = 0; v < V; ++v) value[v] = ToFloat(pack.element[v]);
}

template <typename T>
struct ForwardTask {
  AffineSize size;
  AffineParameters parameters;
  const T* features;
  const T* residual;  // or null
  T* outputs;
  bool relu;
  int64_t slabs;
  int64_t row_blocks;
};

template <typename T, int V>
__global__ void __launch_bounds__(kThreads) ForwardKernel(const __grid_constant__ ForwardTask<T> task) {
  const int64_t slab = blockIdx.x % task.slabs;
  const int64_t channel = (slab * blockDim.x + threadIdx.x) * V;
  if (channel >= task.size.channels) return;
  float scale[V], offset[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    scale[v] = ScaleOf(task.parameters, channel + v);
    offset[v] = OffsetOf(task.parameters, channel + v, scale[v]);
  }
  const int64_t step = task.row_blocks * blockDim.y;
  for (int64_t row = blockIdx.x / task.slabs * blockDim.y + threadIdx.y; row < task.size.rows; row += step) {
    const int64_t place = row * task.size.channels + channel;
    float value[V];
    Read<T, V>(task.features + place, value);
#pragma unroll
    for (int v = 0; v < V; ++v) value[v] = RoundedAdd(RoundedMultiply(value[v], scale[v]), offset[v]);
    if (task.residual != nullptr) {
      float residual[V];
      Read<T, V>(task.residual + place, residual);
#pragma unroll
      for (int v = 0; v < V; ++v) value[v] = RoundedAdd(value[v], residual[v]);
    }
    if (task.relu) {
#pragma unroll
      for (int v = 0; v < V; ++v) value[v] = value[v] <= 0.0f ? 0.0f : value[v];
    }
    Store<T, V>(task.outputs + place, value);
  }
}

template <typename T>
struct GradientTask {
  AffineSize size;
  AffineParameters parameters;
  const T* upstream;
  const T* outputs;      // or null
  const T* features;     // or null
  T* features_gradient;  // or null
  T* residual_gradient;  // or null
  float* partial;        // [row_blocks, 2, C]: of gamma (if `features`) and of beta
  int64_t slabs;
  int64_t row_blocks;
};

// Adds the sums of the block's threads in the order of their rows. memory: floats [y, x * V].
template <int V>
__device__ __forceinline__ void AddThreads(const float (&sum)[V], int64_t first, int64_t channels, float* memory,
                                           float* result) {
  const int width = blockDim.x * V, thread = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int v = 0; v < V; ++v) memory[threadIdx.y * width + threadIdx.x * V + v] = sum[v];
  __syncthreads();
  for (int i = thread; i < width; i += kThreads) {
    if (first + i >= channels) continue;
    float total = 0.0f;
    for (int row = 0; row < static_cast<int>(blockDim.y); ++row) total += memory[row * width + i];
    result[first + i] = total;
  }
  __syncthreads();
}

template <typename T, int V, bool kSums>
__global__ void __launch_bounds__(kThreads) GradientKernel(const __grid_constant__ GradientTask<T> task) {
  AWSDET_DYNAMIC_SHARED(float, memory);
  const int64_t first = blockIdx.x % task.slabs * blockDim.x * V, channel = first + threadIdx.x * V;
  const int64_t row_block = blockIdx.x / task.slabs;
  const bool inside = channel < task.size.channels;
  float scale[V] = {}, mean[V] = {}, gamma_sum[V] = {}, beta_sum[V] = {};
#pragma unroll
  for (int v = 0; v < V; ++v) {
    if (inside) scale[v] = ScaleOf(task.parameters, channel + v);
    if (inside && kSums && task.features != nullptr) mean[v] = task.parameters.mean[channel + v];
  }
  const int64_t step = task.row_blocks * blockDim.y;
  for (int64_t row = row_block * blockDim.y + threadIdx.y; inside && row < task.size.rows; row += step) {
    const int64_t place = row * task.size.channels + channel;
    float value[V], other[V];
    Read<T, V>(task.upstream + place, value);
    if (task.outputs != nullptr) {
      Read<T, V>(task.outputs + place, other);
#pragma unroll
      for (int v = 0; v < V; ++v) value[v] = other[v] > 0.0f ? value[v] : 0.0f;
    }
    if (kSums) {
#pragma unroll
      for (int v = 0; v < V; ++v) beta_sum[v] += value[v];
    }
    if (kSums && task.features != nullptr) {
      Read<T, V>(task.features + place, other);
#pragma unroll
      for (int v = 0; v < V; ++v) gamma_sum[v] += value[v] * (other[v] - mean[v]);
    }
    if (task.residual_gradient != nullptr) Store<T, V>(task.residual_gradient + place, value);
    if (task.features_gradient != nullptr) {
#pragma unroll
      for (int v = 0; v < V; ++v) value[v] = RoundedMultiply(value[v], scale[v]);
      Store<T, V>(task.features_gradient + place, value);
    }
  }
  if (kSums) {
    float* const partial = task.partial + row_block * 2 * task.size.channels;
    AddThreads<V>(beta_sum, first, task.size.channels, memory, partial + task.size.channels);
    if (task.features != nullptr) AddThreads<V>(gamma_sum, first, task.size.channels, memory, partial);
  }
}

constexpr int kSumChannels = 32;
constexpr int kSumRows = 8;

// Adds [row_blocks, 2, C] over the blocks of rows, in an order that depends on their number alone.
__global__ void __launch_bounds__(kSumChannels * kSumRows)
    SumKernel(const __grid_constant__ AffineParameters parameters, const float* __restrict__ partial,
              int64_t row_blocks, int64_t channels, float* __restrict__ gamma_gradient,
              float* __restrict__ beta_gradient) {
  __shared__ float sums[2][kSumRows][kSumChannels];
  const int64_t channel = static_cast<int64_t>(blockIdx.x) * kSumChannels + threadIdx.x;
  float gamma_sum = 0.0f, beta_sum = 0.0f;
  for (int64_t b = threadIdx.y; b < row_blocks && channel < channels; b += kSumRows) {
    if (gamma_gradient != nullptr) gamma_sum += partial[b * 2 * channels + channel];
    beta_sum += partial[(b * 2 + 1) * channels + channel];
  }
  sums[0][threadIdx.y][threadIdx.x] = gamma_sum;
  sums[1][threadIdx.y][threadIdx.x] = beta_sum;
  __syncthreads();
  if (threadIdx.y != 0 || channel >= channels) return;
  for (int row = 1; row < kSumRows; ++row) {
    gamma_sum += sums[0][row][threadIdx.x];
    beta_sum += sums[1][row][threadIdx.x];
  }
  if (gamma_gradient != nullptr) gamma_gradient[channel] = gamma_sum * InverseDeviation(parameters, channel);
  beta_gradient[channel] = beta_sum;
}

template <typename T, int V>
cudaError_t RunForward(const AffineSize& size, const AffineParameters& parameters, const void* features,
                       const void* residual, bool relu, void* outputs, cudaStream_t stream) {
  const Grid grid = MakeGrid(size, V);
  if (grid.slabs * grid.row_blocks > INT32_MAX) return cudaErrorInvalidValue;
  const ForwardTask<T> task{size,
                            parameters,
                            static_cast<const T*>(features),
                            static_cast<const T*>(residual),
                            static_cast<T*>(outputs),
                            relu,
                            grid.slabs,
                            grid.row_blocks};
  return Launch(ForwardKernel<T, V>, dim3(grid.blocks()), grid.threads, 0, stream, task);
}

template <typename T>
cudaError_t Forward(const AffineSize& size, const AffineParameters& parameters, const void* features,
                    const void* residual, bool relu, void* outputs, cudaStream_t stream) {
  const bool vector = size.channels % kWidest<T> == 0 && Aligned16(features) && Aligned16(residual) &&
                      Aligned16(outputs);
  const auto run = vector ? RunForward<T, kWidest<T>> : RunForward<T, 1>;
  return run(size, parameters, features, residual, relu, outputs, stream);
}

template <typename T, int V>
cudaError_t RunGradient(const AffineSize& size, const AffineParameters& parameters,
                        const AffineGradientPointers& gradient, void* workspace, cudaStream_t stream) {
  const Grid grid = MakeGrid(size, V);
  if (grid.slabs * grid.row_blocks > INT32_MAX) return cudaErrorInvalidValue;
  const bool sums = gradient.beta_gradient != nullptr;
  const GradientTask<T> task{size,
                             parameters,
                             static_cast<const T*>(gradient.upstream),
                             static_cast<const T*>(gradient.outputs),
                             static_cast<const T*>(gradient.features),
                             static_cast<T*>(gradient.features_gradient),
                             static_cast<T*>(gradient.residual_gradient),
                             static_cast<float*>(workspace),
                             grid.slabs,
                             grid.row_blocks};
  if (!sums) {
    if (size.rows == 0) return cudaSuccess;
    return Launch(GradientKernel<T, V, false>, dim3(grid.blocks()), grid.threads, 0, stream, task);
  }
  const size_t shared_bytes = kThreads * V * sizeof(float);
  AWSDET_RETURN_IF_ERROR(
      Launch(GradientKernel<T, V, true>, dim3(grid.blocks()), grid.threads, shared_bytes, stream, task));
  const int64_t blocks = (size.channels + kSumChannels - 1) / kSumChannels;
  return Launch(SumKernel, dim3(static_cast<unsigned>(blocks)), dim3(kSumChannels, kSumRows), 0, stream, parameters,
                static_cast<const float*>(workspace), grid.row_blocks, size.channels, gradient.gamma_gradient,
                gradient.beta_gradient);
}

template <typename T>
cudaError_t Gradient(const AffineSize& size, const AffineParameters& parameters,
                     const AffineGradientPointers& gradient, void* workspace, cudaStream_t stream) {
  bool vector = size.channels % kWidest<T> == 0;
  for (const void* pointer : {gradient.upstream, gradient.outputs, gradient.features,
                              static_cast<const void*>(gradient.features_gradient),
                              static_cast<const void*>(gradient.residual_gradient)}) {
    vector = vector && Aligned16(pointer);
  }
  const auto run = vector ? RunGradient<T, kWidest<T>> : RunGradient<T, 1>;
  return run(size, parameters, gradient, workspace, stream);
}

bool IsValid(const AffineSize& size) { return size.rows >= 0 && size.channels >= 0; }

}  // namespace

cudaError_t Affine(DataType type, const AffineSize& size, const AffineParameters& parameters, const void* features,
                   const void* residual, bool relu, void* outputs, cudaStream_t stream) {
  if (!IsValid(size)) return cudaErrorInvalidValue;
  if (size.rows == 0 || size.channels == 0) return cudaSuccess;
  return ForType(type, [&](auto element) {
    return Forward<decltype(element)>(size, parameters, features, residual, relu, outputs, stream);
  });
}

size_t AffineGradWorkspaceSize(const AffineSize& size, bool sums) {
  if (!sums || !IsValid(size) || size.channels == 0) return 0;
  int64_t row_blocks = 0;
  for (const int vector : {1, kWidest<float>, kWidest<__half>}) {
    row_blocks = std::max(row_blocks, MakeGrid(size, vector).row_blocks);
  }
  return static_cast<size_t>(row_blocks) * 2 * size.channels * sizeof(float);
}

cudaError_t AffineGrad(DataType type, const AffineSize& size, const AffineParameters& parameters,
                       const AffineGradientPointers& gradient, void* workspace, cudaStream_t stream) {
  if (!IsValid(size)) return cudaErrorInvalidValue;
  if (size.channels == 0) return cudaSuccess;
  return ForType(type, [&](auto element) {
    return Gradient<decltype(element)>(size, parameters, gradient, workspace, stream);
  });
}

}  // namespace awsdet::cuda
