// Bias or stored batch norm, residual and ReLU on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// The rules are those of kernels/affine.h, in the same float32 operations; only the sums over the rows have another
// order, which depends on the size alone. Every pointer is device memory, aligned to its element type (to 16 bytes for
// the fast path). These functions do not wait for the GPU.
#ifndef AWSDET_CUDA_AFFINE_H_
#define AWSDET_CUDA_AFFINE_H_

#include <cuda_runtime_api.h>

#include <cstddef>

#include "cuda/data_type.h"
#include "kernels/affine.h"

namespace awsdet::cuda {

// One launch. Arguments as of awsdet::Affine; arrays of features hold elements of `type`.
cudaError_t Affine(DataType type, const AffineSize& size, const AffineParameters& parameters, const void* features,
                   const void* residual, bool relu, void* outputs, cudaStream_t stream);

// How many bytes of device memory AffineGrad needs as its workspace; 0 if it does not compute sums.
size_t AffineGradWorkspaceSize(const AffineSize& size, bool sums);

// Arguments as of awsdet::AffineGradient.
struct AffineGradientPointers {
  const void* upstream;
  const void* outputs;
  const void* features;
  void* features_gradient;
  void* residual_gradient;
  float* gamma_gradient;
  float* beta_gradient;
};

// One launch, or two with sums: each block adds its rows, then the sums of the blocks are added in their order.
cudaError_t AffineGrad(DataType type, const AffineSize& size, const AffineParameters& parameters,
                       const AffineGradientPointers& gradient, void* workspace, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_AFFINE_H_
