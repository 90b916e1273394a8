// GPU kernels of AwsdetAffine and AwsdetAffineGrad; compiled only if the operators are built with CUDA.
#include "cuda/affine.h"

#include "tensorflow/affine_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

template <typename T>
T* Data(const Tensor* tensor) {
  return tensor == nullptr ? nullptr : const_cast<T*>(tensor->flat<T>().data());
}

template <typename T>
class AffineGpuOp : public OpKernel {
 public:
  explicit AffineGpuOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {
    AffineForward pass;
    OP_REQUIRES_OK(context, pass.Read(context, attributes_.epsilon));
    const cudaError_t error =
        cuda::Affine(kDataType<T>, pass.size, pass.parameters, Data<T>(pass.features), Data<T>(pass.residual), relu_,
                     Data<T>(pass.outputs), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "affine"));
  }

 private:
  const AffineAttributes attributes_;
  bool relu_;
};

template <typename T>
class AffineGradGpuOp : public OpKernel {
 public:
  explicit AffineGradGpuOp(OpKernelConstruction* context) : OpKernel(context), attributes_(context) {}

  void Compute(OpKernelContext* context) override {
    AffineBackward pass;
    OP_REQUIRES_OK(context, pass.Read(context, attributes_.epsilon));
    Tensor workspace;
    OP_REQUIRES_OK(context, AllocateWorkspace(
                                context, cuda::AffineGradWorkspaceSize(pass.size, pass.beta_gradient != nullptr),
                                &workspace));
    const cudaError_t error = cuda::AffineGrad(
        kDataType<T>, pass.size, pass.parameters,
        {Data<T>(pass.upstream), Data<T>(pass.outputs), Data<T>(pass.features), Data<T>(pass.features_gradient),
         Data<T>(pass.residual_gradient), Data<float>(pass.gamma_gradient), Data<float>(pass.beta_gradient)},
        workspace.flat<tensorflow::int8>().data(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "the gradient of affine"));
  }

 private:
  const AffineAttributes attributes_;
};

#define AWSDET_REGISTER(T)                                                                                  \
  REGISTER_KERNEL_BUILDER(Name("AwsdetAffine").Device(DEVICE_GPU).TypeConstraint<T>("T"), AffineGpuOp<T>);    \
  REGISTER_KERNEL_BUILDER(Name("AwsdetAffineGrad").Device(DEVICE_GPU).TypeConstraint<T>("T"), AffineGradGpuOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
