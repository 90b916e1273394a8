// Counting within a block of threads.
#ifndef AWSDET_CUDA_BLOCK_H_
#define AWSDET_CUDA_BLOCK_H_

#include "cuda/launch.h"

namespace awsdet::cuda {

// Returns how many of the block's threads before this one have the flag; `total` gets how many of all threads have it.
// Every thread of the block calls it. The number of threads is a multiple of 32, and `warp_counts` is shared memory for
// one number per warp.
__device__ __forceinline__ int BlockRank(bool flag, int thread, int threads, int* warp_counts, int* total) {
  const unsigned votes = __ballot_sync(0xffffffffu, flag);
  const int warp = thread / 32;
  if (thread % 32 == 0) warp_counts[warp] = __popc(votes);
  __syncthreads();
  int before = __popc(votes & ((1u << (thread % 32)) - 1));
  *total = 0;
  for (int w = 0; w < threads / 32; ++w) {
    if (w < warp) before += warp_counts[w];
    *total += warp_counts[w];
  }
  __syncthreads();
  return before;
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_BLOCK_H_
