// GPU kernels of the operators on many tensors at once; compiled only if the operators are built with CUDA. Learning
// rate, factor, `apply` and `applied` stay in the GPU's memory: the host does not wait for them.
#include "cuda/multi_tensor.h"

#include "tensorflow/adamw_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/multi_tensor_arguments.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

Status RunCast(OpKernelContext* context, const NoAttributes&, const CastCall& call) {
  return FromCuda(cuda::Cast(call.tensors, call.type, CudaStream(context)), "cast");
}

WrittenVariables::Copy CopyOnGpu(OpKernelContext* context) {
  return [context](void* to, const void* from, size_t bytes) {
    return FromCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, CudaStream(context)), "copying a variable");
  };
}

using AverageOnGpu = AverageCall<CopyOnGpu>;
using SgdOnGpu = SgdCall<CopyOnGpu>;
using AdamwOnGpu = AdamwCall<CopyOnGpu>;
using AccumulateOnGpu = AccumulateCall<CopyOnGpu>;
using SetZeroOnGpu = SetZeroCall<CopyOnGpu>;

Status RunSgdUpdate(OpKernelContext* context, const SgdAttributes& attributes, const SgdOnGpu& call) {
  return FromCuda(cuda::SgdUpdate(call.tensors, call.learning_rate->flat<float>().data(),
                                  call.factor->flat<float>().data(), call.apply->flat<bool>().data(),
                                  attributes.momentum, attributes.weight_decay, CudaStream(context)),
                  "sgd_update");
}

Status RunAdamwUpdate(OpKernelContext* context, const AdamwAttributes& attributes, const AdamwOnGpu& call) {
  Tensor workspace;
  TF_RETURN_IF_ERROR(AllocateWorkspace(context, sizeof(AdamwCorrection), &workspace));
  return FromCuda(cuda::AdamwUpdate(call.tensors, attributes.settings, call.learning_rate->flat<float>().data(),
                                    call.factor->flat<float>().data(), call.apply->flat<bool>().data(), call.applied,
                                    static_cast<AdamwCorrection*>(workspace.data()), CudaStream(context)),
                  "adamw_update");
}

Status RunGlobalNorm(OpKernelContext* context, const NoAttributes&, const GlobalNormCall& call) {
  Tensor workspace;
  TF_RETURN_IF_ERROR(AllocateWorkspace(context, cuda::GlobalNormWorkspaceSize(call.tensors), &workspace));
  return FromCuda(cuda::GlobalNorm(call.tensors, workspace.flat<tensorflow::int8>().data(),
                                   call.norm->flat<float>().data(), CudaStream(context)),
                  "global_norm");
}

Status RunAccumulate(OpKernelContext* context, const NoAttributes&, const AccumulateOnGpu& call) {
  return FromCuda(cuda::Accumulate(call.tensors, call.factor->flat<float>().data(), CudaStream(context)),
                  "accumulate");
}

Status RunMovingAverage(OpKernelContext* context, const NoAttributes&, const AverageOnGpu& call) {
  return FromCuda(cuda::MovingAverage(call.tensors, call.decay->flat<float>().data(), call.apply->flat<bool>().data(),
                                      CudaStream(context)),
                  "moving_average");
}

Status RunSetZero(OpKernelContext* context, const NoAttributes&, const SetZeroOnGpu& call) {
  return FromCuda(cuda::SetZero(call.tensors, CudaStream(context)), "set_zero");
}

REGISTER_KERNEL_BUILDER(Name("AwsdetCast").Device(DEVICE_GPU), Kernel<CastCall, RunCast>);
REGISTER_KERNEL_BUILDER(Name("AwsdetMovingAverage").Device(DEVICE_GPU).HostMemory("averages"),
                        Kernel<AverageOnGpu, RunMovingAverage>);
REGISTER_KERNEL_BUILDER(Name("AwsdetSgdUpdate").Device(DEVICE_GPU).HostMemory("variables").HostMemory("momenta"),
                        Kernel<SgdOnGpu, RunSgdUpdate>);
REGISTER_KERNEL_BUILDER(Name("AwsdetAdamwUpdate")
                            .Device(DEVICE_GPU)
                            .HostMemory("variables")
                            .HostMemory("first_moments")
                            .HostMemory("second_moments")
                            .HostMemory("applied"),
                        Kernel<AdamwOnGpu, RunAdamwUpdate>);
REGISTER_KERNEL_BUILDER(Name("AwsdetGlobalNorm").Device(DEVICE_GPU), Kernel<GlobalNormCall, RunGlobalNorm>);
REGISTER_KERNEL_BUILDER(Name("AwsdetAccumulate").Device(DEVICE_GPU).HostMemory("sums"),
                        Kernel<AccumulateOnGpu, RunAccumulate>);
REGISTER_KERNEL_BUILDER(Name("AwsdetSetZero").Device(DEVICE_GPU).HostMemory("variables"),
                        Kernel<SetZeroOnGpu, RunSetZero>);

}  // namespace
}  // namespace awsdet
