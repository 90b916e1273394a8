// AwsdetPasteMasks: mask probabilities and boxes to COCO's compressed run-length codes. It has only a CPU kernel, since
// its output is text.
#include <cstdint>
#include <string_view>

#include "kernels/paste_masks.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

REGISTER_OP("AwsdetPasteMasks")
    .Input("probabilities: float")
    .Input("boxes: float")
    .Input("image_size: int32")
    .Input("threshold: float")
    .Output("counts: string")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle masks, boxes, image_size, threshold;
      DimensionHandle unused, count;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &masks));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(1), 2, &boxes));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 2, &image_size));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(3), 0, &threshold));
      TF_RETURN_IF_ERROR(context->WithValue(context->Dim(boxes, 1), 4, &unused));
      TF_RETURN_IF_ERROR(context->WithValue(context->Dim(image_size, 1), 2, &unused));
      TF_RETURN_IF_ERROR(context->Merge(context->Dim(masks, 0), context->Dim(boxes, 0), &count));
      TF_RETURN_IF_ERROR(context->Merge(count, context->Dim(image_size, 0), &count));
      context->set_output(0, context->Vector(count));
      return OkStatus();
    })
    .Doc("Masks pasted into their images, as run-length codes; see kernels/paste_masks.h.");

class PasteMasksOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor &probabilities = context->input(0), &boxes = context->input(1), &image_size = context->input(2);
    const Tensor& threshold = context->input(3);
    OP_REQUIRES(context, probabilities.dims() == 3 && probabilities.dim_size(1) > 0 && probabilities.dim_size(2) > 0,
                InvalidArgument("probabilities must be [N, rows, columns] with at least one row and column, got shape ",
                                probabilities.shape().DebugString()));
    const int64_t count = probabilities.dim_size(0);
    OP_REQUIRES_OK(context, CheckShape("boxes", boxes, {count, 4}, "[", count, ", 4], a row for each mask"));
    OP_REQUIRES_OK(context, CheckShape("image_size", image_size, {count, 2}, "[", count, ", 2], a row for each mask"));
    OP_REQUIRES_OK(context, CheckShape("threshold", threshold, {}, "a scalar"));
    const float least = threshold.scalar<float>()();
    OP_REQUIRES(context, least > 0,
                InvalidArgument("threshold must be above 0 (pixels outside the box have probability 0), got ", least));
    const auto sizes = image_size.matrix<int32_t>();
    for (int64_t n = 0; n < count; ++n) {
      OP_REQUIRES(context, sizes(n, 0) >= 0 && sizes(n, 1) >= 0,
                  InvalidArgument("image_size[", n, "] is ", sizes(n, 0), " x ", sizes(n, 1), ", which is negative"));
    }
    Tensor* output = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {count}, &output));
    auto counts = output->flat<tensorflow::tstring>();
    const BoxMasks masks{probabilities.flat<float>().data(), probabilities.dim_size(1), probabilities.dim_size(2),
                         boxes.flat<float>().data(), sizes.data()};
    const auto store = [&](int64_t n, std::string_view text) { counts(n).assign(text.data(), text.size()); };
    PasteMasks(masks, count, least, store, WorkerThreads(context));
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetPasteMasks").Device(DEVICE_CPU), PasteMasksOp);

}  // namespace
}  // namespace awsdet
