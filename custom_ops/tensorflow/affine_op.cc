// The operators AwsdetAffine and AwsdetAffineGrad: registration, CPU kernels.
#include "kernels/affine.h"

#include "tensorflow/affine_arguments.h"
#include "tensorflow/kernel.h"
#include "tensorflow/kernel_type.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

REGISTER_OP("AwsdetAffine")
    .Input("features: T")
    .Input("parameters: num_parameters * float")
    .Input("residual: num_residuals * T")
    .Output("outputs: T")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_parameters: int >= 1")
    .Attr("num_residuals: int >= 0")
    .Attr("epsilon: float")
    .Attr("relu: bool")
    .Attr("trainable: bool")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle features = context->input(0), unused;
      TF_RETURN_IF_ERROR(context->WithRankAtLeast(features, 1, &unused));
      int parameters;
      TF_RETURN_IF_ERROR(context->GetAttr("num_parameters", &parameters));
      for (int i = 1 + parameters; i < context->num_inputs(); ++i) {
        if (!context->Merge(features, context->input(i), &features).ok()) {
          return InvalidArgument("affine: residual ", context->DebugString(context->input(i)),
                                 " must have the shape of features, ", context->DebugString(features));
        }
      }
      context->set_output(0, features);
      return OkStatus();
    })
    .Doc("Bias or stored batch norm, residual, ReLU; see awsdet/ops/affine.py. Only its gradient reads `trainable`.");

REGISTER_OP("AwsdetAffineGrad")
    .Input("upstream: T")
    .Input("outputs: num_outputs * T")
    .Input("features: num_features * T")
    .Input("parameters: num_parameters * float")
    .Output("features_gradient: T")
    .Output("residual_gradient: num_residuals * T")
    .Output("sums: num_sums * float")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_outputs: int >= 0")
    .Attr("num_features: int >= 0")
    .Attr("num_parameters: int >= 1")
    .Attr("num_residuals: int >= 0")
    .Attr("num_sums: int >= 0")
    .Attr("epsilon: float")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle upstream = context->input(0), unused;
      TF_RETURN_IF_ERROR(context->WithRankAtLeast(upstream, 1, &unused));
      int residuals;
      TF_RETURN_IF_ERROR(context->GetAttr("num_residuals", &residuals));
      for (int i = 0; i < context->num_outputs(); ++i) {
        context->set_output(i, i <= residuals ? upstream : context->Vector(context->Dim(upstream, -1)));
      }
      return OkStatus();
    })
    .Doc("The gradients of AwsdetAffine. `outputs` are its outputs if it has a ReLU; `features` its features if gamma's "
         "gradient is wanted. `sums` are the gradients of gamma and beta, or of the bias, or none.");

template <typename T>
KernelType<T>* Data(const Tensor* tensor) {
  if (tensor == nullptr) return nullptr;
  return reinterpret_cast<KernelType<T>*>(const_cast<T*>(tensor->flat<T>().data()));
}

template <typename T>
Status RunAffine(OpKernelContext* context, const AffineForwardAttributes& attributes, const AffineForward& pass) {
  Affine<KernelType<T>>(pass.size, pass.parameters, Data<T>(pass.features), Data<T>(pass.residual), attributes.relu,
                        WorkerThreads(context), Data<T>(pass.outputs));
  return OkStatus();
}

template <typename T>
Status RunAffineGrad(OpKernelContext* context, const AffineAttributes&, const AffineBackward& pass) {
  AffineGrad<KernelType<T>>(
      pass.size, pass.parameters,
      {Data<T>(pass.upstream), Data<T>(pass.outputs), Data<T>(pass.features), Data<T>(pass.features_gradient),
       Data<T>(pass.residual_gradient), Data<float>(pass.gamma_gradient), Data<float>(pass.beta_gradient)},
      WorkerThreads(context));
  return OkStatus();
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetAffine").Device(DEVICE_CPU), AffineForward, RunAffine)
AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetAffineGrad").Device(DEVICE_CPU), AffineBackward, RunAffineGrad)

}  // namespace
}  // namespace awsdet
