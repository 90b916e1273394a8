// Registration of the operators on many tensors at once, and their CPU kernels.
#include <algorithm>
#include <cstring>

#include "kernels/multi_tensor.h"
#include "tensorflow/adamw_arguments.h"
#include "tensorflow/kernel.h"
#include "tensorflow/multi_tensor_arguments.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

// Returns an error unless the inputs from number `first` on are scalars, as far as that is known.
Status ScalarsFrom(InferenceContext* context, int first, const char* op) {
  ShapeHandle unused;
  for (int i = first; i < context->num_inputs(); ++i) {
    if (!context->WithRank(context->input(i), 0, &unused).ok()) {
      return InvalidArgument(op, ": learning_rate, factor, decay and apply must be scalars, not ",
                             context->DebugString(context->input(i)));
    }
  }
  return OkStatus();
}

REGISTER_OP("AwsdetSgdUpdate")
    .Attr("N: int >= 0")
    .Attr("momentum: float")
    .Attr("weight_decay: float")
    .Attr("T: list({float, half, bfloat16}) >= 0")
    .Input("variables: N * resource")
    .Input("momenta: N * resource")
    .Input("gradients: T")
    .Input("learning_rate: float")
    .Input("factor: float")
    .Input("apply: bool")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* context) {
      return ScalarsFrom(context, context->num_inputs() - 3, "sgd_update");
    })
    .Doc("The update of SGD for all variables; see kernels/multi_tensor.h. If not `apply`, nothing changes.");

REGISTER_OP("AwsdetAdamwUpdate")
    .Attr("N: int >= 0")
    .Attr("beta_1: float")
    .Attr("beta_2: float")
    .Attr("epsilon: float")
    .Attr("rate_factors: list(float) >= 0")
    .Attr("weight_decays: list(float) >= 0")
    .Attr("T: list({float, half, bfloat16}) >= 0")
    .Input("variables: N * resource")
    .Input("first_moments: N * resource")
    .Input("second_moments: N * resource")
    .Input("gradients: T")
    .Input("applied: resource")
    .Input("learning_rate: float")
    .Input("factor: float")
    .Input("apply: bool")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* context) {
      return ScalarsFrom(context, context->num_inputs() - 3, "adamw_update");
    })
    .Doc("The update of AdamW for all variables, and `applied`, the number of updates so far, plus 1; see "
         "kernels/adamw_rule.h. If not `apply`, nothing changes.");

REGISTER_OP("AwsdetGlobalNorm")
    .Attr("T: list({float, half, bfloat16}) >= 0")
    .Input("tensors: T")
    .Output("norm: float")
    .SetShapeFn(tensorflow::shape_inference::ScalarShape)
    .Doc("The L2 norm of all tensors together; see kernels/multi_tensor.h.");

REGISTER_OP("AwsdetAccumulate")
    .Attr("N: int >= 0")
    .Attr("T: list({float, half, bfloat16}) >= 0")
    .Input("sums: N * resource")
    .Input("tensors: T")
    .Input("factor: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* context) {
      return ScalarsFrom(context, context->num_inputs() - 1, "accumulate");
    })
    .Doc("Adds factor * tensor to each of the variables `sums`.");

REGISTER_OP("AwsdetMovingAverage")
    .Attr("N: int >= 0")
    .Input("averages: N * resource")
    .Input("values: N * float")
    .Input("decay: float")
    .Input("apply: bool")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* context) {
      return ScalarsFrom(context, context->num_inputs() - 2, "moving_average");
    })
    .Doc("Moves each average towards its value: average -= (average - value) * (1 - decay). If not `apply`, nothing "
         "changes.");

REGISTER_OP("AwsdetSetZero")
    .Attr("N: int >= 0")
    .Input("variables: N * resource")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs)
    .Doc("Sets all elements of the variables to zero.");

REGISTER_OP("AwsdetCast")
    .Attr("N: int >= 1")
    .Attr("T: {half, bfloat16}")
    .Input("values: N * float")
    .Output("results: N * T")
    .SetShapeFn([](InferenceContext* context) {
      for (int i = 0; i < context->num_inputs(); ++i) context->set_output(i, context->input(i));
      return OkStatus();
    })
    .Doc("Each of `values` rounded to 16 bits, as Cast does it one by one.");

