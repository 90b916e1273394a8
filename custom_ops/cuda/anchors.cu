#include "cuda/anchors.h"

#include "cuda/launch.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 256;

// One thread per anchor.
__global__ void __launch_bounds__(kThreads)
    AnchorsKernel(const __grid_constant__ AnchorProblem problem, const int32_t* __restrict__ image_size,
                  int64_t images, float* __restrict__ boxes, bool* __restrict__ valid) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, count = problem.Count();
  if (i >= count) return;
  int32_t level = 0;
  while (i >= problem.first[level + 1]) ++level;
  const Anchor anchor = AnchorAt(problem, level, i);
  boxes[4 * i] = anchor.box.x1;
  boxes[4 * i + 1] = anchor.box.y1;
  boxes[4 * i + 2] = anchor.box.x2;
  boxes[4 * i + 3] = anchor.box.y2;
  for (int64_t image = 0; image < images; ++image) {
    valid[image * count + i] = AnchorIsValid(problem, anchor, image_size[2 * image], image_size[2 * image + 1]);
  }
}

}  // namespace

cudaError_t Anchors(const AnchorProblem& problem, const int32_t* image_size, int64_t images, float* boxes, bool* valid,
                    cudaStream_t stream) {
  const int64_t count = problem.Count();
  if (images < 0 || count < 0 || count > INT32_MAX) return cudaErrorInvalidValue;
  if (count == 0) return cudaSuccess;
  return Launch(AnchorsKernel, dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads)), dim3(kThreads), 0,
                stream, problem, image_size, images, boxes, valid);
}

}  // namespace awsdet::cuda
