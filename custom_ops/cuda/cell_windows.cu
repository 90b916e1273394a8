// Windows of 3 x 3 cells on the GPU: one block per sample, one row of its threads per cell of the window.
#include "cuda/cell_windows.h"

#include <algorithm>

#include "cuda/block.h"
#include "cuda/for_type.h"
#include "cuda/vector.h"

namespace awsdet::cuda {
namespace {

constexpr int kAcross = 64;                       // at most so many threads for the channels of a cell
constexpr int kThreads = kWindowCells * kAcross;  // a multiple of 32
constexpr int64_t kMostChannels = 1 << 18;

template <typename T>
struct Maps {
  T* level[kMaxWindowLevels];
};

// The place of cell (row, column) in a map: its first channel.
__device__ __forceinline__ int64_t CellOffset(const CellWindowsProblem& problem, int64_t image, int level, int row,
                                              int column) {
  const CellGrid& grid = problem.grid;
  return ((image * grid.height[level] + row) * grid.width[level] + column) * problem.channels;
}

__device__ __forceinline__ bool IsInside(const CellGrid& grid, int level, int row, int column) {
  return row >= 0 && row < grid.height[level] && column >= 0 && column < grid.width[level];
}

template <typename T, int V>
__device__ __forceinline__ void Read(const T* __restrict__ address, float (&values)[V]) {
  const Pack<T, V> pack = Load<T, V>(address);
#pragma unroll
  for (int v = 0; v < V; ++v) values[v] = ToFloat(pack.element[v]);
}

template <typename T, int V>
__global__ void __launch_bounds__(kThreads)
    CellWindowsKernel(const __grid_constant__ CellWindowsProblem problem, const __grid_constant__ Maps<const T> maps,
                      const int32_t* __restrict__ anchors, T* __restrict__ windows, bool* __restrict__ chosen) {
  const int64_t sample = blockIdx.x;
  const int32_t anchor = anchors[sample];
  const Cell cell = CellOfAnchor(problem.grid, anchor);
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  if (blockIdx.y == 0) {
    const int per_cell = problem.grid.anchors_per_cell;
    for (int a = thread; a < per_cell; a += blockDim.x * blockDim.y) {
      chosen[sample * per_cell + a] = cell.level >= 0 && a == anchor % per_cell;
    }
  }
  const int64_t channel = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * V;
  if (channel >= problem.channels) return;
  const int offset = threadIdx.y;
  const int row = cell.row + offset / 3 - 1, column = cell.column + offset % 3 - 1;
  T* const result = windows + (sample * kWindowCells + offset) * problem.channels + channel;
  float values[V] = {};
  if (cell.level >= 0 && IsInside(problem.grid, cell.level, row, column)) {
    const int64_t place = CellOffset(problem, sample / problem.samples, cell.level, row, column) + channel;
    Read<T, V>(maps.level[cell.level] + place, values);
  }
  Store<T, V>(result, values);
}

// A sample of the same image whose window may cover cells of the block's own.
struct Neighbour {
  int sample;
  int row, column;
};

// A cell is written by the block of the first sample whose window covers it. That block adds the later samples' parts.
template <typename T, int V>
__global__ void __launch_bounds__(kThreads)
    CellWindowsGradKernel(const __grid_constant__ CellWindowsProblem problem, const __grid_constant__ Maps<T> maps,
                          const int32_t* __restrict__ anchors, const T* __restrict__ windows_gradient) {
  __shared__ Neighbour neighbours[kThreads];
  __shared__ int warp_counts[kThreads / 32];
  const int samples = static_cast<int>(problem.samples);
  const int64_t image = blockIdx.x / samples;
  const int own = static_cast<int>(blockIdx.x % samples);
  const int32_t* const of_image = anchors + image * samples;
  const Cell cell = CellOfAnchor(problem.grid, of_image[own]);
  if (cell.level < 0) return;  // the whole block
  const int offset = threadIdx.y;
  const int row = cell.row + offset / 3 - 1, column = cell.column + offset % 3 - 1;
  const int64_t channel = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * V;
  bool writes = channel < problem.channels && IsInside(problem.grid, cell.level, row, column);
  const T* const gradient = windows_gradient + image * samples * kWindowCells * problem.channels + channel;
  float sum[V] = {};
  if (writes) Read<T, V>(gradient + (static_cast<int64_t>(own) * kWindowCells + offset) * problem.channels, sum);

  const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  for (int begin = 0; begin < samples; begin += threads) {
    const int sample = begin + thread;
    const bool exists = sample < samples && sample != own;
    const Cell other = exists ? CellOfAnchor(problem.grid, of_image[sample]) : Cell{-1, 0, 0};
    const int down = other.row - cell.row, right = other.column - cell.column;
    const bool near = other.level == cell.level && abs(down) <= 2 && abs(right) <= 2;
    int count;
    const int place = BlockRank(near, thread, threads, warp_counts, &count);
    if (near) neighbours[place] = {sample, other.row, other.column};
    __syncthreads();
    for (int i = 0; writes && i < count; ++i) {
      const Neighbour& neighbour = neighbours[i];
      const int dy = row - neighbour.row + 1, dx = column - neighbour.column + 1;
      if (dy < 0 || dy > 2 || dx < 0 || dx > 2) continue;
      if (neighbour.sample < own) {
        writes = false;
      } else {
        const int64_t part = static_cast<int64_t>(neighbour.sample) * kWindowCells + dy * 3 + dx;
        AddScaled<T, V>(gradient + part * problem.channels, 1.0f, sum);
      }
    }
    __syncthreads();
  }
  if (writes) Store<T, V>(maps.level[cell.level] + CellOffset(problem, image, cell.level, row, column) + channel, sum);
}

bool IsValid(const CellWindowsProblem& problem) {
  const CellGrid& grid = problem.grid;
  if (grid.levels < 1 || grid.levels > kMaxWindowLevels || grid.anchors_per_cell < 1) return false;
  if (problem.images < 0 || problem.samples < 0 || problem.channels < 0) return false;
  if (problem.images > INT32_MAX || problem.samples > INT32_MAX - kThreads || problem.channels > kMostChannels) {
    return false;
  }
  if (problem.images * problem.samples > INT32_MAX) return false;
  for (int level = 0; level < grid.levels; ++level) {
    if (grid.height[level] < 0 || grid.width[level] < 0) return false;
  }
  return true;
}

struct Shape {
  dim3 grid, threads;
};

Shape ShapeOf(const CellWindowsProblem& problem, int vector) {
  const int64_t groups = std::max<int64_t>(1, (problem.channels + vector - 1) / vector);
  const unsigned across = groups <= 32 ? 32 : kAcross;
  const unsigned slabs = static_cast<unsigned>((groups + across - 1) / across);
  return {dim3(static_cast<unsigned>(problem.images * problem.samples), slabs), dim3(across, kWindowCells)};
}

template <typename T, int V>
cudaError_t RunForward(const CellWindowsProblem& problem, const void* const* pyramid, const int32_t* anchors,
                       void* windows, bool* chosen, cudaStream_t stream) {
  Maps<const T> maps{};
  for (int level = 0; level < problem.grid.levels; ++level) maps.level[level] = static_cast<const T*>(pyramid[level]);
  const Shape shape = ShapeOf(problem, V);
  return Launch(CellWindowsKernel<T, V>, shape.grid, shape.threads, 0, stream, problem, maps, anchors,
                static_cast<T*>(windows), chosen);
}

template <typename T, int V>
cudaError_t RunGrad(const CellWindowsProblem& problem, const void* windows_gradient, const int32_t* anchors,
                    void* const* pyramid_gradient, cudaStream_t stream) {
  Maps<T> maps{};
  for (int level = 0; level < problem.grid.levels; ++level) {
    maps.level[level] = static_cast<T*>(pyramid_gradient[level]);
  }
  const Shape shape = ShapeOf(problem, V);
  return Launch(CellWindowsGradKernel<T, V>, shape.grid, shape.threads, 0, stream, problem, maps, anchors,
                static_cast<const T*>(windows_gradient));
}

// Whether channels can be read and written 16 bytes at a time.
template <typename T>
bool CanVectorise(const CellWindowsProblem& problem, const void* const* pyramid, const void* windows) {
  bool can = problem.channels % kWidest<T> == 0 && Aligned16(windows);
  for (int level = 0; level < problem.grid.levels; ++level) can = can && Aligned16(pyramid[level]);
  return can;
}

template <typename T>
cudaError_t Forward(const CellWindowsProblem& problem, const void* const* pyramid, const int32_t* anchors,
                    void* windows, bool* chosen, cudaStream_t stream) {
  const auto run = CanVectorise<T>(problem, pyramid, windows) ? RunForward<T, kWidest<T>> : RunForward<T, 1>;
  return run(problem, pyramid, anchors, windows, chosen, stream);
}

template <typename T>
cudaError_t Grad(const CellWindowsProblem& problem, const void* windows_gradient, const int32_t* anchors,
                 void* const* pyramid_gradient, cudaStream_t stream) {
  // Zeros first: the windows cover few of the cells.
  for (int level = 0; level < problem.grid.levels; ++level) {
    const int64_t cells = problem.images * problem.grid.height[level] * problem.grid.width[level];
    const size_t bytes = static_cast<size_t>(cells * problem.channels) * sizeof(T);
    if (bytes > 0) AWSDET_RETURN_IF_ERROR(cudaMemsetAsync(pyramid_gradient[level], 0, bytes, stream));
  }
  if (problem.images * problem.samples == 0 || problem.channels == 0) return cudaSuccess;
  const bool wide = CanVectorise<T>(problem, pyramid_gradient, windows_gradient);
  const auto run = wide ? RunGrad<T, kWidest<T>> : RunGrad<T, 1>;
  return run(problem, windows_gradient, anchors, pyramid_gradient, stream);
}

}  // namespace

cudaError_t CellWindows(DataType type, const CellWindowsProblem& problem, const void* const* pyramid,
                        const int32_t* anchors, void* windows, bool* chosen, cudaStream_t stream) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  if (problem.images * problem.samples == 0) return cudaSuccess;
  return ForType(type, [&](auto element) {
    return Forward<decltype(element)>(problem, pyramid, anchors, windows, chosen, stream);
  });
}

cudaError_t CellWindowsGrad(DataType type, const CellWindowsProblem& problem, const void* windows_gradient,
                            const int32_t* anchors, void* const* pyramid_gradient, cudaStream_t stream) {
  if (!IsValid(problem)) return cudaErrorInvalidValue;
  return ForType(type, [&](auto element) {
    return Grad<decltype(element)>(problem, windows_gradient, anchors, pyramid_gradient, stream);
  });
}

}  // namespace awsdet::cuda
