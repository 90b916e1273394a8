// Reads and checks the arguments of the operators on many tensors, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_MULTI_TENSOR_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_MULTI_TENSOR_ARGUMENTS_H_

#include <optional>
#include <vector>

#include "kernels/multi_tensor.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/variables.h"

namespace awsdet {

// Returns an error unless `tensor` has the shape of variable number i.
inline Status CheckLikeVariable(const char* op, const char* list, const WrittenVariables& variables, size_t i,
                                const Tensor& tensor) {
  if (tensor.shape() == variables.shape(i)) return OkStatus();
  return InvalidArgument(op, ": ", list, "[", i, "] must be ", variables.shape(i).DebugString(), " like ",
                         variables.name(i), ", not ", tensor.shape().DebugString());
}

// Returns an error unless the input `name` is a scalar.
inline Status CheckScalar(OpKernelContext* context, const char* op, const char* name, const Tensor** scalar) {
  TF_RETURN_IF_ERROR(context->input(name, scalar));
  if ((*scalar)->dims() == 0) return OkStatus();
  return InvalidArgument(op, ": ", name, " must be a scalar, not ", (*scalar)->shape().DebugString());
}

// Returns an error unless a list that goes with a list of variables has as many tensors.
inline Status CheckLength(const char* op, const char* list, int found, const char* variables, int wanted) {
  if (found == wanted) return OkStatus();
  return InvalidArgument(op, ": ", wanted, " ", variables, " but ", found, " ", list);
}

// As the kernels name it.
inline FloatType TypeOf(const Tensor& tensor) {
  return tensor.dtype() == tensorflow::DT_HALF       ? FloatType::kHalf
         : tensor.dtype() == tensorflow::DT_BFLOAT16 ? FloatType::kBFloat16
                                                     : FloatType::kFloat;
}

// The inputs of AwsdetCast with its outputs.
struct CastCall {
  using Attributes = NoAttributes;
  std::vector<CastTensor> tensors;
  FloatType type;

  Status Read(OpKernelContext* context, const Attributes&) {
    OpInputList values;
    OpOutputList results;
    TF_RETURN_IF_ERROR(context->input_list("values", &values));
    TF_RETURN_IF_ERROR(context->output_list("results", &results));
    for (int i = 0; i < values.size(); ++i) {
      Tensor* result;
      TF_RETURN_IF_ERROR(results.allocate(i, values[i].shape(), &result));
      tensors.push_back({values[i].flat<float>().data(), result->data(), values[i].NumElements()});
      type = TypeOf(*result);
    }
    return OkStatus();
  }
};

// Returns an error unless variable `own`, of another list, has the shape of variable number i.
inline Status CheckAlike(const char* op, const WrittenVariables& variables, size_t own, size_t i) {
  if (variables.shape(own) == variables.shape(i)) return OkStatus();
  return InvalidArgument(op, ": ", variables.name(own), " must be ", variables.shape(i).DebugString(), " like ",
                         variables.name(i), ", not ", variables.shape(own).DebugString());
}

// The variables of AwsdetSgdUpdate with their buffers and gradients. `variables` must live as long as the result.
inline Status ReadSgd(OpKernelContext* context, WrittenVariables* variables, std::vector<SgdTensor>* tensors) {
  OpInputList gradients;
  TF_RETURN_IF_ERROR(context->input_list("gradients", &gradients));
  TF_RETURN_IF_ERROR(variables->Add("variables"));
  TF_RETURN_IF_ERROR(variables->Add("momenta"));
  TF_RETURN_IF_ERROR(variables->Lock());
  const int count = gradients.size(), wanted = (context->num_inputs() - 3 - count) / 2;
  TF_RETURN_IF_ERROR(CheckLength("sgd_update", "gradients", count, "variables", wanted));
  for (int i = 0; i < count; ++i) {
    TF_RETURN_IF_ERROR(CheckLikeVariable("sgd_update", "gradients", *variables, i, gradients[i]));
    TF_RETURN_IF_ERROR(CheckAlike("sgd_update", *variables, count + i, i));
  }
  for (int i = 0; i < count; ++i) {  // once all is checked: nothing is written if something is wrong
    SgdTensor tensor{nullptr, nullptr, gradients[i].data(), gradients[i].NumElements(), TypeOf(gradients[i])};
    TF_RETURN_IF_ERROR(variables->Write(i, true, &tensor.variable));
    TF_RETURN_IF_ERROR(variables->Write(count + i, true, &tensor.momentum));
    tensors->push_back(tensor);
  }
  return OkStatus();
}

inline Status ReadNorm(OpKernelContext* context, std::vector<ConstTensor>* tensors) {
  OpInputList inputs;
  TF_RETURN_IF_ERROR(context->input_list("tensors", &inputs));
  for (const Tensor& tensor : inputs) tensors->push_back({tensor.data(), tensor.NumElements(), TypeOf(tensor)});
  return OkStatus();
}

// The sums of AwsdetAccumulate with what is added to them.
inline Status ReadSums(OpKernelContext* context, WrittenVariables* variables, std::vector<SumTensor>* tensors) {
  OpInputList addends;
  TF_RETURN_IF_ERROR(context->input_list("tensors", &addends));
  const int sums = context->num_inputs() - 1 - addends.size();
  TF_RETURN_IF_ERROR(CheckLength("accumulate", "tensors", addends.size(), "sums", sums));
  TF_RETURN_IF_ERROR(variables->Add("sums"));
  TF_RETURN_IF_ERROR(variables->Lock());
  for (int i = 0; i < addends.size(); ++i) {
    TF_RETURN_IF_ERROR(CheckLikeVariable("accumulate", "tensors", *variables, i, addends[i]));
  }
  for (int i = 0; i < addends.size(); ++i) {
    SumTensor tensor{nullptr, addends[i].data(), addends[i].NumElements(), TypeOf(addends[i])};
    TF_RETURN_IF_ERROR(variables->Write(i, true, &tensor.sum));
    tensors->push_back(tensor);
  }
  return OkStatus();
}

// The averages of AwsdetMovingAverage with the values that they follow.
inline Status ReadAverages(OpKernelContext* context, WrittenVariables* variables, std::vector<AverageTensor>* tensors) {
  OpInputList values;
  TF_RETURN_IF_ERROR(context->input_list("values", &values));
  TF_RETURN_IF_ERROR(variables->Add("averages"));
  TF_RETURN_IF_ERROR(variables->Lock());
  for (int i = 0; i < values.size(); ++i) {
    TF_RETURN_IF_ERROR(CheckLikeVariable("moving_average", "values", *variables, i, values[i]));
  }
  for (int i = 0; i < values.size(); ++i) {
    AverageTensor tensor{nullptr, values[i].flat<float>().data(), values[i].NumElements()};
    TF_RETURN_IF_ERROR(variables->Write(i, true, &tensor.average));
    tensors->push_back(tensor);
  }
  return OkStatus();
}

inline Status ReadZeroed(OpKernelContext* context, WrittenVariables* variables, std::vector<MutableTensor>* tensors) {
  TF_RETURN_IF_ERROR(variables->Add("variables"));
  TF_RETURN_IF_ERROR(variables->Lock());
  for (int i = 0; i < context->num_inputs(); ++i) {
    MutableTensor tensor{nullptr, variables->shape(i).num_elements()};
    TF_RETURN_IF_ERROR(variables->Write(i, false, &tensor.values));
    tensors->push_back(tensor);
  }
  return OkStatus();
}

// How a device copies variables; see WrittenVariables.
using CopyOnDevice = WrittenVariables::Copy (*)(OpKernelContext*);

struct SgdAttributes {
  float momentum, weight_decay;

