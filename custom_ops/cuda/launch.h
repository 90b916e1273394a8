// How launchers start a kernel, and a few names that kernels need besides CUDA's own headers.
//
// The sources of the kernels are also compiled by a plain C++ compiler (tests/cuda_emulation.h), which runs one block
// after the other, so that their results can be tested without a GPU. Only these names differ then.
#ifndef AWSDET_CUDA_LAUNCH_H_
#define AWSDET_CUDA_LAUNCH_H_

#include <cuda_runtime_api.h>

#ifdef AWSDET_CUDA_EMULATION
#include "tests/cuda_emulation.h"
#else

#include <utility>

// The block's dynamic shared memory as an array of 16-byte aligned `type`.
#define AWSDET_DYNAMIC_SHARED(type, name)                        \
  extern __shared__ __align__(16) unsigned char name##_memory[]; \
  type* const name = reinterpret_cast<type*>(name##_memory)

namespace awsdet::cuda {

template <typename... Parameters, typename... Arguments>
cudaError_t Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   Arguments&&... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(std::forward<Arguments>(arguments)...);
  return cudaGetLastError();
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_EMULATION

// Returns from the launcher that uses it, with the error, if there is one.
#define AWSDET_RETURN_IF_ERROR(expression)                          \
  do {                                                              \
    const cudaError_t awsdet_error = (expression);                  \
    if (awsdet_error != cudaSuccess) return awsdet_error;           \
  } while (false)

#endif  // AWSDET_CUDA_LAUNCH_H_
