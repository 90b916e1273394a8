// The boxes of every class of a box head on an NVIDIA GPU: a launcher that takes device pointers and a stream.
//
// Results are those of kernels/decode_boxes.h to the last bit. The function does not wait for the GPU.
#ifndef AWSDET_CUDA_DECODE_BOXES_H_
#define AWSDET_CUDA_DECODE_BOXES_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/data_type.h"
#include "kernels/decode_boxes.h"

namespace awsdet::cuda {

// The arguments are those of awsdet::DecodeBoxes. Returns cudaErrorInvalidValue if there are 2^31 results or more.
cudaError_t DecodeBoxes(DataType type, const DecodeSizes& sizes, const BoxDecoding& rule, const void* deltas,
                        const float* boxes, const int32_t* image_size, float* decoded, int32_t* classes,
                        cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_DECODE_BOXES_H_
