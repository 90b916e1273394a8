// Lists of tensors as a kernel's parameter: one block of threads per chunk, whatever tensor it belongs to.
#ifndef AWSDET_CUDA_TENSOR_TABLE_H_
#define AWSDET_CUDA_TENSOR_TABLE_H_

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>

#include "cuda/launch.h"
#include "kernels/multi_tensor.h"

namespace awsdet::cuda {

// kArrays arrays of the same size, and the type of the last one. The others have one type for all tensors. kNumbers
// numbers of the tensor.
template <int kArrays, int kNumbers = 0>
struct TableEntry {
  std::array<const void*, kArrays> arrays;
  int64_t size;
  FloatType last_type = FloatType::kFloat;
  std::array<float, kNumbers> numbers = {};
};

// C++ has no arrays of length 0.
template <int kNumbers, int kCapacity>
struct TableNumbers {
  float number[kNumbers][kCapacity];
};
template <int kCapacity>
struct TableNumbers<0, kCapacity> {};

// The tensors that a table holds. All other parameters of a kernel have 64 bytes.
template <int kArrays, int kNumbers>
constexpr int kTensors = (4096 - 64 - 16) / (8 * kArrays + 8 + 4 + 1 + 4 * kNumbers);

// The entries of some tensors.
template <int kArrays, int kNumbers = 0>
struct TensorTable : TableNumbers<kNumbers, kTensors<kArrays, kNumbers>> {
  static constexpr int kCapacity = kTensors<kArrays, kNumbers>;
  void* address[kArrays][kCapacity];
  int64_t size[kCapacity];
  int32_t first_chunk[kCapacity + 1];  // the number of chunks follows the last tensor
  int32_t count;
  int8_t last_type[kCapacity];
};

// A range of elements of one tensor.
struct Chunk {
  int tensor;
  int64_t begin;
  int64_t end;
  FloatType last_type;
};

template <int kArrays, int kNumbers>
__device__ __forceinline__ Chunk FindChunk(const TensorTable<kArrays, kNumbers>& table, int chunk) {
  int low = 0, high = table.count;  // first_chunk[low] <= chunk < first_chunk[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.first_chunk[middle] <= chunk ? low : high) = middle;
  }
  const int64_t begin = (chunk - table.first_chunk[low]) * kChunk;
  return {low, begin, min(begin + kChunk, table.size[low]), static_cast<FloatType>(table.last_type[low])};
}

// Cuts `count` tensors into tables and calls launch(table, number of its chunks, number of chunks before it) for each.
// entry(i) gives the TableEntry of tensor i. Stops at an error.
template <int kArrays, int kNumbers = 0, typename Entry, typename LaunchTable>
cudaError_t ForEachTable(size_t count, const Entry& entry, const LaunchTable& launch) {
  using Table = TensorTable<kArrays, kNumbers>;
  static_assert(sizeof(Table) <= 4096 - 64, "parameters of a kernel");
  constexpr int64_t kMostChunks = INT32_MAX;  // blocks of a grid
  Table table;
  int64_t before = 0;
  table.count = 0;
  table.first_chunk[0] = 0;
  const auto flush = [&]() -> cudaError_t {
    const int64_t chunks = table.first_chunk[table.count];
    if (chunks == 0) return cudaSuccess;
    AWSDET_RETURN_IF_ERROR(launch(table, chunks, before));
    before += chunks;
    table.count = 0;
    return cudaSuccess;
  };
  for (size_t i = 0; i < count; ++i) {
    const TableEntry<kArrays, kNumbers> one = entry(i);
    const int64_t chunks = ChunksOf(one.size);
    if (chunks == 0) continue;
    if (chunks > kMostChunks) return cudaErrorInvalidValue;
    if (table.count == Table::kCapacity || table.first_chunk[table.count] > kMostChunks - chunks) {
      AWSDET_RETURN_IF_ERROR(flush());
    }
    for (int a = 0; a < kArrays; ++a) table.address[a][table.count] = const_cast<void*>(one.arrays[a]);
    if constexpr (kNumbers > 0) {
      for (int n = 0; n < kNumbers; ++n) table.number[n][table.count] = one.numbers[n];
    }
    table.size[table.count] = one.size;
    table.last_type[table.count] = static_cast<int8_t>(one.last_type);
    table.first_chunk[table.count + 1] = table.first_chunk[table.count] + static_cast<int32_t>(chunks);
    ++table.count;
  }
  return flush();
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_TENSOR_TABLE_H_
