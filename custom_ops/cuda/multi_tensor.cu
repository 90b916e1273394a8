// Many tensors in one launch: a block per chunk; the tables of pointers are in cuda/tensor_table.h.
#include "cuda/multi_tensor.h"

#include "cuda/tensor_table.h"
#include "cuda/vector.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 256;

// Calls work(index of an element, number of elements) for the elements [begin, end): four at a time if `vectors`.
template <typename Four, typename One>
__device__ __forceinline__ void ForEachElement(const Chunk& chunk, bool vectors, const Four& four, const One& one) {
  int64_t rest = chunk.begin;
  if (vectors) {
    rest = chunk.end - (chunk.end - chunk.begin) % 4;
    for (int64_t i = chunk.begin + 4 * static_cast<int>(threadIdx.x); i < rest; i += 4 * kThreads) four(i);
  }
  for (int64_t i = rest + threadIdx.x; i < chunk.end; i += kThreads) one(i);
}

__device__ __forceinline__ float4& FourOf(float* address) { return *reinterpret_cast<float4*>(address); }
__device__ __forceinline__ bool IsAligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

// Four elements in float32; those of 16 bits take one load of 8 bytes.
template <typename T>
__device__ __forceinline__ float4 LoadFour(const T* address) {
  const Pack<T, 4> four = Load<T, 4>(address);
  return {ToFloat(four.element[0]), ToFloat(four.element[1]), ToFloat(four.element[2]), ToFloat(four.element[3])};
}

// Calls work(array of the type) for an array of `type`, which is the same for all threads of a block.
template <typename Work>
__device__ __forceinline__ void WithType(FloatType type, const void* values, const Work& work) {
  if (type == FloatType::kHalf) {
    work(static_cast<const __half*>(values));
  } else if (type == FloatType::kBFloat16) {
    work(static_cast<const __nv_bfloat16*>(values));
  } else {
    work(static_cast<const float*>(values));
  }
}

__global__ void __launch_bounds__(kThreads)
    SgdKernel(const __grid_constant__ TensorTable<3> table, const float* learning_rate, const float* factor,
              const bool* apply, float momentum, float weight_decay) {
  if (!*apply) return;
  const SgdRule rule{*learning_rate, *factor, momentum, weight_decay};
  const Chunk chunk = FindChunk(table, blockIdx.x);
  float* const variable = static_cast<float*>(table.address[0][chunk.tensor]);
  float* const buffer = static_cast<float*>(table.address[1][chunk.tensor]);
  WithType(chunk.last_type, table.address[2][chunk.tensor], [&](const auto* gradient) {
    ForEachElement(
        chunk, IsAligned(variable) && IsAligned(buffer) && IsAligned(gradient),
        [&](int64_t i) {
          const float4 g = LoadFour(gradient + i);
          float4 v = FourOf(variable + i), b = FourOf(buffer + i);
          SgdElement(rule, g.x, &v.x, &b.x);
          SgdElement(rule, g.y, &v.y, &b.y);
          SgdElement(rule, g.z, &v.z, &b.z);
          SgdElement(rule, g.w, &v.w, &b.w);
          FourOf(variable + i) = v;
          FourOf(buffer + i) = b;
        },
        [&](int64_t i) { SgdElement(rule, ToFloat(gradient[i]), variable + i, buffer + i); });
  });
}

// One thread. The blocks of AdamwKernel could not read a counter that one of them changes.
__global__ void CorrectionKernel(AdamwSettings settings, const bool* apply, int64_t* applied,
                                 AdamwCorrection* correction) {
  if (*apply) *correction = CorrectionOf(settings, ++*applied);
}

__global__ void __launch_bounds__(kThreads)
    AdamwKernel(const __grid_constant__ TensorTable<4, 2> table, AdamwSettings settings, const float* learning_rate,
                const float* factor, const bool* apply, const AdamwCorrection* correction) {
  if (!*apply) return;
  const Chunk chunk = FindChunk(table, blockIdx.x);
  const AdamwRule rule = RuleOf(settings, *correction, *learning_rate, *factor, table.number[0][chunk.tensor],
                                table.number[1][chunk.tensor]);
  float* const variable = static_cast<float*>(table.address[0][chunk.tensor]);
  float* const first = static_cast<float*>(table.address[1][chunk.tensor]);
  float* const second = static_cast<float*>(table.address[2][chunk.tensor]);
  WithType(chunk.last_type, table.address[3][chunk.tensor], [&](const auto* gradient) {
    ForEachElement(
        chunk, IsAligned(variable) && IsAligned(first) && IsAligned(second) && IsAligned(gradient),
        [&](int64_t i) {
          const float4 g = LoadFour(gradient + i);
          float4 v = FourOf(variable + i), m = FourOf(first + i), s = FourOf(second + i);
          AdamwElement(rule, g.x, &v.x, &m.x, &s.x);
          AdamwElement(rule, g.y, &v.y, &m.y, &s.y);
          AdamwElement(rule, g.z, &v.z, &m.z, &s.z);
          AdamwElement(rule, g.w, &v.w, &m.w, &s.w);
          FourOf(variable + i) = v;
          FourOf(first + i) = m;
          FourOf(second + i) = s;
        },
        [&](int64_t i) { AdamwElement(rule, ToFloat(gradient[i]), variable + i, first + i, second + i); });
  });
}

