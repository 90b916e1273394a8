// The windows of 3 x 3 cells around sampled anchors on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// Symbols: B images, S samples per image, L levels of [B, height, width, C], A anchors per cell. anchors: int32 [B, S],
// numbered as in kernels/cell_windows_rule.h. windows: [B, S, 9, C]. Every pointer is device memory, aligned to its
// element type (to 16 bytes for the fast path). These functions do not wait for the GPU.
#ifndef AWSDET_CUDA_CELL_WINDOWS_H_
#define AWSDET_CUDA_CELL_WINDOWS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/data_type.h"
#include "kernels/cell_windows_rule.h"

namespace awsdet::cuda {

struct CellWindowsProblem {
  int64_t images;
  int64_t samples;   // per image
  int64_t channels;  // of a cell
  CellGrid grid;
};

// Copies the windows, with zeros beyond the border of a level, and fills chosen [B, S, A]: true for the anchor itself
// among those of its cell. The window of an anchor that does not exist is zeros, and none of its cell is chosen.
// Returns cudaErrorInvalidValue if a size is negative or above the limits.
cudaError_t CellWindows(DataType type, const CellWindowsProblem& problem, const void* const* pyramid,
                        const int32_t* anchors, void* windows, bool* chosen, cudaStream_t stream);

// The gradient of every level from that of the windows; overwrites pyramid_gradient. A cell in several windows gets
// their sum, added in float32 in the order of the samples and rounded once, without atomic additions: the same bits as
// on the CPU.
cudaError_t CellWindowsGrad(DataType type, const CellWindowsProblem& problem, const void* windows_gradient,
                            const int32_t* anchors, void* const* pyramid_gradient, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_CELL_WINDOWS_H_
