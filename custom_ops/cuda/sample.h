// Sampling on an NVIDIA GPU: a launcher that takes device pointers and a stream.
//
// The result is that of kernels/sample.h, but for the rounding of the logarithm. If the object of a positive does not
// exist, it gets the label of the background and zeros. It does not wait for the GPU.
#ifndef AWSDET_CUDA_SAMPLE_H_
#define AWSDET_CUDA_SAMPLE_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/sample.h"

namespace awsdet::cuda {

constexpr int64_t kMaxSampleSize = 4096;  // the candidates of an image are sorted in shared memory

// All pointers are device memory. Returns cudaErrorInvalidValue if a size is negative or too large.
cudaError_t Sample(const SampleInput& input, const SampleRule& rule, const Samples& samples, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_SAMPLE_H_
