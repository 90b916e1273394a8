// cuDNN, cuBLAS and their kin: versions of the libraries that TensorFlow 2.15 asks for, answers to its questions about
// algorithms, and the calls that compute, which are counted.
#include <cstring>

#include "hollow.h"

CUDA_API size_t cudnnGetVersion() { return 8904; }
CUDA_API size_t cudnnGetCudartVersion() { return 12020; }
CUDA_API int cudnnGetProperty(int which, int* value) {
  constexpr int kVersion[] = {8, 9, 4};
  return *value = kVersion[which % 3], 0;
}
CUDA_API const char* cudnnGetErrorString(int) { return "hollow"; }
CUDA_API int cublasGetVersion_v2(void*, int* version) { return *version = 120205, 0; }
CUDA_API int cublasGetProperty(int which, int* value) { return *value = which == 0 ? 12 : 2, 0; }
CUDA_API size_t cublasLtGetVersion() { return 120205; }
CUDA_API int cublasGetMathMode(void*, int* mode) { return *mode = 0, 0; }
CUDA_API int cublasGetPointerMode_v2(void*, int* mode) { return *mode = 0, 0; }
CUDA_API int cublasGetStream_v2(void*, void** stream) { return *stream = nullptr, 0; }
CUDA_API int cusolverGetProperty(int, int* value) { return *value = 11, 0; }
CUDA_API int cusparseGetProperty(int, int* value) { return *value = 12, 0; }
CUDA_API int cufftGetVersion(int* version) { return *version = 11000, 0; }

// One algorithm for every convolution, without a workspace.
namespace {
struct Algorithm {
  int number, status;
  float time;
  size_t memory;
  int deterministic, math, reserved[3];
};
int Choose(int* count, void* place) {
  Algorithm chosen{};
  chosen.number = chosen.math = 1;
  std::memcpy(place, &chosen, sizeof chosen);
  return *count = 1, 0;
}
}  // namespace
#define CHOOSE(name) \
  CUDA_API int name(void*, void*, void*, void*, void*, int, int* count, void* place) { return Choose(count, place); }
CHOOSE(cudnnGetConvolutionForwardAlgorithm_v7)
CHOOSE(cudnnGetConvolutionBackwardDataAlgorithm_v7)
CHOOSE(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
#define COUNT_ALGORITHMS(name) \
  CUDA_API int name(void*, int* count) { return *count = 1, 0; }
COUNT_ALGORITHMS(cudnnGetConvolutionForwardAlgorithmMaxCount)
COUNT_ALGORITHMS(cudnnGetConvolutionBackwardDataAlgorithmMaxCount)
COUNT_ALGORITHMS(cudnnGetConvolutionBackwardFilterAlgorithmMaxCount)
#define NO_WORKSPACE(name) \
  CUDA_API int name(void*, void*, void*, void*, void*, int, size_t* bytes) { return *bytes = 0, 0; }
NO_WORKSPACE(cudnnGetConvolutionForwardWorkspaceSize)
NO_WORKSPACE(cudnnGetConvolutionBackwardDataWorkspaceSize)
NO_WORKSPACE(cudnnGetConvolutionBackwardFilterWorkspaceSize)
CUDA_API int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void*, int, int, void*, void*, void*, void*,
                                                                      void*, size_t* bytes) {
  return *bytes = 0, 0;
}
CUDA_API int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void*, int, int, void*, void*, size_t* bytes) {
  return *bytes = 0, 0;
}
CUDA_API int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void*, int, int, void*, void*, void*, void*, void*,
                                                               void*, void*, size_t* bytes) {
  return *bytes = 0, 0;
}
CUDA_API int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, void* result,
                                            int* count) {
  std::memset(result, 0, 96);
  return *count = 1, 0;
}
CUDA_API int cublasLtMatmulDescGetAttribute(void*, int, void* value, size_t bytes, size_t* written) {
  std::memset(value, 0, bytes);
  if (written != nullptr) *written = bytes;
  return 0;
}
CUDA_API int cublasLtMatrixLayoutGetAttribute(void*, int, void* value, size_t bytes, size_t* written) {
  std::memset(value, 0, bytes);
  if (written != nullptr) *written = bytes;
  return 0;
}

// The calls that compute.
#define COMPUTE(name)                        \
  CUDA_API int name() {                      \
    hollow::Record("library", #name, 0);     \
    return 0;                                \
  }
COMPUTE(cudnnConvolutionForward)
COMPUTE(cudnnConvolutionBackwardData)
COMPUTE(cudnnConvolutionBackwardFilter)
COMPUTE(cudnnConvolutionBackwardBias)
COMPUTE(cudnnConvolutionBiasActivationForward)
COMPUTE(cudnnPoolingForward)
COMPUTE(cudnnPoolingBackward)
COMPUTE(cudnnActivationForward)
COMPUTE(cudnnSoftmaxForward)
COMPUTE(cudnnBatchNormalizationForwardInference)
COMPUTE(cudnnBatchNormalizationForwardTraining)
COMPUTE(cudnnBatchNormalizationForwardTrainingEx)
COMPUTE(cudnnBatchNormalizationBackward)
COMPUTE(cudnnBatchNormalizationBackwardEx)
COMPUTE(cudnnTransformTensor)
COMPUTE(cudnnAddTensor)
COMPUTE(cublasGemmEx)
COMPUTE(cublasSgemm_v2)
COMPUTE(cublasDgemm_v2)
COMPUTE(cublasHgemm)
COMPUTE(cublasSgemmEx)
COMPUTE(cublasGemmStridedBatchedEx)
COMPUTE(cublasSgemmStridedBatched)
COMPUTE(cublasGemmBatchedEx)
COMPUTE(cublasSgemmBatched)
COMPUTE(cublasSgemv_v2)
COMPUTE(cublasLtMatmul)
COMPUTE(cublasHgemmStridedBatched)
COMPUTE(cublasSaxpy_v2)
COMPUTE(cublasSscal_v2)
