// Stable sorting by keys on the GPU: CUB's radix sort, which is part of every CUDA toolkit.
#ifndef AWSDET_CUDA_SORT_H_
#define AWSDET_CUDA_SORT_H_

#include <cstdint>

#include "cuda/launch.h"

#ifndef AWSDET_CUDA_EMULATION
#include <cub/device/device_radix_sort.cuh>

namespace awsdet::cuda {

// Sorts `count` values by the lowest `bits` bits of their keys; equal keys keep their order. If `temporary` is null,
// only sets `bytes` to the memory that it needs.
inline cudaError_t SortByKey(void* temporary, size_t* bytes, const uint64_t* keys, uint64_t* sorted_keys,
                             const int32_t* values, int32_t* sorted_values, int64_t count, int bits,
                             cudaStream_t stream) {
  return cub::DeviceRadixSort::SortPairs(temporary, *bytes, keys, sorted_keys, values, sorted_values, count, 0, bits,
                                         stream);
}

}  // namespace awsdet::cuda
#endif  // AWSDET_CUDA_EMULATION

#endif  // AWSDET_CUDA_SORT_H_
