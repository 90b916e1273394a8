// GPU kernels of AwsdetAffine and AwsdetAffineGrad; compiled only if the operators are built with CUDA.
#include "cuda/affine.h"

#include "tensorflow/affine_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

template <typename T>
T* Data(const Tensor* tensor) {
  return tensor == nullptr ? nullptr : const_cast<T*>(tensor->flat<T>().data());
}

template <typename T>
Status RunAffine(OpKernelContext* context, const AffineForwardAttributes& attributes, const AffineForward& pass) {
  return FromCuda(cuda::Affine(kDataType<T>, pass.size, pass.parameters, Data<T>(pass.features),
                               Data<T>(pass.residual), attributes.relu, Data<T>(pass.outputs), CudaStream(context)),
                  "affine");
}

template <typename T>
Status RunAffineGrad(OpKernelContext* context, const AffineAttributes&, const AffineBackward& pass) {
  Tensor workspace;
  TF_RETURN_IF_ERROR(AllocateWorkspace(
      context, cuda::AffineGradWorkspaceSize(pass.size, pass.beta_gradient != nullptr), &workspace));
  const cudaError_t error = cuda::AffineGrad(
      kDataType<T>, pass.size, pass.parameters,
      {Data<T>(pass.upstream), Data<T>(pass.outputs), Data<T>(pass.features), Data<T>(pass.features_gradient),
       Data<T>(pass.residual_gradient), Data<float>(pass.gamma_gradient), Data<float>(pass.beta_gradient)},
      workspace.flat<tensorflow::int8>().data(), CudaStream(context));
  return FromCuda(error, "the gradient of affine");
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetAffine").Device(DEVICE_GPU), AffineForward, RunAffine)
AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetAffineGrad").Device(DEVICE_GPU), AffineBackward, RunAffineGrad)

}  // namespace
}  // namespace awsdet
