// The element types of the CPU's kernels, which know no TensorFlow, and tensors of them.
#ifndef AWSDET_TENSORFLOW_KERNEL_TYPE_H_
#define AWSDET_TENSORFLOW_KERNEL_TYPE_H_

#include <type_traits>

#include "kernels/low_precision.h"
#include "tensorflow/op.h"

namespace awsdet {

// TensorFlow's type -> the type that the kernels use.
template <typename T>
using KernelType = std::conditional_t<std::is_same_v<T, Eigen::half>, Half,
                                      std::conditional_t<std::is_same_v<T, Eigen::bfloat16>, Bfloat16, float>>;

// The elements of a tensor of T.
template <typename T>
const KernelType<T>* KernelData(const Tensor& tensor) {
  return reinterpret_cast<const KernelType<T>*>(tensor.flat<T>().data());
}

template <typename T>
KernelType<T>* KernelData(Tensor* tensor) {
  return reinterpret_cast<KernelType<T>*>(tensor->flat<T>().data());
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_KERNEL_TYPE_H_
