// The element types that launchers take.
#ifndef AWSDET_CUDA_DATA_TYPE_H_
#define AWSDET_CUDA_DATA_TYPE_H_

#include "kernels/float_type.h"

namespace awsdet::cuda {

using DataType = FloatType;

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_DATA_TYPE_H_
