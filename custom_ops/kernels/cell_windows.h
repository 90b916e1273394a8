// The windows of 3 x 3 cells around sampled anchors of a feature pyramid, and their gradient, on the CPU.
//
// Symbols: B images, L levels of [B, H_l, W_l, C], A anchors per cell, S sampled anchors per image.
#ifndef AWSDET_KERNELS_CELL_WINDOWS_H_
#define AWSDET_KERNELS_CELL_WINDOWS_H_

#include <cstdint>
#include <vector>

#include "kernels/cell_windows_rule.h"
#include "kernels/low_precision.h"
#include "kernels/parallel.h"

namespace awsdet {

// The sampled anchors, numbered through all levels of their image. Each must exist in `grid`.
struct SampledAnchors {
  const int32_t* index;  // [B, S]
  int64_t images, samples;
  CellGrid grid;
};

// Copies windows [B, S, 9, C], with zeros beyond the border of a level, from `pyramid`, whose cells have `cell_bytes`
// bytes (C values). Fills chosen [B, S, A]: true for the anchor itself among those of its cell.
void CellWindows(const std::vector<const void*>& pyramid, int64_t cell_bytes, const SampledAnchors& anchors,
                 const ParallelFor& parallel, void* windows, bool* chosen);

// Computes the gradient of every level from that of the windows [B, S, 9, C], and overwrites `pyramid` with it. A cell
// in several windows gets their sum, added in float32 in the order of the samples and rounded once. The result is the
// same bit for bit for any number of threads.
template <typename T>
void CellWindowsGrad(const T* windows_gradient, const std::vector<T*>& pyramid, int64_t channels,
                     const SampledAnchors& anchors, const ParallelFor& parallel);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_CELL_WINDOWS_H_