Status RunCast(OpKernelContext* context, const NoAttributes&, const CastCall& call) {
  Cast(call.tensors, call.type, WorkerThreads(context));
  return OkStatus();
}

WrittenVariables::Copy CopyOnCpu(OpKernelContext* context) {
  return [context](void* to, const void* from, size_t bytes) {
    constexpr int64_t kPiece = 1 << 16;
    const int64_t total = static_cast<int64_t>(bytes);
    WorkerThreads(context)((total + kPiece - 1) / kPiece, kPiece / 4, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kPiece, size = std::min(end * kPiece, total) - first;
      std::memcpy(static_cast<char*>(to) + first, static_cast<const char*>(from) + first, size);
    });
    return OkStatus();
  };
}

using AverageOnCpu = AverageCall<CopyOnCpu>;
using SgdOnCpu = SgdCall<CopyOnCpu>;
using AdamwOnCpu = AdamwCall<CopyOnCpu>;
using AccumulateOnCpu = AccumulateCall<CopyOnCpu>;
using SetZeroOnCpu = SetZeroCall<CopyOnCpu>;

Status RunSgdUpdate(OpKernelContext* context, const SgdAttributes& attributes, const SgdOnCpu& call) {
  if (!call.apply->scalar<bool>()()) return OkStatus();
  SgdUpdate(call.tensors,
            {call.learning_rate->scalar<float>()(), call.factor->scalar<float>()(), attributes.momentum,
             attributes.weight_decay},
            WorkerThreads(context));
  return OkStatus();
}

Status RunAdamwUpdate(OpKernelContext* context, const AdamwAttributes& attributes, const AdamwOnCpu& call) {
  if (!call.apply->scalar<bool>()()) return OkStatus();
  AdamwUpdate(call.tensors, attributes.settings, call.learning_rate->scalar<float>()(), call.factor->scalar<float>()(),
              ++*call.applied, WorkerThreads(context));
  return OkStatus();
}

Status RunGlobalNorm(OpKernelContext* context, const NoAttributes&, const GlobalNormCall& call) {
  call.norm->scalar<float>()() = GlobalNorm(call.tensors, WorkerThreads(context));
  return OkStatus();
}

Status RunAccumulate(OpKernelContext* context, const NoAttributes&, const AccumulateOnCpu& call) {
  Accumulate(call.tensors, call.factor->scalar<float>()(), WorkerThreads(context));
  return OkStatus();
}

Status RunMovingAverage(OpKernelContext* context, const NoAttributes&, const AverageOnCpu& call) {
  if (call.apply->scalar<bool>()()) MovingAverage(call.tensors, call.decay->scalar<float>()(), WorkerThreads(context));
  return OkStatus();
}

Status RunSetZero(OpKernelContext* context, const NoAttributes&, const SetZeroOnCpu& call) {
  SetZero(call.tensors, WorkerThreads(context));
  return OkStatus();
}

REGISTER_KERNEL_BUILDER(Name("AwsdetCast").Device(DEVICE_CPU), Kernel<CastCall, RunCast>);
REGISTER_KERNEL_BUILDER(Name("AwsdetMovingAverage").Device(DEVICE_CPU), Kernel<AverageOnCpu, RunMovingAverage>);
REGISTER_KERNEL_BUILDER(Name("AwsdetSgdUpdate").Device(DEVICE_CPU), Kernel<SgdOnCpu, RunSgdUpdate>);
REGISTER_KERNEL_BUILDER(Name("AwsdetAdamwUpdate").Device(DEVICE_CPU), Kernel<AdamwOnCpu, RunAdamwUpdate>);
REGISTER_KERNEL_BUILDER(Name("AwsdetGlobalNorm").Device(DEVICE_CPU), Kernel<GlobalNormCall, RunGlobalNorm>);
REGISTER_KERNEL_BUILDER(Name("AwsdetAccumulate").Device(DEVICE_CPU), Kernel<AccumulateOnCpu, RunAccumulate>);
REGISTER_KERNEL_BUILDER(Name("AwsdetSetZero").Device(DEVICE_CPU), Kernel<SetZeroOnCpu, RunSetZero>);

}  // namespace
}  // namespace awsdet
