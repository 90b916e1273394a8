// Reads and checks the inputs of AwsdetAffine and AwsdetAffineGrad, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_AFFINE_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_AFFINE_ARGUMENTS_H_

#include "kernels/affine.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {

constexpr int kNormParameters = 4;  // gamma, beta, mean, variance; a bias is one parameter

// Rows and channels of features [..., C].
inline Status ReadAffineSize(const char* name, const Tensor& features, AffineSize* size) {
  if (features.dims() < 1) return InvalidArgument("affine: ", name, " must be [..., C], got a scalar");
  size->channels = features.dim_size(features.dims() - 1);
  size->rows = 1;
  for (int i = 0; i + 1 < features.dims(); ++i) size->rows *= features.dim_size(i);
  return OkStatus();
}

// `inputs`: of the name `parameters`.
inline Status ReadAffineParameters(const OpInputList& inputs, int64_t channels, float epsilon,
                                   AffineParameters* parameters) {
  static const char* const kNames[] = {"gamma", "beta", "mean", "variance"};
  const bool norm = inputs.size() == kNormParameters;
  const float* numbers[kNormParameters] = {};
  for (int i = 0; i < inputs.size(); ++i) {
    if (inputs[i].shape() != TensorShape({channels})) {
      return InvalidArgument("affine: ", norm ? kNames[i] : "bias", " must be [", channels, "], got shape ",
                             inputs[i].shape().DebugString());
    }
    numbers[i] = inputs[i].flat<float>().data();
  }
  if (norm) {
    *parameters = {numbers[0], numbers[1], numbers[2], numbers[3], epsilon};
  } else {
    *parameters = {nullptr, numbers[0], nullptr, nullptr, epsilon};
  }
  return OkStatus();
}

// Those that both operators have.
struct AffineAttributes {
  float epsilon;

  Status Read(OpKernelConstruction* context) {
    int count;
    TF_RETURN_IF_ERROR(context->GetAttr("epsilon", &epsilon));
    TF_RETURN_IF_ERROR(context->GetAttr("num_parameters", &count));
    if (count == 1 || count == kNormParameters) return OkStatus();
    return InvalidArgument("affine: parameters must be a bias or gamma, beta, mean and variance, got ", count);
  }
};

struct AffineForwardAttributes : AffineAttributes {
  bool relu;

  Status Read(OpKernelConstruction* context) {
    TF_RETURN_IF_ERROR(AffineAttributes::Read(context));
    return context->GetAttr("relu", &relu);
  }
};

// The inputs of AwsdetAffine, and its output.
struct AffineForward {
  using Attributes = AffineForwardAttributes;
  AffineSize size;
  AffineParameters parameters;
  const Tensor* features;
  const Tensor* residual;  // null if there is none
  Tensor* outputs;

  // Also allocates the outputs, in the memory of the features or of the residual if nobody else needs these.
  Status Read(OpKernelContext* context, const AffineForwardAttributes& attributes) {
    OpInputList inputs, residuals;
    TF_RETURN_IF_ERROR(context->input_list("parameters", &inputs));
    TF_RETURN_IF_ERROR(context->input_list("residual", &residuals));
    features = &context->input(0);
    TF_RETURN_IF_ERROR(ReadAffineSize("features", *features, &size));
    TF_RETURN_IF_ERROR(ReadAffineParameters(inputs, size.channels, attributes.epsilon, &parameters));
    residual = residuals.size() > 0 ? &context->input(1 + inputs.size()) : nullptr;
    if (residual != nullptr && residual->shape() != features->shape()) {
      return InvalidArgument("affine: residual ", residual->shape().DebugString(), " must have the shape of features, ",
                             features->shape().DebugString());
    }
    if (residual == nullptr) {
      return context->forward_input_or_allocate_output({0}, 0, features->shape(), &outputs);
    }
    return context->forward_input_or_allocate_output({0, 1 + inputs.size()}, 0, features->shape(), &outputs);
  }
};

// The inputs of AwsdetAffineGrad, and its outputs.
struct AffineBackward {
  using Attributes = AffineAttributes;
  AffineSize size;
  AffineParameters parameters;
  const Tensor* upstream;
  const Tensor* outputs = nullptr;   // null without ReLU
  const Tensor* features = nullptr;  // null unless gamma's gradient is wanted
  Tensor* features_gradient = nullptr;  // null if it is `upstream` itself, which then is the output
  Tensor* residual_gradient = nullptr;
  Tensor* gamma_gradient = nullptr;
  Tensor* beta_gradient = nullptr;

  Status Read(OpKernelContext* context, const AffineAttributes& attributes) {
    OpInputList all_outputs, all_features, inputs;
    TF_RETURN_IF_ERROR(context->input_list("outputs", &all_outputs));
    TF_RETURN_IF_ERROR(context->input_list("features", &all_features));
    TF_RETURN_IF_ERROR(context->input_list("parameters", &inputs));
    upstream = &context->input(0);
    TF_RETURN_IF_ERROR(ReadAffineSize("upstream", *upstream, &size));
    TF_RETURN_IF_ERROR(ReadAffineParameters(inputs, size.channels, attributes.epsilon, &parameters));
    if (all_outputs.size() > 0) outputs = &context->input(1);
    if (all_features.size() > 0) features = &context->input(1 + all_outputs.size());
    if (outputs != nullptr) {
      TF_RETURN_IF_ERROR(CheckShape("affine: outputs", *outputs, upstream->shape(), "of the shape of upstream"));
    }
    if (features != nullptr) {
      TF_RETURN_IF_ERROR(CheckShape("affine: features", *features, upstream->shape(), "of the shape of upstream"));
    }
    return Allocate(context);
  }

 private:
  Status Allocate(OpKernelContext* context) {
    const bool norm = parameters.gamma != nullptr;
    OpOutputList residual_list, sum_list;
    TF_RETURN_IF_ERROR(context->output_list("residual_gradient", &residual_list));
    TF_RETURN_IF_ERROR(context->output_list("sums", &sum_list));
    const int residuals = residual_list.size(), sums = sum_list.size();
    if (residuals > 0 && (outputs == nullptr || !norm)) {
      return InvalidArgument("affine: without ReLU or without gamma the residual has the gradient of another tensor");
    }
    if (sums > (norm ? 2 : 1) || (norm && sums == 1)) {
      return InvalidArgument("affine: ", sums, " sums do not fit the parameters");
    }
    if ((sums == 2) != (features != nullptr)) {
      return InvalidArgument("affine: features are needed for gamma's gradient, and only for that");
    }
    if (norm || outputs != nullptr) {
      TF_RETURN_IF_ERROR(
          context->forward_input_or_allocate_output({0}, 0, upstream->shape(), &features_gradient));
    } else {
      context->set_output(0, *upstream);
    }
    if (residuals > 0) TF_RETURN_IF_ERROR(residual_list.allocate(0, upstream->shape(), &residual_gradient));
    const TensorShape channels({size.channels});
    if (sums == 2) TF_RETURN_IF_ERROR(sum_list.allocate(0, channels, &gamma_gradient));
    if (sums > 0) TF_RETURN_IF_ERROR(sum_list.allocate(sums - 1, channels, &beta_gradient));
    return OkStatus();
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_AFFINE_ARGUMENTS_H_