// Adds the lanes by halves; every thread of the block calls it with its own. The result is that of thread 0.
__device__ double SumOfLanes(double own, double* lanes) {
  const int lane = threadIdx.x;
  lanes[lane] = own;
  for (int half = kLanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

// A product of two float32 is exact in float64, so it does not matter whether it is fused with the addition.
__global__ void __launch_bounds__(kLanes)
    SquaresKernel(const __grid_constant__ TensorTable<1> table, double* __restrict__ squares) {
  __shared__ double lanes[kLanes];
  const Chunk chunk = FindChunk(table, blockIdx.x);
  double sum = 0;
  WithType(chunk.last_type, table.address[0][chunk.tensor], [&](const auto* values) {
#pragma unroll 8
    for (int64_t i = chunk.begin + threadIdx.x; i < chunk.end; i += kLanes) {
      const double value = ToFloat(values[i]);
      sum += value * value;
    }
  });
  sum = SumOfLanes(sum, lanes);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kLanes) NormKernel(const double* __restrict__ squares, int64_t chunks, float* norm) {
  __shared__ double lanes[kLanes];
  double sum = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < chunks; i += kLanes) sum += squares[i];
  sum = SumOfLanes(sum, lanes);
  if (threadIdx.x == 0) *norm = static_cast<float>(sqrt(sum));
}

__global__ void __launch_bounds__(kThreads)
    AccumulateKernel(const __grid_constant__ TensorTable<2> table, const float* factor) {
  const float scale = *factor;
  const Chunk chunk = FindChunk(table, blockIdx.x);
  float* const sum = static_cast<float*>(table.address[0][chunk.tensor]);
  WithType(chunk.last_type, table.address[1][chunk.tensor], [&](const auto* addend) {
    ForEachElement(
        chunk, IsAligned(sum) && IsAligned(addend),
        [&](int64_t i) {
          const float4 a = LoadFour(addend + i);
          float4 s = FourOf(sum + i);
          AccumulateElement(scale, a.x, &s.x);
          AccumulateElement(scale, a.y, &s.y);
          AccumulateElement(scale, a.z, &s.z);
          AccumulateElement(scale, a.w, &s.w);
          FourOf(sum + i) = s;
        },
        [&](int64_t i) { AccumulateElement(scale, ToFloat(addend[i]), sum + i); });
  });
}

__global__ void __launch_bounds__(kThreads)
    AverageKernel(const __grid_constant__ TensorTable<2> table, const float* decay, const bool* apply) {
  if (!*apply) return;
  const float rest = RoundedAdd(1, -*decay);
  const Chunk chunk = FindChunk(table, blockIdx.x);
  float* const average = static_cast<float*>(table.address[0][chunk.tensor]);
  const float* const value = static_cast<const float*>(table.address[1][chunk.tensor]);
  ForEachElement(
      chunk, IsAligned(average) && IsAligned(value),
      [&](int64_t i) {
        const float4 v = LoadFour(value + i);
        float4 a = FourOf(average + i);
        AverageElement(rest, v.x, &a.x);
        AverageElement(rest, v.y, &a.y);
        AverageElement(rest, v.z, &a.z);
        AverageElement(rest, v.w, &a.w);
        FourOf(average + i) = a;
      },
      [&](int64_t i) { AverageElement(rest, value[i], average + i); });
}

__global__ void __launch_bounds__(kThreads) ZeroKernel(const __grid_constant__ TensorTable<1> table) {
  const Chunk chunk = FindChunk(table, blockIdx.x);
  float* const values = static_cast<float*>(table.address[0][chunk.tensor]);
  ForEachElement(
      chunk, IsAligned(values), [&](int64_t i) { FourOf(values + i) = float4{0, 0, 0, 0}; },
      [&](int64_t i) { values[i] = 0; });
}

template <typename T>
__global__ void __launch_bounds__(kThreads) CastKernel(const __grid_constant__ TensorTable<2> table) {
  const Chunk chunk = FindChunk(table, blockIdx.x);
  const float* const values = static_cast<const float*>(table.address[0][chunk.tensor]);
  T* const results = static_cast<T*>(table.address[1][chunk.tensor]);
  ForEachElement(
      chunk, IsAligned(values) && IsAligned(results),
      [&](int64_t i) {
        const float4 four = LoadFour(values + i);
        const float rounded[4] = {four.x, four.y, four.z, four.w};
        Store<T, 4>(results + i, rounded);
      },
      [&](int64_t i) { results[i] = FromFloat<T>(values[i]); });
}

int64_t TotalChunks(const std::vector<ConstTensor>& tensors) {
  int64_t chunks = 0;
  for (const ConstTensor& tensor : tensors) chunks += ChunksOf(tensor.size);
  return chunks;
}

dim3 Grid(int64_t chunks) { return dim3(static_cast<unsigned>(chunks)); }

}  // namespace

