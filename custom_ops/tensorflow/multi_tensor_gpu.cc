// GPU kernels of the operators on many tensors at once; compiled only if the operators are built with CUDA. Learning
// rate, factor and `apply` stay in the GPU's memory: the host does not wait for them.
#include "cuda/multi_tensor.h"

#include "tensorflow/gpu.h"
#include "tensorflow/multi_tensor_arguments.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

class CastGpuOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    std::vector<CastTensor> tensors;
    OP_REQUIRES_OK(context, ReadCasts(context, &tensors));
    const FloatType type = TypeOf(*context->mutable_output(0));
    OP_REQUIRES_OK(context, FromCuda(cuda::Cast(tensors, type, CudaStream(context)), "cast"));
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetCast").Device(DEVICE_GPU), CastGpuOp);

WrittenVariables::Copy CopyOnGpu(OpKernelContext* context) {
  return [context](void* to, const void* from, size_t bytes) {
    return FromCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, CudaStream(context)), "copying a variable");
  };
}

class MovingAverageGpuOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor *decay, *apply;
    OP_REQUIRES_OK(context, CheckScalar(context, "moving_average", "decay", &decay));
    OP_REQUIRES_OK(context, CheckScalar(context, "moving_average", "apply", &apply));
    WrittenVariables averages(context, "moving_average", CopyOnGpu(context));
    std::vector<AverageTensor> tensors;
    OP_REQUIRES_OK(context, ReadAverages(context, &averages, &tensors));
    const cudaError_t error = cuda::MovingAverage(tensors, decay->flat<float>().data(), apply->flat<bool>().data(),
                                                  CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "moving_average"));
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetMovingAverage").Device(DEVICE_GPU).HostMemory("averages"), MovingAverageGpuOp);

class SgdUpdateGpuOp : public OpKernel {
 public:
  explicit SgdUpdateGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("momentum", &momentum_));
    OP_REQUIRES_OK(context, context->GetAttr("weight_decay", &weight_decay_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor *learning_rate, *factor, *apply;
    OP_REQUIRES_OK(context, CheckScalar(context, "sgd_update", "learning_rate", &learning_rate));
    OP_REQUIRES_OK(context, CheckScalar(context, "sgd_update", "factor", &factor));
    OP_REQUIRES_OK(context, CheckScalar(context, "sgd_update", "apply", &apply));
    WrittenVariables variables(context, "sgd_update", CopyOnGpu(context));
    std::vector<SgdTensor> tensors;
    OP_REQUIRES_OK(context, ReadSgd(context, &variables, &tensors));
    const cudaError_t error =
        cuda::SgdUpdate(tensors, learning_rate->flat<float>().data(), factor->flat<float>().data(),
                        apply->flat<bool>().data(), momentum_, weight_decay_, CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "sgd_update"));
  }

 private:
  float momentum_, weight_decay_;
};

class GlobalNormGpuOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    std::vector<ConstTensor> tensors;
    OP_REQUIRES_OK(context, ReadNorm(context, &tensors));
    Tensor* norm;
    OP_REQUIRES_OK(context, context->allocate_output(0, {}, &norm));
    Tensor workspace;
    OP_REQUIRES_OK(context, AllocateWorkspace(context, cuda::GlobalNormWorkspaceSize(tensors), &workspace));
    const cudaError_t error = cuda::GlobalNorm(tensors, workspace.flat<tensorflow::int8>().data(),
                                               norm->flat<float>().data(), CudaStream(context));
    OP_REQUIRES_OK(context, FromCuda(error, "global_norm"));
  }
};

class AccumulateGpuOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor* factor;
    OP_REQUIRES_OK(context, CheckScalar(context, "accumulate", "factor", &factor));
    WrittenVariables variables(context, "accumulate", CopyOnGpu(context));
    std::vector<SumTensor> tensors;
    OP_REQUIRES_OK(context, ReadSums(context, &variables, &tensors));
    OP_REQUIRES_OK(context, FromCuda(cuda::Accumulate(tensors, factor->flat<float>().data(), CudaStream(context)),
                                     "accumulate"));
  }
};

class SetZeroGpuOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    WrittenVariables variables(context, "set_zero", CopyOnGpu(context));
    std::vector<MutableTensor> tensors;
    OP_REQUIRES_OK(context, ReadZeroed(context, &variables, &tensors));
    OP_REQUIRES_OK(context, FromCuda(cuda::SetZero(tensors, CudaStream(context)), "set_zero"));
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetSgdUpdate").Device(DEVICE_GPU).HostMemory("variables").HostMemory("momenta"),
                        SgdUpdateGpuOp);
REGISTER_KERNEL_BUILDER(Name("AwsdetGlobalNorm").Device(DEVICE_GPU), GlobalNormGpuOp);
REGISTER_KERNEL_BUILDER(Name("AwsdetAccumulate").Device(DEVICE_GPU).HostMemory("sums"), AccumulateGpuOp);
REGISTER_KERNEL_BUILDER(Name("AwsdetSetZero").Device(DEVICE_GPU).HostMemory("variables"), SetZeroGpuOp);

}  // namespace
}  // namespace awsdet
