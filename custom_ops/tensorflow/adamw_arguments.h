// Reads and checks the arguments of AwsdetAdamwUpdate, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_ADAMW_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_ADAMW_ARGUMENTS_H_

#include <optional>
#include <vector>

#include "kernels/multi_tensor.h"
#include "tensorflow/multi_tensor_arguments.h"
#include "tensorflow/op.h"
#include "tensorflow/variables.h"

namespace awsdet {

struct AdamwAttributes {
  AdamwSettings settings;
  std::vector<float> rate_factors, weight_decays;  // one per variable

  Status Read(OpKernelConstruction* context) {
    int count;
    TF_RETURN_IF_ERROR(context->GetAttr("N", &count));
    TF_RETURN_IF_ERROR(context->GetAttr("beta_1", &settings.beta_1));
    TF_RETURN_IF_ERROR(context->GetAttr("beta_2", &settings.beta_2));
    TF_RETURN_IF_ERROR(context->GetAttr("epsilon", &settings.epsilon));
    TF_RETURN_IF_ERROR(context->GetAttr("rate_factors", &rate_factors));
    TF_RETURN_IF_ERROR(context->GetAttr("weight_decays", &weight_decays));
    TF_RETURN_IF_ERROR(CheckLength("adamw_update", "rate_factors", rate_factors.size(), "variables", count));
    TF_RETURN_IF_ERROR(CheckLength("adamw_update", "weight_decays", weight_decays.size(), "variables", count));
    TF_RETURN_IF_ERROR(CheckBeta("beta_1", settings.beta_1));
    TF_RETURN_IF_ERROR(CheckBeta("beta_2", settings.beta_2));
    if (settings.epsilon >= 0) return OkStatus();
    return InvalidArgument("adamw_update: epsilon must be 0 or more, not ", settings.epsilon);
  }

  static Status CheckBeta(const char* name, float beta) {
    if (beta >= 0 && beta < 1) return OkStatus();
    return InvalidArgument("adamw_update: ", name, " must be 0 or more and below 1, not ", beta);
  }
};

template <CopyOnDevice Copy>
struct AdamwCall {
  using Attributes = AdamwAttributes;
  const Tensor *learning_rate, *factor, *apply;
  int64_t* applied;  // of the operator's device
  std::optional<WrittenVariables> variables;
  std::vector<AdamwTensor> tensors;

  Status Read(OpKernelContext* context, const Attributes& attributes) {
    TF_RETURN_IF_ERROR(CheckScalar(context, "adamw_update", "learning_rate", &learning_rate));
    TF_RETURN_IF_ERROR(CheckScalar(context, "adamw_update", "factor", &factor));
    TF_RETURN_IF_ERROR(CheckScalar(context, "adamw_update", "apply", &apply));
    variables.emplace(context, "adamw_update", Copy(context));
    OpInputList gradients;
    TF_RETURN_IF_ERROR(context->input_list("gradients", &gradients));
    for (const char* list : {"variables", "first_moments", "second_moments"}) {
      TF_RETURN_IF_ERROR(variables->Add(list));
    }
    TF_RETURN_IF_ERROR(variables->AddCounter("applied"));
    TF_RETURN_IF_ERROR(variables->Lock());
    TF_RETURN_IF_ERROR(Check(gradients, attributes.rate_factors.size()));
    return Collect(gradients, attributes);
  }

 private:
  // All of it before anything is written.
  Status Check(const OpInputList& gradients, int count) const {
    TF_RETURN_IF_ERROR(CheckLength("adamw_update", "gradients", gradients.size(), "variables", count));
    for (int i = 0; i < count; ++i) {
      TF_RETURN_IF_ERROR(CheckLikeVariable("adamw_update", "gradients", *variables, i, gradients[i]));
      TF_RETURN_IF_ERROR(CheckAlike("adamw_update", *variables, count + i, i));
      TF_RETURN_IF_ERROR(CheckAlike("adamw_update", *variables, 2 * count + i, i));
    }
    if (variables->shape(3 * count).dims() == 0) return OkStatus();
    return InvalidArgument("adamw_update: applied must be a scalar, not ", variables->shape(3 * count).DebugString());
  }

  Status Collect(const OpInputList& gradients, const Attributes& attributes) {
    const int count = gradients.size();
    for (int i = 0; i < count; ++i) {
      AdamwTensor tensor{nullptr, nullptr, nullptr, gradients[i].data(), gradients[i].NumElements(),
                         attributes.rate_factors[i], attributes.weight_decays[i], TypeOf(gradients[i])};
      TF_RETURN_IF_ERROR(variables->Write(i, true, &tensor.variable));
      TF_RETURN_IF_ERROR(variables->Write(count + i, true, &tensor.first_moment));
      TF_RETURN_IF_ERROR(variables->Write(2 * count + i, true, &tensor.second_moment));
      tensors.push_back(tensor);
    }
    return variables->Write(3 * count, true, &applied);
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_ADAMW_ARGUMENTS_H_