cudaError_t SgdUpdate(const std::vector<SgdTensor>& tensors, const float* learning_rate, const float* factor,
                      const bool* apply, float momentum, float weight_decay, cudaStream_t stream) {
  return ForEachTable<3>(
      tensors.size(),
      [&](size_t i) -> TableEntry<3> {
        const SgdTensor& tensor = tensors[i];
        return {{tensor.variable, tensor.momentum, tensor.gradient}, tensor.size, tensor.gradient_type};
      },
      [&](const TensorTable<3>& table, int64_t chunks, int64_t) {
        return Launch(SgdKernel, Grid(chunks), dim3(kThreads), 0, stream, table, learning_rate, factor, apply,
                      momentum, weight_decay);
      });
}

cudaError_t AdamwUpdate(const std::vector<AdamwTensor>& tensors, const AdamwSettings& settings,
                        const float* learning_rate, const float* factor, const bool* apply, int64_t* applied,
                        AdamwCorrection* correction, cudaStream_t stream) {
  AWSDET_RETURN_IF_ERROR(
      Launch(CorrectionKernel, dim3(1), dim3(1), 0, stream, settings, apply, applied, correction));
  return ForEachTable<4, 2>(
      tensors.size(),
      [&](size_t i) -> TableEntry<4, 2> {
        const AdamwTensor& tensor = tensors[i];
        return {{tensor.variable, tensor.first_moment, tensor.second_moment, tensor.gradient},
                tensor.size,
                tensor.gradient_type,
                {tensor.rate_factor, tensor.weight_decay}};
      },
      [&](const TensorTable<4, 2>& table, int64_t chunks, int64_t) {
        return Launch(AdamwKernel, Grid(chunks), dim3(kThreads), 0, stream, table, settings, learning_rate, factor,
                      apply, correction);
      });
}

size_t GlobalNormWorkspaceSize(const std::vector<ConstTensor>& tensors) {
  return TotalChunks(tensors) * sizeof(double);
}

cudaError_t GlobalNorm(const std::vector<ConstTensor>& tensors, void* workspace, float* norm, cudaStream_t stream) {
  double* const squares = static_cast<double*>(workspace);
  AWSDET_RETURN_IF_ERROR(ForEachTable<1>(
      tensors.size(),
      [&](size_t i) -> TableEntry<1> {
        return {{tensors[i].values}, tensors[i].size, tensors[i].type};
      },
      [&](const TensorTable<1>& table, int64_t chunks, int64_t before) {
        return Launch(SquaresKernel, Grid(chunks), dim3(kLanes), 0, stream, table, squares + before);
      }));
  return Launch(NormKernel, dim3(1), dim3(kLanes), 0, stream, squares, TotalChunks(tensors), norm);
}

cudaError_t Accumulate(const std::vector<SumTensor>& tensors, const float* factor, cudaStream_t stream) {
  return ForEachTable<2>(
      tensors.size(),
      [&](size_t i) -> TableEntry<2> {
        return {{tensors[i].sum, tensors[i].addend}, tensors[i].size, tensors[i].addend_type};
      },
      [&](const TensorTable<2>& table, int64_t chunks, int64_t) {
        return Launch(AccumulateKernel, Grid(chunks), dim3(kThreads), 0, stream, table, factor);
      });
}

cudaError_t MovingAverage(const std::vector<AverageTensor>& tensors, const float* decay, const bool* apply,
                          cudaStream_t stream) {
  return ForEachTable<2>(
      tensors.size(),
      [&](size_t i) -> TableEntry<2> {
        return {{tensors[i].average, tensors[i].value}, tensors[i].size};
      },
      [&](const TensorTable<2>& table, int64_t chunks, int64_t) {
        return Launch(AverageKernel, Grid(chunks), dim3(kThreads), 0, stream, table, decay, apply);
      });
}

cudaError_t SetZero(const std::vector<MutableTensor>& tensors, cudaStream_t stream) {
  return ForEachTable<1>(
      tensors.size(),
      [&](size_t i) -> TableEntry<1> {
        return {{tensors[i].values}, tensors[i].size};
      },
      [&](const TensorTable<1>& table, int64_t chunks, int64_t) {
        return Launch(ZeroKernel, Grid(chunks), dim3(kThreads), 0, stream, table);
      });
}

cudaError_t Cast(const std::vector<CastTensor>& tensors, FloatType type, cudaStream_t stream) {
  const auto kernel = type == FloatType::kHalf ? CastKernel<__half> : CastKernel<__nv_bfloat16>;
  return ForEachTable<2>(
      tensors.size(),
      [&](size_t i) -> TableEntry<2> {
        return {{tensors[i].values, tensors[i].results}, tensors[i].size, type};
      },
      [&](const TensorTable<2>& table, int64_t chunks, int64_t) {
        return Launch(kernel, Grid(chunks), dim3(kThreads), 0, stream, table);
      });
}

}  // namespace awsdet::cuda
