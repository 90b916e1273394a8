// The gradient of RoIAlign on the GPU.
//
// The gradient of a feature pixel is a sum over the RoIs and bins that touch it: the gradient of the bin, times the
// weights that the bin has for the pixel's row and column. Both kernels below work on a tile of pixels and take one RoI
// after the other: they write the weights of the tile's rows and columns to shared memory, then each thread sums a run
// of kRun pixels of one row, for its channels.
//   ScatterKernel  one block per RoI; one atomic addition per pixel, RoI and channel, however many bins touch the pixel
//   GatherKernel   one block per tile of the map; adds the RoIs in their order, stores each pixel once; deterministic
#include "cuda/block.h"
#include "cuda/roi_align_device.h"
#include "cuda/roi_align_tile.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kScatterTile = 32;  // pixels per side of a tile
constexpr int kGatherTile = 4;
constexpr int kGatherBatch = 8;  // RoIs whose weights are in shared memory at the same time

// Shared memory, first floats, then ints: weights of rows [P][stride] and of columns [P][stride]; first and last bins
// of rows [tile] and of groups of columns [tile / kRun].
template <typename T, int V>
__global__ void __launch_bounds__(kThreads, 3)
    ScatterKernel(const __grid_constant__ RoiAlignProblem problem, const T* __restrict__ pooled_gradient,
                  const float* __restrict__ boxes, const int32_t* __restrict__ image_index, int tile,
                  const __grid_constant__ Pyramid<float> gradient) {
  AWSDET_DYNAMIC_SHARED(float, memory);
  const int bins = problem.output_size, stride = AxisWeights::Stride(tile), groups = tile / kRun;
  int* const ints = reinterpret_cast<int*>(memory + 2 * bins * stride);
  const AxisWeights rows{memory, stride, ints, ints + tile};
  const AxisWeights columns{memory + bins * stride, stride, ints + 2 * tile, ints + 2 * tile + groups};

  const int64_t r = blockIdx.x;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  __shared__ Roi roi;
  if (thread == 0) roi = MakeRoi(problem, boxes, image_index, r);
  __syncthreads();
  if (roi.image < 0) return;
  const PixelRange y = TouchedPixels(roi.y, bins), x = TouchedPixels(roi.x, bins);
  const int channel = (blockIdx.y * blockDim.x + threadIdx.x) * V;
  const T* const source = pooled_gradient + r * bins * bins * problem.channels + channel;
  for (int top = y.first; top <= y.last; top += tile) {
    for (int left = x.first; left <= x.last; left += tile) {
      ClearGroups(rows, tile, thread, threads);
      ClearGroups(columns, groups, thread, threads);
      __syncthreads();
      for (int i = thread; i < 2 * bins; i += threads) {
        if (i < bins) {
          FillBin(roi.y, i, top, tile, 1, rows);
        } else {
          FillBin(roi.x, i - bins, left, tile, kRun, columns);
        }
      }
      __syncthreads();
      const int height = min(tile, y.last - top + 1), width = min(tile, x.last - left + 1);
      for (int h = threadIdx.y; h < height && channel < problem.channels; h += blockDim.y) {
        if (rows.last[h] < 0) continue;
        float* const target =
            gradient.map[roi.level] + PixelOffset(problem, roi.level, roi.image, top + h, left) + channel;
        for (int group = 0; group * kRun < width; ++group) {
          if (columns.last[group] < 0) continue;
          float sum[kRun][V] = {};
          GatherRun<T, V>(source, bins, problem.channels, rows, h, columns, group, sum);
#pragma unroll
          for (int j = 0; j < kRun; ++j) {
            const int w = group * kRun + j;
            if (w < width) AtomicAdd<V>(target + w * problem.channels, sum[j]);
          }
        }
      }
      __syncthreads();
    }
  }
}

// What GatherKernel needs to know about each RoI, computed once.
struct RoiWindow {
  Roi roi;
  PixelRange y;
  PixelRange x;
};

__global__ void WindowKernel(const __grid_constant__ RoiAlignProblem problem, const float* __restrict__ boxes,
                             const int32_t* __restrict__ image_index, RoiWindow* __restrict__ windows) {
  const int64_t r = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= problem.rois) return;
  RoiWindow window;
  window.roi = MakeRoi(problem, boxes, image_index, r);
  window.y = TouchedPixels(window.roi.y, problem.output_size);
  window.x = TouchedPixels(window.roi.x, problem.output_size);
  windows[r] = window;
}

// Writes those of the RoIs [begin, begin + threads) that touch the tile to `list`, in their order; returns how many.
// `warp_counts` is shared memory for one number per warp; the number of threads is a multiple of 32.
__device__ int ListRois(const RoiAlignProblem& problem, const RoiWindow* __restrict__ windows, int64_t begin,
                        int level, int image, int top, int left, int thread, int threads, int* warp_counts,
                        int* list) {
  const int64_t r = begin + thread;
  bool touches = false;
  if (r < problem.rois) {
    const RoiWindow& window = windows[r];
    touches = window.roi.level == level && window.roi.image == image && window.y.first < top + kGatherTile &&
              window.y.last >= top && window.x.first < left + kGatherTile && window.x.last >= left;
  }
  int total;
  const int before = BlockRank(touches, thread, threads, warp_counts, &total);
  if (touches) list[before] = static_cast<int>(r);
  __syncthreads();
  return total;
}

