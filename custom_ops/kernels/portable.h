// What functions need that the kernels of CPU and GPU share, so that both give exactly the same result.
#ifndef AWSDET_KERNELS_PORTABLE_H_
#define AWSDET_KERNELS_PORTABLE_H_

#ifdef __CUDACC__
#define AWSDET_HOST_DEVICE __host__ __device__
#else
#define AWSDET_HOST_DEVICE
#endif

#include <cmath>

namespace awsdet {

// Arithmetic in which each operation is rounded. A fused multiply-add could decide a comparison differently.
// nvcc does not fuse these functions; C++ compilers do not because of -ffp-contract=off.

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

AWSDET_HOST_DEVICE inline double RoundedMultiply(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

AWSDET_HOST_DEVICE inline double RoundedAdd(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dadd_rn(a, b);
#else
  return a + b;
#endif
}

AWSDET_HOST_DEVICE inline float RoundedDivide(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

AWSDET_HOST_DEVICE inline double RoundedDivide(double a, double b) {
#ifdef __CUDA_ARCH__
  return __ddiv_rn(a, b);
#else
  return a / b;
#endif
}

AWSDET_HOST_DEVICE inline float RoundedSqrt(float a) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(a);
#else
  return std::sqrt(a);
#endif
}

AWSDET_HOST_DEVICE inline double RoundedSqrt(double a) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(a);
#else
  return std::sqrt(a);
#endif
}

// For two numbers that are not NaN.

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
