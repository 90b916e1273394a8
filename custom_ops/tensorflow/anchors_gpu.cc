// GPU kernel of AwsdetAnchors; compiled only if the operators are built with CUDA.
#include "cuda/anchors.h"

#include "tensorflow/anchors_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

Status RunAnchors(OpKernelContext* context, const AnchorsAttributes&, const AnchorsCall& call) {
  return FromCuda(cuda::Anchors(call.problem, call.image_size->flat<int32_t>().data(), call.image_size->dim_size(0),
                                call.boxes->flat<float>().data(), call.valid->flat<bool>().data(),
                                CudaStream(context)),
                  "anchors");
}

// The number of anchors follows from the sizes of the levels, which are known on the host.
REGISTER_KERNEL_BUILDER(Name("AwsdetAnchors").Device(DEVICE_GPU).HostMemory("sizes"),
                        Kernel<AnchorsCall, RunAnchors>);

}  // namespace
}  // namespace awsdet
