// GPU kernel of AwsdetDecodeBoxes; compiled only if the operators are built with CUDA.
#include "cuda/decode_boxes.h"

#include "tensorflow/decode_boxes_arguments.h"
#include "tensorflow/gpu.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

template <typename T>
class DecodeBoxesGpuOp : public OpKernel {
 public:
  explicit DecodeBoxesGpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("num_classes", &num_classes_));
    OP_REQUIRES_OK(context, ReadDecoding(context, "decode_boxes", &rule_));
  }

  void Compute(OpKernelContext* context) override {
    DecodeBoxesArguments arguments;
    OP_REQUIRES_OK(context, arguments.Read(context, num_classes_));
    const cudaError_t error = cuda::DecodeBoxes(
        kDataType<T>, arguments.sizes, rule_, arguments.deltas->template flat<T>().data(),
        arguments.boxes->flat<float>().data(), arguments.image_size->flat<int32_t>().data(),
        arguments.decoded->flat<float>().data(), arguments.classes->flat<int32_t>().data(), CudaStream(context));
    OP_REQUIRES(context, error != cudaErrorInvalidValue,
                InvalidArgument("decode_boxes: boxes ", arguments.boxes->shape().DebugString(), " of ", num_classes_,
                                " classes are too many for one call on a GPU"));
    OP_REQUIRES_OK(context, FromCuda(error, "decode_boxes"));
  }

 private:
  tensorflow::int64 num_classes_;
  BoxDecoding rule_;
};

#define AWSDET_REGISTER(T)                                                                         \
  REGISTER_KERNEL_BUILDER(Name("AwsdetDecodeBoxes").Device(DEVICE_GPU).TypeConstraint<T>("T"), \
                          DecodeBoxesGpuOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
