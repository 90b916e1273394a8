// RoIAlign forward on the GPU.
//
// A block pools one RoI (and up to 64 groups of channels). Bilinear samples and their average are separable, so a bin
// is a weighted sum over the rows and columns it touches; the block first lists them ("taps") in shared memory, merged
// so that each feature pixel is read once a bin, then every thread walks the bins of its output row, for its channels.
// Neighbouring bins share their border pixels, which the first-level cache still holds.
#include "cuda/for_type.h"
#include "cuda/roi_align_device.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kMostTaps = 32;                // per bin and axis; a bin that needs more is summed sample by sample
constexpr size_t kTapsMemory = 32 * 1024;    // bytes

// One row or column that a bin reads, with its weight.
struct Tap {
  int32_t pixel;
  float weight;
};

// Adds to the tap of `pixel` if one of the latest taps has it, otherwise appends a tap. Returns false if the list is
// full.
__device__ bool AddTap(int32_t pixel, float weight, int capacity, Tap* taps, int* count) {
  for (int i = *count - 1; i >= 0 && i >= *count - 3; --i) {
    if (taps[i].pixel == pixel) {
      taps[i].weight += weight;
      return true;
    }
  }
  if (*count == capacity) return false;
  taps[(*count)++] = {pixel, weight};
  return true;
}

// Lists the pixels that one bin reads along one axis. Returns the number of taps, or -1 if they do not fit.
__device__ int ListTaps(const SampleAxis& axis, int bin, int capacity, Tap* taps) {
  int count = 0;
  for (int s = 0; s < axis.samples; ++s) {
    BilinearSample sample;
    if (!MakeBilinearSample(axis, bin, s, &sample)) continue;
    if (!AddTap(sample.pixel, 1.0f - sample.fraction, capacity, taps, &count)) return -1;
    if (sample.fraction > 0.0f && !AddTap(sample.pixel + 1, sample.fraction, capacity, taps, &count)) return -1;
  }
  for (int i = 0; i < count; ++i) taps[i].weight /= static_cast<float>(axis.samples);
  return count;
}

// Sums one bin from its taps. `origin` is this thread's first channel of pixel (0, 0); steps are in elements.
template <typename T, int V>
__device__ __forceinline__ void SumTaps(const T* __restrict__ origin, int64_t row_step, int64_t column_step,
                                        const Tap* rows, int row_count, const Tap* columns, int column_count,
                                        float (&sum)[V]) {
  for (int i = 0; i < row_count; ++i) {
    const T* row = origin + rows[i].pixel * row_step;
    const float row_weight = rows[i].weight;
#pragma unroll 4
    for (int j = 0; j < column_count; ++j) {
      AddScaled<T, V>(row + columns[j].pixel * column_step, row_weight * columns[j].weight, sum);
    }
  }
}

// Sums one bin sample by sample, for bins of more than kMostTaps feature pixels.
template <typename T, int V>
__device__ __noinline__ void StoreFromSamples(const T* __restrict__ origin, int64_t row_step, int64_t column_step,
                                              const Roi* roi, int p, int q, T* result) {
  const SampleAxis y = roi->y, x = roi->x;
  float sum[V] = {};
  const float share = 1.0f / (static_cast<float>(y.samples) * static_cast<float>(x.samples));
  for (int i = 0; i < y.samples; ++i) {
    BilinearSample row;
    if (!MakeBilinearSample(y, p, i, &row)) continue;
    for (int j = 0; j < x.samples; ++j) {
      BilinearSample column;
      if (!MakeBilinearSample(x, q, j, &column)) continue;
      const int right = column.fraction > 0.0f ? 1 : 0, down = row.fraction > 0.0f ? 1 : 0;
      const T* corner = origin + row.pixel * row_step + column.pixel * column_step;
      const float upper = (1.0f - row.fraction) * share, lower = row.fraction * share;
      AddScaled<T, V>(corner, upper * (1.0f - column.fraction), sum);
      if (right) AddScaled<T, V>(corner + column_step, upper * column.fraction, sum);
      if (down) AddScaled<T, V>(corner + row_step, lower * (1.0f - column.fraction), sum);
      if (right && down) AddScaled<T, V>(corner + row_step + column_step, lower * column.fraction, sum);
    }
  }
  Store<T, V>(result, sum);
}

