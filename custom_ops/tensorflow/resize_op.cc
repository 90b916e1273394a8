// AwsdetResize: an image resized, mirrored and padded. CPU only, on the calling thread: the reader runs images side by
// side, and threads within an image would only get in their way.
#include <cstdint>

#include "kernels/resize.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace awsdet {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::TensorShapeUtils;
using tensorflow::errors::InvalidArgument;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("AwsdetResize")
    .Input("image: uint8")
    .Input("size: int32")
    .Input("padded: int32")
    .Input("flip: bool")
    .Output("resized: uint8")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle image, pair, flip, padded;
      DimensionHandle unused;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &image));
      TF_RETURN_IF_ERROR(context->WithValue(context->Dim(image, 2), kChannels, &unused));
      TF_RETURN_IF_ERROR(context->Merge(context->input(1), context->Vector(2), &pair));
      TF_RETURN_IF_ERROR(context->Merge(context->input(2), context->Vector(2), &pair));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(3), 0, &flip));
      TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(2, &padded));
      TF_RETURN_IF_ERROR(context->WithRank(padded, 2, &padded));
      TF_RETURN_IF_ERROR(context->Concatenate(padded, context->Vector(kChannels), &padded));
      context->set_output(0, padded);
      return tensorflow::OkStatus();
    })
    .Doc("An image resized bilinearly, mirrored and padded; kernels/resize.h says how.");

class ResizeOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor &image = context->input(0), &size = context->input(1), &padded = context->input(2);
    const Tensor& flip = context->input(3);
    OP_REQUIRES(context,
                image.dims() == 3 && image.dim_size(0) > 0 && image.dim_size(1) > 0 && image.dim_size(2) == kChannels,
                InvalidArgument("image must be [h, w, 3] with a pixel at least, got shape ",
                                image.shape().DebugString()));
    // Positions on an axis are int32.
    OP_REQUIRES(context, image.dim_size(0) <= INT32_MAX && image.dim_size(1) <= INT32_MAX,
                InvalidArgument("image has a side above 2^31, its shape is ", image.shape().DebugString()));
    OP_REQUIRES(context, size.shape() == TensorShape({2}),
                InvalidArgument("size must be [2], height and width, got shape ", size.shape().DebugString()));
    OP_REQUIRES(context, padded.shape() == TensorShape({2}),
                InvalidArgument("padded must be [2], height and width, got shape ", padded.shape().DebugString()));
    OP_REQUIRES(context, TensorShapeUtils::IsScalar(flip.shape()),
                InvalidArgument("flip must be a scalar, got shape ", flip.shape().DebugString()));
    const auto to = size.vec<int32_t>(), room = padded.vec<int32_t>();
    OP_REQUIRES(context, to(0) > 0 && to(1) > 0,
                InvalidArgument("size must be 1 x 1 at least, got ", to(0), " x ", to(1)));
    OP_REQUIRES(context, room(0) >= to(0) && room(1) >= to(1),
                InvalidArgument("padded is ", room(0), " x ", room(1), ", which is less than size, ", to(0), " x ",
                                to(1)));
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape({room(0), room(1), kChannels}, &shape));
    Tensor* resized = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &resized));
    const ResizePlan plan{image.dim_size(0), image.dim_size(1), to(0), to(1), room(0), room(1), flip.scalar<bool>()()};
    Resize(image.flat<uint8_t>().data(), plan, resized->flat<uint8_t>().data());
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetResize").Device(tensorflow::DEVICE_CPU), ResizeOp);

}  // namespace
}  // namespace awsdet
