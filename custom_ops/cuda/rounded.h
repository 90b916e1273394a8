// Float32 arithmetic that is rounded operation by operation, on the CPU and on the GPU: the compiler may not fuse these
// into a multiply-add, which would decide a comparison differently from the CPU's kernels.
#ifndef AWSDET_CUDA_ROUNDED_H_
#define AWSDET_CUDA_ROUNDED_H_

#ifdef __CUDACC__
#define AWSDET_HOST_DEVICE __host__ __device__
#else
#define AWSDET_HOST_DEVICE
#endif

namespace awsdet::cuda {

AWSDET_HOST_DEVICE inline float RoundedMultiply(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}

AWSDET_HOST_DEVICE inline float RoundedAdd(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_ROUNDED_H_
