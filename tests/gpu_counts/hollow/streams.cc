// Streams and events. Everything is done when the call returns; waits are counted.
#include <cstdlib>

#include "hollow.h"

namespace {

int NewHandle(void** handle) {
  *handle = std::calloc(1, 4096);  // larger than any struct that a caller looks into
  return 0;
}

int Wait(const char* name) {
  hollow::Record("wait", name, 0);
  return 0;
}

}  // namespace

#define NEW_HANDLE(name) \
  CUDA_API int name(void** handle) { return NewHandle(handle); }
NEW_HANDLE(cuStreamCreate)
NEW_HANDLE(cuStreamCreateWithPriority)
NEW_HANDLE(cudaStreamCreate)
NEW_HANDLE(cudaStreamCreateWithFlags)
NEW_HANDLE(cudaStreamCreateWithPriority)
NEW_HANDLE(cuEventCreate)
NEW_HANDLE(cudaEventCreate)
NEW_HANDLE(cudaEventCreateWithFlags)
// Of cuDNN, cuBLAS and their kin: each of these calls has the handle's address as its first argument.
NEW_HANDLE(cudnnCreate)
NEW_HANDLE(cudnnCreateTensorDescriptor)
NEW_HANDLE(cudnnCreateFilterDescriptor)
NEW_HANDLE(cudnnCreateConvolutionDescriptor)
NEW_HANDLE(cudnnCreatePoolingDescriptor)
NEW_HANDLE(cudnnCreateActivationDescriptor)
NEW_HANDLE(cudnnCreateLRNDescriptor)
NEW_HANDLE(cudnnCreateDropoutDescriptor)
NEW_HANDLE(cudnnCreateRNNDescriptor)
NEW_HANDLE(cudnnCreateCTCLossDescriptor)
NEW_HANDLE(cudnnCreateOpTensorDescriptor)
NEW_HANDLE(cublasCreate_v2)
NEW_HANDLE(cublasLtCreate)
NEW_HANDLE(cublasLtMatmulDescCreate)
NEW_HANDLE(cublasLtMatrixLayoutCreate)
NEW_HANDLE(cublasLtMatmulPreferenceCreate)
NEW_HANDLE(cublasLtMatrixTransformDescCreate)
NEW_HANDLE(cusolverDnCreate)
NEW_HANDLE(cusparseCreate)

#define WAIT(name) \
  CUDA_API int name(void*) { return Wait(#name); }
WAIT(cuStreamSynchronize)
WAIT(cudaStreamSynchronize)
WAIT(cuEventSynchronize)
WAIT(cudaEventSynchronize)
CUDA_API int cuCtxSynchronize() { return Wait("cuCtxSynchronize"); }
CUDA_API int cudaDeviceSynchronize() { return Wait("cudaDeviceSynchronize"); }

CUDA_API int cuEventElapsedTime(float* milliseconds, void*, void*) { return *milliseconds = 1, 0; }
CUDA_API int cuStreamGetCtx(void*, void** context) {
  static int one;
  return *context = &one, 0;
}
CUDA_API int cuStreamGetPriority(void*, int* priority) { return *priority = 0, 0; }
CUDA_API int cuStreamIsCapturing(void*, int* capturing) { return *capturing = 0, 0; }
CUDA_API int cudaStreamIsCapturing(void*, int* capturing) { return *capturing = 0, 0; }
CUDA_API int cuLaunchHostFunc(void*, void (*function)(void*), void* data) {
  hollow::Record("hostfunc", "cuLaunchHostFunc", 0);
  function(data);
  return 0;
}
CUDA_API int cuStreamAddCallback(void* stream, void (*function)(void*, int, void*), void* data, unsigned) {
  hollow::Record("hostfunc", "cuStreamAddCallback", 0);
  function(stream, 0, data);
  return 0;
}
