// What both gradient kernels of RoIAlign do with a tile of feature pixels: compute the weights of its rows and columns
// in the bins of a RoI, and sum what these bins give to a run of pixels.
#ifndef AWSDET_CUDA_ROI_ALIGN_TILE_H_
#define AWSDET_CUDA_ROI_ALIGN_TILE_H_

#include "cuda/roi_align_device.h"

namespace awsdet::cuda {

constexpr int kRun = 4;  // neighbouring pixels that a thread sums at the same time

// Weights of a tile's `size` pixels along one axis, in shared memory; pixel k belongs to group k / run.
struct AxisWeights {
  float* weight;  // [P][stride]
  int stride;
  int* first;  // [groups] first and last bin that touch a pixel of the group; first > last if there is none
  int* last;

  // So that rows are in different memory banks.
  __host__ __device__ static int Stride(int size) { return size > 4 ? size + 4 : size; }
};

__device__ __forceinline__ void ClearGroups(const AxisWeights& weights, int groups, int thread, int threads) {
  for (int i = thread; i < groups; i += threads) {
    weights.first[i] = INT32_MAX;
    weights.last[i] = -1;
  }
}

// Computes the weights of one bin for the pixels [origin, origin + size), summed in the order of the samples.
static __device__ __noinline__ void FillBin(const SampleAxis& axis, int bin, int origin, int size, int run,
                                            const AxisWeights weights) {
  float* const row = weights.weight + bin * weights.stride;
  for (int k = 0; k < size; ++k) row[k] = 0.0f;
  for (int s = 0; s < axis.samples; ++s) {
    BilinearSample sample;
    if (!MakeBilinearSample(axis, bin, s, &sample)) continue;
    const int k = sample.pixel - origin;
    if (k >= 0 && k < size) row[k] += 1.0f - sample.fraction;
    if (k >= -1 && k + 1 < size) row[k + 1] += sample.fraction;
  }
  for (int k = 0; k < size; ++k) {
    if (row[k] == 0.0f) continue;
    row[k] /= static_cast<float>(axis.samples);
    atomicMin(&weights.first[k / run], bin);
    atomicMax(&weights.last[k / run], bin);
  }
}

// Adds to sum[j] what the bins of one RoI give to pixel j of a run, which is in row `row` of the tile and in group
// `group` of its columns. `gradient` is this thread's first channel in the first bin of the RoI.
template <typename T, int V>
__device__ __forceinline__ void GatherRun(const T* __restrict__ gradient, int bins, int64_t channels,
                                          const AxisWeights& rows, int row, const AxisWeights& columns, int group,
                                          float (&sum)[kRun][V]) {
  const int q_last = columns.last[group];
  for (int p = rows.first[row]; p <= rows.last[row]; ++p) {
    const float row_weight = rows.weight[p * rows.stride + row];
    for (int q = columns.first[group]; q <= q_last; ++q) {
      const float4 weight =
          *reinterpret_cast<const float4*>(columns.weight + q * columns.stride + group * kRun);
      float value[V] = {};
      AddScaled<T, V>(gradient + (p * bins + q) * channels, row_weight, value);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        sum[0][v] += weight.x * value[v];
        sum[1][v] += weight.y * value[v];
        sum[2][v] += weight.z * value[v];
        sum[3][v] += weight.w * value[v];
      }
    }
  }
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_ROI_ALIGN_TILE_H_
