// GPU kernel of AwsdetDecodeBoxes; compiled only if the operators are built with CUDA.
#include "cuda/decode_boxes.h"

#include "tensorflow/decode_boxes_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

template <typename T>
Status RunDecodeBoxes(OpKernelContext* context, const DecodeBoxesAttributes& attributes, const DecodeBoxesCall& call) {
  const cudaError_t error = cuda::DecodeBoxes(
      kDataType<T>, call.sizes, attributes.rule, call.deltas->data(), call.boxes->flat<float>().data(),
      call.image_size->flat<int32_t>().data(), call.decoded->flat<float>().data(),
      call.classes->flat<int32_t>().data(), CudaStream(context));
  if (error == cudaErrorInvalidValue) {
    return InvalidArgument("decode_boxes: boxes ", call.boxes->shape().DebugString(), " of ", attributes.num_classes,
                           " classes are too many for one call on a GPU");
  }
  return FromCuda(error, "decode_boxes");
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetDecodeBoxes").Device(DEVICE_GPU), DecodeBoxesCall, RunDecodeBoxes)

}  // namespace
}  // namespace awsdet
