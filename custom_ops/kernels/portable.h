// What the functions need that the CPU's and the GPU's kernels share: one source, the same result to the last bit.
#ifndef AWSDET_KERNELS_PORTABLE_H_
#define AWSDET_KERNELS_PORTABLE_H_

#ifdef __CUDACC__
#define AWSDET_HOST_DEVICE __host__ __device__
#else
#define AWSDET_HOST_DEVICE
#endif

namespace awsdet {

// Float32 arithmetic that is rounded operation by operation. nvcc may not fuse these into a multiply-add, which would
// decide a comparison differently; C++ compilers are told so by -ffp-contract=off.

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

// Of two numbers that are not NaN.

AWSDET_HOST_DEVICE inline float Smaller(float a, float b) {
#ifdef __CUDA_ARCH__
  return fminf(a, b);
#else
  return b < a ? b : a;
#endif
}

AWSDET_HOST_DEVICE inline float Larger(float a, float b) {
#ifdef __CUDA_ARCH__
  return fmaxf(a, b);
#else
  return a < b ? b : a;
#endif
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_PORTABLE_H_
