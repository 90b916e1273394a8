// Compares the CUDA launchers on a GPU with the CPU's kernels. Needs neither TensorFlow nor Python.
//
//   cuda_harness [cases] [seed]     exit code 0: all equal, or there is no GPU (it says so); 1: not equal
//
// If a C++ compiler compiles this program with -DAWSDET_CUDA_EMULATION, it runs the kernels on the CPU.
#include "tests/cuda_check.h"

namespace {

// Prints the device that the checks run on. Returns false if there is no GPU.
bool FindDevice() {
#ifdef AWSDET_CUDA_EMULATION
  std::printf("emulation on the CPU\n");
  return true;
#else
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    std::printf("no GPU: the launchers were compiled, nothing was run (%s)\n",
                error == cudaSuccess ? "the driver lists none" : cudaGetErrorString(error));
    return false;
  }
  cudaDeviceProp properties;
  awsdet::cuda::Require(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("%s, compute capability %d.%d\n", properties.name, properties.major, properties.minor);
  return true;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  const int cases = argc > 1 ? std::atoi(argv[1]) : 100;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (!FindDevice()) return 0;
  awsdet::cuda::Verdict verdict;
  awsdet::cuda::CheckRoiAlign(cases, seed, &verdict);
  awsdet::cuda::CheckCellWindows(cases, seed, &verdict);
  awsdet::cuda::CheckTopBoxes(cases, seed, &verdict);
  awsdet::cuda::CheckDecodeBoxes(3 * cases, seed, &verdict);
  awsdet::cuda::CheckNms(3 * cases, seed, &verdict);
  awsdet::cuda::CheckMultiTensor(cases, seed, &verdict);
  awsdet::cuda::CheckMatch(10 * cases, seed, &verdict);
  awsdet::cuda::CheckSample(10 * cases, seed, &verdict);
  awsdet::cuda::CheckAnchors(3 * cases, seed, &verdict);
  awsdet::cuda::CheckAffine(5 * cases, seed, &verdict);
  std::printf("%d checks, %d failed\n", verdict.checks(), verdict.failures());
  return verdict.failures() == 0 ? 0 : 1;
}
