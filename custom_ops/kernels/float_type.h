// The element types that one call can choose among at run time.
#ifndef AWSDET_KERNELS_FLOAT_TYPE_H_
#define AWSDET_KERNELS_FLOAT_TYPE_H_

#include <cstdint>

namespace awsdet {

enum class FloatType : int32_t { kFloat = 0, kHalf = 1, kBFloat16 = 2 };

}  // namespace awsdet

#endif  // AWSDET_KERNELS_FLOAT_TYPE_H_
