// One pass over many tensors at once on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// The rules are those of kernels/multi_tensor.h, with the same float32 and float64 operations in the same order, so the
// results are equal bit for bit (but for subnormal numbers, which TensorFlow's threads on the CPU set to zero). The
// pointers to the tensors go with the kernel as parameters, which are at most 4 KB: more tensors take more launches.
// These functions do not wait for the GPU.
#ifndef AWSDET_CUDA_MULTI_TENSOR_H_
#define AWSDET_CUDA_MULTI_TENSOR_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/multi_tensor.h"

namespace awsdet::cuda {

// learning_rate, factor, apply: device memory, read by the kernels. If *apply is false, nothing changes. One launch for
// 108 tensors.
cudaError_t SgdUpdate(const std::vector<SgdTensor>& tensors, const float* learning_rate, const float* factor,
                      const bool* apply, float momentum, float weight_decay, cudaStream_t stream);

// Update number ++*applied of AdamW. learning_rate, factor, apply, applied, correction: device memory. If *apply is
// false, nothing changes. correction is the workspace, one AdamwCorrection. One launch, and one for 75 tensors.
cudaError_t AdamwUpdate(const std::vector<AdamwTensor>& tensors, const AdamwSettings& settings,
                        const float* learning_rate, const float* factor, const bool* apply, int64_t* applied,
                        AdamwCorrection* correction, cudaStream_t stream);

// How many bytes of device memory GlobalNorm needs as its workspace.
size_t GlobalNormWorkspaceSize(const std::vector<ConstTensor>& tensors);

// The workspace is aligned to 8 bytes. One launch for 191 tensors, and one more.
cudaError_t GlobalNorm(const std::vector<ConstTensor>& tensors, void* workspace, float* norm, cudaStream_t stream);

// factor: device memory. One launch for 138 tensors.
cudaError_t Accumulate(const std::vector<SumTensor>& tensors, const float* factor, cudaStream_t stream);

// decay, apply: device memory. If *apply is false, nothing changes. One launch for 138 tensors.
cudaError_t MovingAverage(const std::vector<AverageTensor>& tensors, const float* decay, const bool* apply,
                          cudaStream_t stream);

// One launch for 191 tensors.
cudaError_t SetZero(const std::vector<MutableTensor>& tensors, cudaStream_t stream);

// One launch for 138 tensors. A NaN becomes CUDA's own.
cudaError_t Cast(const std::vector<CastTensor>& tensors, FloatType type, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_MULTI_TENSOR_H_
