// GPU kernels of AwsdetCellWindows and AwsdetCellWindowsGrad; compiled only if the operators are built with CUDA.
//
// The values of anchor_index are in the GPU's memory and are not checked here. The window of an anchor that does not
// exist becomes zeros; the CPU raises an error instead.
#include "cuda/cell_windows.h"

#include "tensorflow/cell_windows_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

cuda::CellWindowsProblem ProblemOf(const CellWindowsCall& call) {
  return {call.images(), call.samples(), call.channels(), call.grid};
}

template <typename T>
Status RunCellWindows(OpKernelContext* context, const CellWindowsAttributes&, const CellWindowsForward& call) {
  return FromCuda(cuda::CellWindows(kDataType<T>, ProblemOf(call), DataOf(call.features).data(),
                                    call.anchor_index->flat<int32_t>().data(), call.windows->data(),
                                    call.chosen->flat<bool>().data(), CudaStream(context)),
                  "cell_windows");
}

template <typename T>
Status RunCellWindowsGrad(OpKernelContext* context, const CellWindowsAttributes&, const CellWindowsBackward& call) {
  return FromCuda(cuda::CellWindowsGrad(kDataType<T>, ProblemOf(call), call.gradient->data(),
                                        call.anchor_index->flat<int32_t>().data(),
                                        DataOf(call.features_gradient).data(), CudaStream(context)),
                  "the gradient of cell_windows");
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetCellWindows").Device(DEVICE_GPU), CellWindowsForward, RunCellWindows)
AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetCellWindowsGrad").Device(DEVICE_GPU).HostMemory("shapes"),
                                CellWindowsBackward, RunCellWindowsGrad)

}  // namespace
}  // namespace awsdet
