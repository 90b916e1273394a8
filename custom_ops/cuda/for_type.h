// How launchers choose the code for an element type.
#ifndef AWSDET_CUDA_FOR_TYPE_H_
#define AWSDET_CUDA_FOR_TYPE_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include "cuda/data_type.h"

namespace awsdet::cuda {

// Returns function(element) for some element of the type; only its C++ type counts.
template <typename Function>
cudaError_t ForType(DataType type, const Function& function) {
  switch (type) {
    case DataType::kFloat:
      return function(float{});
    case DataType::kHalf:
      return function(__half{});
    case DataType::kBFloat16:
      return function(__nv_bfloat16{});
  }
  return cudaErrorInvalidValue;
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_FOR_TYPE_H_
