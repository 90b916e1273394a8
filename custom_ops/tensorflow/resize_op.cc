// AwsdetResize: images resized, mirrored and padded, straight into their batch. CPU only, on the calling thread: the
// reader runs batches side by side, and threads within one would only get in their way.
#include <cstdint>

#include "kernels/resize.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

REGISTER_OP("AwsdetResize")
    .Attr("N: int >= 1")
    .Input("images: N * uint8")
    .Input("size: int32")
    .Input("padded: int32")
    .Input("flip: bool")
    .Output("resized: uint8")
    .SetShapeFn([](InferenceContext* context) {
      const int count = context->num_inputs() - 3;
      ShapeHandle image, sizes, flips, padded;
      DimensionHandle unused;
      for (int i = 0; i < count; ++i) {
        TF_RETURN_IF_ERROR(context->WithRank(context->input(i), 3, &image));
        TF_RETURN_IF_ERROR(context->WithValue(context->Dim(image, 2), kChannels, &unused));
      }
      TF_RETURN_IF_ERROR(context->Merge(context->input(count), context->Matrix(count, 2), &sizes));
      TF_RETURN_IF_ERROR(context->Merge(context->input(count + 1), context->Vector(2), &padded));
      TF_RETURN_IF_ERROR(context->Merge(context->input(count + 2), context->Vector(count), &flips));
      TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(count + 1, &padded));
      TF_RETURN_IF_ERROR(context->WithRank(padded, 2, &padded));
      TF_RETURN_IF_ERROR(context->Concatenate(context->Vector(count), padded, &padded));
      TF_RETURN_IF_ERROR(context->Concatenate(padded, context->Vector(kChannels), &padded));
      context->set_output(0, padded);
      return OkStatus();
    })
    .Doc("The images of a batch resized bilinearly, mirrored and padded; kernels/resize.h says how.");

class ResizeOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const int count = context->num_inputs() - 3;
    const Tensor &size = context->input(count), &padded = context->input(count + 1);
    const Tensor& flip = context->input(count + 2);
    OP_REQUIRES_OK(context, CheckShape("padded", padded, {2}, "[2], height and width"));
    OP_REQUIRES_OK(context, CheckShape("size", size, {count, 2}, "[", count, ", 2], height and width of each image"));
    OP_REQUIRES_OK(context, CheckShape("flip", flip, {count}, "[", count, "]"));
    const auto to = size.matrix<int32_t>();
    const auto room = padded.vec<int32_t>();
    for (int i = 0; i < count; ++i) OP_REQUIRES_OK(context, Check(context->input(i), to(i, 0), to(i, 1), padded));
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape({count, room(0), room(1), kChannels}, &shape));
    Tensor* resized = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &resized));
    uint8_t* result = resized->flat<uint8_t>().data();
    for (int i = 0; i < count; ++i) {
      const Tensor& image = context->input(i);
      const ResizePlan plan{image.dim_size(0), image.dim_size(1), to(i, 0), to(i, 1), room(0), room(1),
                            flip.vec<bool>()(i)};
      Resize(image.flat<uint8_t>().data(), plan, result);
      result += room(0) * kChannels * room(1);
    }
  }

 private:
  static Status Check(const Tensor& image, int32_t height, int32_t width, const Tensor& padded) {
    if (image.dims() != 3 || image.dim_size(0) < 1 || image.dim_size(1) < 1 || image.dim_size(2) != kChannels) {
      return InvalidArgument("image must be [h, w, 3] with a pixel at least, got shape ", image.shape().DebugString());
    }
    // Positions on an axis are int32.
    if (image.dim_size(0) > INT32_MAX || image.dim_size(1) > INT32_MAX) {
      return InvalidArgument("image has a side above 2^31, its shape is ", image.shape().DebugString());
    }
    if (height < 1 || width < 1) {
      return InvalidArgument("size must be 1 x 1 at least, got ", height, " x ", width);
    }
    const auto room = padded.vec<int32_t>();
    if (room(0) < height || room(1) < width) {
      return InvalidArgument("padded is ", room(0), " x ", room(1), ", which is less than size, ", height, " x ",
                             width);
    }
    return OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetResize").Device(DEVICE_CPU), ResizeOp);

}  // namespace
}  // namespace awsdet
