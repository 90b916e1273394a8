// The gradient of RoIAlign on the GPU.
//
// The gradient of a feature pixel is a sum over the RoIs and bins that touch it: the gradient of the bin, times the
// weights that the bin has for the pixel's row and column. Both kernels below work on a tile of pixels and take one RoI
// after the other: they write the weights of the tile's rows and columns to shared memory, then each thread sums a run
// of kRun pixels of one row, for its channels.
//   ScatterKernel  one block per RoI; one atomic addition per pixel, RoI and channel, however many bins touch the pixel
//   GatherKernel   one block per tile of the map; adds the RoIs in their order, stores each pixel once; deterministic
// Atomic additions need sums in float32. So half and bfloat16, whose sums would be a copy of the whole pyramid in
// float32, are always gathered; float32 only if the result must be deterministic.
#include "cuda/block.h"
#include "cuda/for_type.h"
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
template <int V>
__global__ void __launch_bounds__(kThreads, 3)
    ScatterKernel(const __grid_constant__ RoiAlignProblem problem, const float* __restrict__ pooled_gradient,
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
  const float* const source = pooled_gradient + r * bins * bins * problem.channels + channel;
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
          GatherRun<float, V>(source, bins, problem.channels, rows, h, columns, group, sum);
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

// Which pixels of which map a RoI touches: what a tile reads of every RoI of its image.
struct RoiExtent {
  int32_t level;
  int32_t image;
  PixelRange y;
  PixelRange x;
};

// The RoIs of an image are among [first, ~after): all of them, and no others if the RoIs are in the order of the images.
// Both are minima, of indices and of their complements, and begin as the largest number.
struct RoiRange {
  unsigned first;
  unsigned after;
};

// What GatherKernel needs to know about the RoIs, computed once. Lies in the workspace.
struct RoiWindows {
  Roi* rois;
  RoiExtent* extents;
  RoiRange* ranges;  // of each image

  static size_t Size(const RoiAlignProblem& problem) {
    return problem.rois * (sizeof(Roi) + sizeof(RoiExtent)) + problem.images * sizeof(RoiRange);
  }
  RoiWindows(const RoiAlignProblem& problem, void* workspace)
      : rois(static_cast<Roi*>(workspace)),
        extents(reinterpret_cast<RoiExtent*>(rois + problem.rois)),
        ranges(reinterpret_cast<RoiRange*>(extents + problem.rois)) {}
};

__global__ void WindowKernel(const __grid_constant__ RoiAlignProblem problem, const float* __restrict__ boxes,
                             const int32_t* __restrict__ image_index, const __grid_constant__ RoiWindows windows) {
  const int64_t r = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= problem.rois) return;
  const Roi roi = MakeRoi(problem, boxes, image_index, r);
  windows.rois[r] = roi;
  windows.extents[r] = {roi.level, roi.image, TouchedPixels(roi.y, problem.output_size),
                        TouchedPixels(roi.x, problem.output_size)};
  if (roi.image < 0) return;
  RoiRange& range = windows.ranges[roi.image];
  atomicMin(&range.first, static_cast<unsigned>(r));
  atomicMin(&range.after, ~static_cast<unsigned>(r + 1));
}

// The tiles of all levels, one after the other, and those of a level image by image.
struct GatherTiles {
  unsigned before[kMaxLevels + 1];  // tiles of finer levels
};

struct Tile {
  int level;
  int image;
  int top;
  int left;
};

inline int TilesAlong(int extent) { return (extent + kGatherTile - 1) / kGatherTile; }

__device__ __forceinline__ Tile TileOfBlock(const RoiAlignProblem& problem, const GatherTiles& tiles, unsigned block) {
  int level = 0;
  while (block >= tiles.before[level + 1]) ++level;
  const unsigned across = (problem.width[level] + kGatherTile - 1) / kGatherTile;
  const unsigned down = (problem.height[level] + kGatherTile - 1) / kGatherTile;
  const unsigned index = block - tiles.before[level];
  return {level, static_cast<int>(index / across / down), static_cast<int>(index / across % down) * kGatherTile,
          static_cast<int>(index % across) * kGatherTile};
}

