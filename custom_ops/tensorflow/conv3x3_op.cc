// AwsdetConv3x3: registration, checks of the arguments, CPU kernel.
#include "kernels/conv3x3.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

REGISTER_OP("AwsdetConv3x3")
    .Input("features: float")
    .Input("kernel: float")
    .Input("bias: float")
    .Output("convolved: float")
    .Attr("relu: bool")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle features, kernel;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 4, &features));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(1), 4, &kernel));
      context->set_output(0, context->MakeShape({context->Dim(features, 0), context->Dim(features, 1),
                                                 context->Dim(features, 2), context->Dim(kernel, 3)}));
      return OkStatus();
    })
    .Doc("A 3x3 convolution by Winograd's rule; see awsdet/ops/conv3x3.py.");

class Conv3x3Op : public OpKernel {
 public:
  explicit Conv3x3Op(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &features = context->input(0), &kernel = context->input(1), &bias = context->input(2);
    OP_REQUIRES(context, features.dims() == 4 && features.dim_size(3) > 0 && features.dim_size(3) % kConvLanes == 0,
                InvalidArgument("conv3x3: features must be [B, H, W, a multiple of ", kConvLanes, "], got shape ",
                                features.shape().DebugString()));
    const int64_t in = features.dim_size(3), out = kernel.dims() == 4 ? kernel.dim_size(3) : 0;
    OP_REQUIRES(context, out > 0 && out % kConvColumns == 0 && kernel.shape() == TensorShape({3, 3, in, out}),
                InvalidArgument("conv3x3: kernel must be [3, 3, ", in, ", a multiple of ", kConvColumns,
                                "], got shape ", kernel.shape().DebugString()));
    OP_REQUIRES(context, bias.shape() == TensorShape({out}),
                InvalidArgument("conv3x3: bias must be [", out, "], got shape ", bias.shape().DebugString()));
    TensorShape result = features.shape();
    result.set_dim(3, out);
    Tensor* convolved;
    OP_REQUIRES_OK(context, context->allocate_output(0, result, &convolved));
    Conv3x3(features.flat<float>().data(), kernel.flat<float>().data(), bias.flat<float>().data(),
            {features.dim_size(0), features.dim_size(1), features.dim_size(2), in, out}, relu_, WorkerThreads(context),
            convolved->flat<float>().data());
  }

 private:
  bool relu_;
};

REGISTER_KERNEL_BUILDER(Name("AwsdetConv3x3").Device(DEVICE_CPU), Conv3x3Op);

}  // namespace
}  // namespace awsdet

// For the caller to choose by, before it makes a graph.
extern "C" __attribute__((visibility("default"))) bool awsdet_conv3x3_pays() { return awsdet::Conv3x3Pays(); }
