// Matching on an NVIDIA GPU: a launcher that takes device pointers and a stream.
//
// The rule and the result are exactly those of kernels/match.h. These functions do not wait for the GPU.
#ifndef AWSDET_CUDA_MATCH_H_
#define AWSDET_CUDA_MATCH_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/match.h"

namespace awsdet::cuda {

// How many bytes of device memory Match needs as its workspace: 4 per object.
size_t MatchWorkspaceSize(const MatchInput& input);

// All pointers of `input` and `matches` are device memory. Returns cudaErrorInvalidValue if a size is too large: there
// are at most 65535 images, and candidates and objects of an image are below 2^31 together.
cudaError_t Match(const MatchInput& input, const MatchRule& rule, void* workspace, const Matches& matches,
                  cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_MATCH_H_