// Writes those of the RoIs [begin, end) that touch the tile to `list`, in their order; returns how many. At most one RoI
// per thread is looked at. `warp_counts` is shared memory for one number per warp; the number of threads is a multiple
// of 32.
__device__ int ListRois(const RoiExtent* __restrict__ extents, int64_t begin, int64_t end, const Tile& tile, int thread,
                        int threads, int* warp_counts, int* list) {
  const int64_t r = begin + thread;
  bool touches = false;
  if (r < end) {
    const RoiExtent extent = extents[r];
    touches = extent.level == tile.level && extent.image == tile.image && extent.y.first < tile.top + kGatherTile &&
              extent.y.last >= tile.top && extent.x.first < tile.left + kGatherTile && extent.x.last >= tile.left;
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
                 const __grid_constant__ RoiWindows windows, const __grid_constant__ GatherTiles tiles, int batch,
                 const __grid_constant__ Pyramid<T> gradient) {
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

  const Tile tile = TileOfBlock(problem, tiles, blockIdx.x);
  const int64_t channels = problem.channels;
  const int channel = (blockIdx.y * blockDim.x + threadIdx.x) * V;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;

  float sum[kRun][V] = {};
  const RoiRange range = windows.ranges[tile.image];
  const int64_t end = ~range.after;
  for (int64_t begin = range.first; begin < end; begin += threads) {
    const int count = ListRois(windows.extents, begin, end, tile, thread, threads, warp_counts, list);
    for (int done = 0; done < count; done += batch) {
      const int now = min(batch, count - done);
      for (int b = 0; b < now; ++b) ClearGroups(rows_of(b), kGatherTile, thread, threads);
      for (int b = 0; b < now; ++b) ClearGroups(columns_of(b), 1, thread, threads);
      __syncthreads();
      for (int i = thread; i < now * 2 * bins; i += threads) {
        const int b = i / (2 * bins), bin = i % (2 * bins);
        const Roi& roi = windows.rois[list[done + b]];
        if (bin < bins) {
          FillBin(roi.y, bin, tile.top, kGatherTile, 1, rows_of(b));
        } else {
          FillBin(roi.x, bin - bins, tile.left, kGatherTile, kRun, columns_of(b));
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
  const int row = tile.top + threadIdx.y;
  if (row >= problem.height[tile.level] || channel >= channels) return;
  T* const target = gradient.map[tile.level] + PixelOffset(problem, tile.level, tile.image, row, tile.left) + channel;
#pragma unroll
  for (int j = 0; j < kRun; ++j) {
    if (tile.left + j < problem.width[tile.level]) Store<T, V>(target + j * channels, sum[j]);
  }
}

template <int V>
cudaError_t Scatter(const RoiAlignProblem& problem, const float* pooled_gradient, const float* boxes,
                    const int32_t* image_index, const Pyramid<float>& gradient, cudaStream_t stream) {
  for (int level = 0; level < problem.num_levels; ++level) {
    const size_t bytes = MapElements(problem, level) * sizeof(float);
    if (bytes > 0) AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(gradient.map[level], 0, bytes, stream));
  }
  if (problem.rois == 0 || problem.channels == 0) return cudaSuccess;
  // As many pixels as fit into 48 KB: 32 x 32 for up to 169 bins per side.
  int tile = kScatterTile;
  const auto shared = [&] {
    return (2 * problem.output_size * AxisWeights::Stride(tile) + 2 * (tile + tile / kRun)) * sizeof(float);
  };
  while (tile > kRun && shared() > 48 * 1024) tile /= 2;
  const BlockShape shape = MakeBlockShape(problem.channels, V, kScatterTile, kThreads);
  return Launch(ScatterKernel<V>, dim3(static_cast<unsigned>(problem.rois), shape.slabs), shape.threads, shared(),
                stream, problem, pooled_gradient, boxes, image_index, tile, gradient);
}

template <typename T, int V>
cudaError_t Gather(const RoiAlignProblem& problem, const T* pooled_gradient, const float* boxes,
                   const int32_t* image_index, const Pyramid<T>& gradient, void* workspace, cudaStream_t stream) {
  GatherTiles tiles{};
  int64_t count = 0;
  for (int level = 0; level < problem.num_levels; ++level) {
    count += problem.images * TilesAlong(problem.height[level]) * TilesAlong(problem.width[level]);
    if (count > INT32_MAX) return cudaErrorInvalidValue;
    tiles.before[level + 1] = static_cast<unsigned>(count);
  }
  if (count == 0 || problem.channels == 0) return cudaSuccess;
  const RoiWindows windows(problem, workspace);
  AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(windows.ranges, 0xff, problem.images * sizeof(RoiRange), stream));
  if (problem.rois > 0) {
    const unsigned blocks = static_cast<unsigned>((problem.rois + 127) / 128);
    AWSDET_RETURN_IF_ERROR(
        Launch(WindowKernel, dim3(blocks), dim3(128), 0, stream, problem, boxes, image_index, windows));
  }
  const BlockShape shape = MakeBlockShape(problem.channels, V, kGatherTile, kThreads);
  const int batch = std::max(1, std::min(kGatherBatch, kMaxOutputSize / problem.output_size));
  const size_t shared_bytes =
      batch * (2 * problem.output_size * kGatherTile + 2 * kGatherTile + 2) * sizeof(float);
  return Launch(GatherKernel<T, V>, dim3(static_cast<unsigned>(count), shape.slabs), shape.threads, shared_bytes,
                stream, problem, pooled_gradient, windows, tiles, batch, gradient);
}

template <typename T>
cudaError_t Run(const RoiAlignProblem& problem, const void* pooled_gradient, const float* boxes,
                const int32_t* image_index, void* const* pyramid_gradient, void* workspace, bool deterministic,
                cudaStream_t stream) {
  constexpr int V = kWidest<T>;
  const bool vector = CanVectorise<T>(problem, pyramid_gradient, pooled_gradient);
  const T* const source = static_cast<const T*>(pooled_gradient);
  Pyramid<T> gradient{};
  for (int level = 0; level < problem.num_levels; ++level) gradient.map[level] = static_cast<T*>(pyramid_gradient[level]);
  if constexpr (std::is_same_v<T, float>) {
    if (!deterministic) {
      const auto scatter = vector ? Scatter<V> : Scatter<1>;
      return scatter(problem, source, boxes, image_index, gradient, stream);
    }
  }
  const auto gather = vector ? Gather<T, V> : Gather<T, 1>;
  return gather(problem, source, boxes, image_index, gradient, workspace, stream);
}

}  // namespace

size_t RoiAlignGradWorkspaceSize(DataType type, const RoiAlignProblem& problem, bool deterministic) {
  if (!IsValid(problem) || (type == DataType::kFloat && !deterministic)) return 0;
  return RoiWindows::Size(problem);
}

cudaError_t RoiAlignGrad(DataType type, const RoiAlignProblem& problem, const void* pooled_gradient,
                         const float* boxes, const int32_t* image_index, void* const* pyramid_gradient,
                         void* workspace, bool deterministic, cudaStream_t stream) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  return ForType(type, [&](auto element) {
    return Run<decltype(element)>(problem, pooled_gradient, boxes, image_index, pyramid_gradient, workspace,
                                  deterministic, stream);
  });
}

}  // namespace awsdet::cuda
