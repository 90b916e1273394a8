// The element types that launchers take.
#ifndef AWSDET_CUDA_DATA_TYPE_H_
#define AWSDET_CUDA_DATA_TYPE_H_

#include <cstdint>

namespace awsdet::cuda {

enum class DataType : int32_t { kFloat = 0, kHalf = 1, kBFloat16 = 2 };

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_DATA_TYPE_H_
