// AwsdetResize: images resized, mirrored, cropped and padded, straight into their batch. CPU only, on the calling
// thread: the reader runs batches side by side, and threads within one would only get in their way.
#include <cstdint>

#include "kernels/resize.h"
#include "tensorflow/op.h"
#include "tensorflow/placement.h"

namespace awsdet {
namespace {

constexpr int kArguments = kPlacementInputs + 1;  // after the images

REGISTER_OP("AwsdetResize")
    .Attr("N: int >= 1")
    .Input("images: N * uint8")
    .Input("size: int32")
    .Input("corner: int32")
    .Input("window: int32")
    .Input("flip: bool")
    .Input("padded: int32")
    .Output("resized: uint8")
    .SetShapeFn([](InferenceContext* context) {
      const int count = context->num_inputs() - kArguments, canvas = count + kPlacementInputs;
      ShapeHandle image, padded;
      DimensionHandle unused;
      for (int i = 0; i < count; ++i) {
        TF_RETURN_IF_ERROR(context->WithRank(context->input(i), 3, &image));
        TF_RETURN_IF_ERROR(context->WithValue(context->Dim(image, 2), kChannels, &unused));
      }
      TF_RETURN_IF_ERROR(MergePlacementShapes(context, count, count));
      TF_RETURN_IF_ERROR(context->Merge(context->input(canvas), context->Vector(2), &padded));
      TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(canvas, &padded));
      TF_RETURN_IF_ERROR(context->WithRank(padded, 2, &padded));
      TF_RETURN_IF_ERROR(context->Concatenate(context->Vector(count), padded, &padded));
      TF_RETURN_IF_ERROR(context->Concatenate(padded, context->Vector(kChannels), &padded));
      context->set_output(0, padded);
      return OkStatus();
    })
    .Doc("The images of a batch resized bilinearly, mirrored, cropped and padded; kernels/resize.h says how.");

class ResizeOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const int count = context->num_inputs() - kArguments;
    const Placements placements(context, count, count);
    const Tensor& padded = context->input(count + kPlacementInputs);
    OP_REQUIRES_OK(context, CheckShape("padded", padded, {2}, "[2], height and width"));
    OP_REQUIRES_OK(context, placements.Check());
    const Canvas canvas{padded.vec<int32_t>()(0), padded.vec<int32_t>()(1)};
    for (int i = 0; i < count; ++i) {
      OP_REQUIRES_OK(context, CheckImage(context->input(i)));
      OP_REQUIRES_OK(context, CheckRoom(placements.Of(i, 1, 1), canvas));
    }
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape({count, canvas.height, canvas.width, kChannels}, &shape));
    Tensor* resized = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &resized));
    uint8_t* result = resized->flat<uint8_t>().data();
    for (int i = 0; i < count; ++i) {
      const Tensor& image = context->input(i);
      const Placement placement = placements.Of(i, image.dim_size(0), image.dim_size(1));
      Resize(image.flat<uint8_t>().data(), placement, canvas, result);
      result += canvas.height * kChannels * canvas.width;
    }
  }

 private:
  static Status CheckImage(const Tensor& image) {
    if (image.dims() != 3 || image.dim_size(0) < 1 || image.dim_size(1) < 1 || image.dim_size(2) != kChannels) {
      return InvalidArgument("image must be [h, w, 3] with a pixel at least, got shape ", image.shape().DebugString());
    }
    // Positions on an axis are int32.
    if (image.dim_size(0) > INT32_MAX || image.dim_size(1) > INT32_MAX) {
      return InvalidArgument("image has a side above 2^31, its shape is ", image.shape().DebugString());
    }
    return OkStatus();
  }

  static Status CheckRoom(const Placement& placement, const Canvas& canvas) {
    if (canvas.height >= placement.window_height && canvas.width >= placement.window_width) return OkStatus();
    return InvalidArgument("padded is ", canvas.height, " x ", canvas.width, ", which is less than window, ",
                           placement.window_height, " x ", placement.window_width);
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetResize").Device(DEVICE_CPU), ResizeOp);

}  // namespace
}  // namespace awsdet
