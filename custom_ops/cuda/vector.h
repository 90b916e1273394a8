// Reads, writes and adds V neighbouring channels at once; they are float32 in registers.
//
// V is 16 bytes of T, for one load instruction, or 1 if the number of channels or the pointers do not allow that.
#ifndef AWSDET_CUDA_VECTOR_H_
#define AWSDET_CUDA_VECTOR_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>

#include "cuda/launch.h"

namespace awsdet::cuda {

template <typename T>
constexpr int kWidest = 16 / sizeof(T);

template <typename T, int V>
struct alignas(sizeof(T) * V) Pack {
  T element[V];
};

__device__ __forceinline__ float ToFloat(float value) { return value; }
__device__ __forceinline__ float ToFloat(__half value) { return __half2float(value); }
__device__ __forceinline__ float ToFloat(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
__device__ __forceinline__ T FromFloat(float value);
template <>
__device__ __forceinline__ float FromFloat<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half FromFloat<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 FromFloat<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// 16 bytes are read as one uint4, so that the compiler cannot split the access.
template <typename T, int V>
__device__ __forceinline__ Pack<T, V> Load(const T* __restrict__ address) {
  Pack<T, V> pack;
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    const uint4 raw = __ldg(reinterpret_cast<const uint4*>(address));
    memcpy(&pack, &raw, sizeof(raw));
  } else {
    pack = *reinterpret_cast<const Pack<T, V>*>(address);
  }
  return pack;
}

// sum += weight * address[0..V)
template <typename T, int V>
__device__ __forceinline__ void AddScaled(const T* __restrict__ address, float weight, float (&sum)[V]) {
  const Pack<T, V> pack = Load<T, V>(address);
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] += weight * ToFloat(pack.element[v]);
}

template <typename T, int V>
__device__ __forceinline__ void Store(T* address, const float (&value)[V]) {
  Pack<T, V> pack;
#pragma unroll
  for (int v = 0; v < V; ++v) pack.element[v] = FromFloat<T>(value[v]);
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    uint4 raw;
    memcpy(&raw, &pack, sizeof(raw));
    __stwb(reinterpret_cast<uint4*>(address), raw);
  } else {
    *reinterpret_cast<Pack<T, V>*>(address) = pack;
  }
}

// address[0..V) += value, atomic for each element; four at a time if the GPU can do that (compute capability 9.0).
template <int V>
__device__ __forceinline__ void AtomicAdd(float* address, const float (&value)[V]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (V % 4 == 0) {
#pragma unroll
    for (int v = 0; v < V; v += 4) {
      asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(address + v)),
                   "f"(value[v]), "f"(value[v + 1]), "f"(value[v + 2]), "f"(value[v + 3])
                   : "memory");
    }
  } else
#endif
  {
#pragma unroll
    for (int v = 0; v < V; ++v) atomicAdd(address + v, value[v]);
  }
}

inline bool Aligned16(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_VECTOR_H_
