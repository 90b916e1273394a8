// What the operators' GPU kernels share: they connect TensorFlow and the CUDA launchers.
#ifndef AWSDET_TENSORFLOW_GPU_H_
#define AWSDET_TENSORFLOW_GPU_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <type_traits>

#include "cuda/data_type.h"
#include "tensorflow/core/platform/stream_executor.h"
#include "tensorflow/op.h"

namespace awsdet {

// TensorFlow's type as the launchers name it.
template <typename T>
constexpr cuda::DataType kDataType = std::is_same_v<T, float>         ? cuda::DataType::kFloat
                                     : std::is_same_v<T, Eigen::half> ? cuda::DataType::kHalf
                                                                      : cuda::DataType::kBFloat16;

// The CUDA stream on which TensorFlow runs this operator.
inline cudaStream_t CudaStream(OpKernelContext* context) {
  auto* stream = context->op_device_context()->stream();
  return static_cast<cudaStream_t>(stream->platform_specific_handle().stream);
}

// `what`: name of the operator, for the error text.
inline Status FromCuda(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return OkStatus();
  return tensorflow::errors::Internal(what, " on the GPU: ", cudaGetErrorString(error));
}

// Allocates device memory that lives until the operator's kernels are done. `bytes` may be 0.
inline Status AllocateWorkspace(OpKernelContext* context, size_t bytes, Tensor* workspace) {
  return context->allocate_temp(tensorflow::DT_INT8, TensorShape({static_cast<int64_t>(bytes)}), workspace);
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_GPU_H_