  Status Read(OpKernelConstruction* context) {
    TF_RETURN_IF_ERROR(context->GetAttr("momentum", &momentum));
    return context->GetAttr("weight_decay", &weight_decay);
  }
};

template <CopyOnDevice Copy>
struct SgdCall {
  using Attributes = SgdAttributes;
  const Tensor *learning_rate, *factor, *apply;
  std::optional<WrittenVariables> variables;
  std::vector<SgdTensor> tensors;

  Status Read(OpKernelContext* context, const Attributes&) {
    TF_RETURN_IF_ERROR(CheckScalar(context, "sgd_update", "learning_rate", &learning_rate));
    TF_RETURN_IF_ERROR(CheckScalar(context, "sgd_update", "factor", &factor));
    TF_RETURN_IF_ERROR(CheckScalar(context, "sgd_update", "apply", &apply));
    variables.emplace(context, "sgd_update", Copy(context));
    return ReadSgd(context, &*variables, &tensors);
  }
};

struct GlobalNormCall {
  using Attributes = NoAttributes;
  std::vector<ConstTensor> tensors;
  Tensor* norm;

  Status Read(OpKernelContext* context, const Attributes&) {
    TF_RETURN_IF_ERROR(ReadNorm(context, &tensors));
    return context->allocate_output(0, {}, &norm);
  }
};

template <CopyOnDevice Copy>
struct AccumulateCall {
  using Attributes = NoAttributes;
  const Tensor* factor;
  std::optional<WrittenVariables> variables;
  std::vector<SumTensor> tensors;

  Status Read(OpKernelContext* context, const Attributes&) {
    TF_RETURN_IF_ERROR(CheckScalar(context, "accumulate", "factor", &factor));
    variables.emplace(context, "accumulate", Copy(context));
    return ReadSums(context, &*variables, &tensors);
  }
};

template <CopyOnDevice Copy>
struct AverageCall {
  using Attributes = NoAttributes;
  const Tensor *decay, *apply;
  std::optional<WrittenVariables> averages;
  std::vector<AverageTensor> tensors;

  Status Read(OpKernelContext* context, const Attributes&) {
    TF_RETURN_IF_ERROR(CheckScalar(context, "moving_average", "decay", &decay));
    TF_RETURN_IF_ERROR(CheckScalar(context, "moving_average", "apply", &apply));
    averages.emplace(context, "moving_average", Copy(context));
    return ReadAverages(context, &*averages, &tensors);
  }
};

template <CopyOnDevice Copy>
struct SetZeroCall {
  using Attributes = NoAttributes;
  std::optional<WrittenVariables> variables;
  std::vector<MutableTensor> tensors;

  Status Read(OpKernelContext* context, const Attributes&) {
    variables.emplace(context, "set_zero", Copy(context));
    return ReadZeroed(context, &*variables, &tensors);
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_MULTI_TENSOR_ARGUMENTS_H_
