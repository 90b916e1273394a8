// GPU kernel of AwsdetSample; compiled only if the operators are built with CUDA.
#include "cuda/sample.h"

#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/sample_arguments.h"

namespace awsdet {
namespace {

Status RunSample(OpKernelContext* context, const SampleAttributes& attributes, const SampleCall& call) {
  const SampleRule& rule = attributes.rule;
  if (rule.size > cuda::kMaxSampleSize) {
    return InvalidArgument("sample: size is ", rule.size, "; on a GPU at most ", cuda::kMaxSampleSize);
  }
  return FromCuda(cuda::Sample(call.input, rule, call.samples, CudaStream(context)), "sample");
}

REGISTER_KERNEL_BUILDER(Name("AwsdetSample").Device(DEVICE_GPU), Kernel<SampleCall, RunSample>);

}  // namespace
}  // namespace awsdet
