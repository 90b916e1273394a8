// The anchors of a feature pyramid on an NVIDIA GPU: a launcher that takes device pointers and a stream.
#ifndef AWSDET_CUDA_ANCHORS_H_
#define AWSDET_CUDA_ANCHORS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/anchors.h"

namespace awsdet::cuda {

// The same as in kernels/anchors.h, with device pointers. It does not wait for the GPU.
cudaError_t Anchors(const AnchorProblem& problem, const int32_t* image_size, int64_t images, float* boxes, bool* valid,
                    cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_ANCHORS_H_