// Shared memory: for each RoI of a batch the weights of rows [P][4] and of columns [P][4], then the first and last bins
// of its rows [4] and of its only group of columns.
template <typename T, int V>
__global__ void __launch_bounds__(kThreads)
    GatherKernel(const __grid_constant__ RoiAlignProblem problem, const T* __restrict__ pooled_gradient,
                 const RoiWindow* __restrict__ windows, int level, int batch, T* __restrict__ gradient) {
  AWSDET_DYNAMIC_SHARED(float, memory);
  __shared__ int warp_counts[kThreads / 32];
  __shared__ int list[kThreads];
  const int bins = problem.output_size, bin_floats = 2 * bins * kGatherTile;
  int* const ints = reinterpret_cast<int*>(memory + batch * bin_floats);
  const auto rows_of = [&](int b) {
    int* const own = ints + b * (2 * kGatherTile + 2);
    return AxisWeights{memory + b * bin_floats, kGatherTile, own, own + kGatherTile};
  };
  const auto columns_of = [&](int b) {
    int* const own = ints + b * (2 * kGatherTile + 2) + 2 * kGatherTile;
    return AxisWeights{memory + b * bin_floats + bins * kGatherTile, kGatherTile, own, own + 1};
  };

  const int height = problem.height[level], width = problem.width[level];
  const int tiles_across = (width + kGatherTile - 1) / kGatherTile;
  const int tiles_down = (height + kGatherTile - 1) / kGatherTile;
  const int left = static_cast<int>(blockIdx.x % tiles_across) * kGatherTile;
  const int top = static_cast<int>(blockIdx.x / tiles_across % tiles_down) * kGatherTile;
  const int image = static_cast<int>(blockIdx.x / tiles_across / tiles_down);
  const int64_t channels = problem.channels;
  const int channel = (blockIdx.y * blockDim.x + threadIdx.x) * V;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;

  float sum[kRun][V] = {};
  for (int64_t begin = 0; begin < problem.rois; begin += threads) {
    const int count = ListRois(problem, windows, begin, level, image, top, left, thread, threads, warp_counts, list);
    for (int done = 0; done < count; done += batch) {
      const int now = min(batch, count - done);
      for (int b = 0; b < now; ++b) ClearGroups(rows_of(b), kGatherTile, thread, threads);
      for (int b = 0; b < now; ++b) ClearGroups(columns_of(b), 1, thread, threads);
      __syncthreads();
      for (int i = thread; i < now * 2 * bins; i += threads) {
        const int b = i / (2 * bins), bin = i % (2 * bins);
        const Roi& roi = windows[list[done + b]].roi;
        if (bin < bins) {
          FillBin(roi.y, bin, top, kGatherTile, 1, rows_of(b));
        } else {
          FillBin(roi.x, bin - bins, left, kGatherTile, kRun, columns_of(b));
        }
      }
      __syncthreads();
      for (int b = 0; b < now && channel < channels; ++b) {
        const T* const source = pooled_gradient + list[done + b] * (bins * bins * channels) + channel;
        GatherRun<T, V>(source, bins, channels, rows_of(b), threadIdx.y, columns_of(b), 0, sum);
      }
      __syncthreads();
    }
  }
  const int row = top + threadIdx.y;
  if (row >= height || channel >= channels) return;
  T* const target = gradient + PixelOffset(problem, level, image, row, left) + channel;
#pragma unroll
  for (int j = 0; j < kRun; ++j) {
    if (left + j < width) Store<T, V>(target + j * channels, sum[j]);
  }
}

template <typename T>
__global__ void ConvertKernel(const float* __restrict__ from, int64_t count, T* __restrict__ to) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    to[i] = FromFloat<T>(from[i]);
  }
}

// In the workspace, the float32 sums of each level begin at a multiple of 16 bytes.
int64_t PaddedElements(const RoiAlignProblem& problem, int level) {
  return (MapElements(problem, level) + 3) / 4 * 4;
}