// Shared memory: taps [2][P][capacity] of rows, then columns, and their counts [2][P].
template <typename T, int V>
__global__ void __launch_bounds__(kThreads)
    RoiAlignKernel(const __grid_constant__ RoiAlignProblem problem, const __grid_constant__ Pyramid<const T> pyramid,
                   const float* __restrict__ boxes, const int32_t* __restrict__ image_index, int capacity,
                   T* __restrict__ pooled) {
  AWSDET_DYNAMIC_SHARED(Tap, taps);
  const int bins = problem.output_size;
  int* const counts = reinterpret_cast<int*>(taps + 2 * bins * capacity);
  const int64_t r = blockIdx.x;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  __shared__ Roi roi;
  if (thread == 0) roi = MakeRoi(problem, boxes, image_index, r);
  __syncthreads();
  for (int i = thread; i < 2 * bins; i += blockDim.x * blockDim.y) {
    const bool is_row = i < bins;
    const SampleAxis axis = is_row ? roi.y : roi.x;
    // A RoI of no image has no taps, so it becomes zeros.
    counts[i] = roi.image < 0 ? 0 : ListTaps(axis, is_row ? i : i - bins, capacity, taps + i * capacity);
  }
  __syncthreads();

  const int channel = (blockIdx.y * blockDim.x + threadIdx.x) * V;
  if (channel >= problem.channels) return;
  const int64_t column_step = problem.channels;
  const int64_t row_step = problem.width[roi.level] * column_step;
  const T* const origin =
      pyramid.map[roi.level] + (roi.image < 0 ? 0 : PixelOffset(problem, roi.level, roi.image, 0, 0) + channel);
  for (int p = threadIdx.y; p < bins; p += blockDim.y) {
    T* result = pooled + (r * bins + p) * bins * column_step + channel;
    for (int q = 0; q < bins; ++q, result += column_step) {
      const int row_count = counts[p], column_count = counts[bins + q];
      if (row_count < 0 || column_count < 0) {
        StoreFromSamples<T, V>(origin, row_step, column_step, &roi, p, q, result);
        continue;
      }
      float sum[V] = {};
      SumTaps<T, V>(origin, row_step, column_step, taps + p * capacity, row_count, taps + (bins + q) * capacity,
                    column_count, sum);
      Store<T, V>(result, sum);
    }
  }
}

template <typename T, int V>
cudaError_t Run(const RoiAlignProblem& problem, const void* const* pyramid, const float* boxes,
                const int32_t* image_index, void* pooled, cudaStream_t stream) {
  Pyramid<const T> maps{};
  for (int level = 0; level < problem.num_levels; ++level) maps.map[level] = static_cast<const T*>(pyramid[level]);
  const size_t lists = 2 * static_cast<size_t>(problem.output_size);
  const int capacity = static_cast<int>(std::min<size_t>(kMostTaps, kTapsMemory / (lists * sizeof(Tap))));
  const size_t shared_bytes = lists * (capacity * sizeof(Tap) + sizeof(int));
  const BlockShape shape = MakeBlockShape(problem.channels, V, problem.output_size, kThreads);
  return Launch(RoiAlignKernel<T, V>, dim3(static_cast<unsigned>(problem.rois), shape.slabs), shape.threads,
                shared_bytes, stream, problem, maps, boxes, image_index, capacity, static_cast<T*>(pooled));
}

template <typename T>
cudaError_t RunWidest(const RoiAlignProblem& problem, const void* const* pyramid, const float* boxes,
                      const int32_t* image_index, void* pooled, cudaStream_t stream) {
  const auto run = CanVectorise<T>(problem, pyramid, pooled) ? Run<T, kWidest<T>> : Run<T, 1>;
  return run(problem, pyramid, boxes, image_index, pooled, stream);
}

}  // namespace

cudaError_t RoiAlign(DataType type, const RoiAlignProblem& problem, const void* const* pyramid, const float* boxes,
                     const int32_t* image_index, void* pooled, cudaStream_t stream) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  if (problem.rois == 0 || problem.channels == 0) return cudaSuccess;
  return ForType(type, [&](auto element) {
    return RunWidest<decltype(element)>(problem, pyramid, boxes, image_index, pooled, stream);
  });
}

}  // namespace awsdet::cuda