template <typename T, int V>
cudaError_t Scatter(const RoiAlignProblem& problem, const void* pooled_gradient, const float* boxes,
                    const int32_t* image_index, void* const* pyramid_gradient, void* workspace, cudaStream_t stream) {
  constexpr bool kInPlace = std::is_same_v<T, float>;
  Pyramid<float> sums{};
  float* next = static_cast<float*>(workspace);
  for (int level = 0; level < problem.num_levels; ++level) {
    sums.map[level] = kInPlace ? static_cast<float*>(pyramid_gradient[level]) : next;
    next += PaddedElements(problem, level);
    const size_t bytes = MapElements(problem, level) * sizeof(float);
    if (bytes > 0) AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(sums.map[level], 0, bytes, stream));
  }
  if (problem.rois > 0 && problem.channels > 0) {
    // As many pixels as fit into 48 KB: 32 x 32 for up to 169 bins per side.
    int tile = kScatterTile;
    const auto shared = [&] {
      return (2 * problem.output_size * AxisWeights::Stride(tile) + 2 * (tile + tile / kRun)) * sizeof(float);
    };
    while (tile > kRun && shared() > 48 * 1024) tile /= 2;
    const BlockShape shape = MakeBlockShape(problem.channels, V, kScatterTile, kThreads);
    AWSDET_RETURN_IF_ERROR(Launch(ScatterKernel<T, V>, dim3(static_cast<unsigned>(problem.rois), shape.slabs),
                                  shape.threads, shared(), stream, problem, static_cast<const T*>(pooled_gradient),
                                  boxes, image_index, tile, sums));
  }
  for (int level = 0; level < problem.num_levels && !kInPlace; ++level) {
    const int64_t count = MapElements(problem, level);
    if (count == 0) continue;
    const unsigned blocks = static_cast<unsigned>(std::min<int64_t>((count + 255) / 256, 1 << 16));
    AWSDET_RETURN_IF_ERROR(Launch(ConvertKernel<T>, dim3(blocks), dim3(256), 0, stream, sums.map[level], count,
                                  static_cast<T*>(pyramid_gradient[level])));
  }
  return cudaSuccess;
}

template <typename T, int V>
cudaError_t Gather(const RoiAlignProblem& problem, const void* pooled_gradient, const float* boxes,
                   const int32_t* image_index, void* const* pyramid_gradient, void* workspace, cudaStream_t stream) {
  RoiWindow* const windows = static_cast<RoiWindow*>(workspace);
  if (problem.rois > 0) {
    const unsigned blocks = static_cast<unsigned>((problem.rois + 127) / 128);
    AWSDET_RETURN_IF_ERROR(
        Launch(WindowKernel, dim3(blocks), dim3(128), 0, stream, problem, boxes, image_index, windows));
  }
  const BlockShape shape = MakeBlockShape(problem.channels, V, kGatherTile, kThreads);
  const int batch = std::max(1, std::min(kGatherBatch, kMaxOutputSize / problem.output_size));
  const size_t shared_bytes =
      batch * (2 * problem.output_size * kGatherTile + 2 * kGatherTile + 2) * sizeof(float);
  for (int level = 0; level < problem.num_levels; ++level) {
    if (MapElements(problem, level) == 0) continue;
    const int64_t across = (problem.width[level] + kGatherTile - 1) / kGatherTile;
    const int64_t down = (problem.height[level] + kGatherTile - 1) / kGatherTile;
    const int64_t tiles = across * down * problem.images;
    if (tiles > INT32_MAX) return cudaErrorInvalidValue;
    AWSDET_RETURN_IF_ERROR(Launch(GatherKernel<T, V>, dim3(static_cast<unsigned>(tiles), shape.slabs), shape.threads,
                                  shared_bytes, stream, problem, static_cast<const T*>(pooled_gradient), windows,
                                  level, batch, static_cast<T*>(pyramid_gradient[level])));
  }
  return cudaSuccess;
}

template <typename T>
cudaError_t Run(const RoiAlignProblem& problem, const void* pooled_gradient, const float* boxes,
                const int32_t* image_index, void* const* pyramid_gradient, void* workspace, bool deterministic,
                cudaStream_t stream) {
  constexpr int V = kWidest<T>;
  const bool vector = CanVectorise<T>(problem, pyramid_gradient, pooled_gradient);
  const auto run = deterministic ? (vector ? Gather<T, V> : Gather<T, 1>) : (vector ? Scatter<T, V> : Scatter<T, 1>);
  return run(problem, pooled_gradient, boxes, image_index, pyramid_gradient, workspace, stream);
}

}  // namespace

size_t RoiAlignGradWorkspaceSize(DataType type, const RoiAlignProblem& problem, bool deterministic) {
  if (!IsValid(problem)) return 0;
  if (deterministic) return static_cast<size_t>(problem.rois) * sizeof(RoiWindow);
  if (type == DataType::kFloat) return 0;
  int64_t elements = 0;
  for (int level = 0; level < problem.num_levels; ++level) elements += PaddedElements(problem, level);
  return static_cast<size_t>(elements) * sizeof(float);
}

cudaError_t RoiAlignGrad(DataType type, const RoiAlignProblem& problem, const void* pooled_gradient,
                         const float* boxes, const int32_t* image_index, void* const* pyramid_gradient,
                         void* workspace, bool deterministic, cudaStream_t stream) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  switch (type) {
    case DataType::kFloat:
      return Run<float>(problem, pooled_gradient, boxes, image_index, pyramid_gradient, workspace, deterministic,
                        stream);
    case DataType::kHalf:
      return Run<__half>(problem, pooled_gradient, boxes, image_index, pyramid_gradient, workspace, deterministic,
                         stream);
    case DataType::kBFloat16:
      return Run<__nv_bfloat16>(problem, pooled_gradient, boxes, image_index, pyramid_gradient, workspace,
                                deterministic, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace awsdet::cuda
