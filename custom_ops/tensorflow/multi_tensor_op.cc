// Registration of the operators on many tensors at once, and their CPU kernels.
#include <algorithm>
#include <cstring>

#include "kernels/multi_tensor.h"
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

class CastOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    std::vector<CastTensor> tensors;
    OP_REQUIRES_OK(context, ReadCasts(context, &tensors));
    Cast(tensors, TypeOf(*context->mutable_output(0)), WorkerThreads(context));
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetCast").Device(DEVICE_CPU), CastOp);

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

class MovingAverageOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor *decay, *apply;
    OP_REQUIRES_OK(context, CheckScalar(context, "moving_average", "decay", &decay));
    OP_REQUIRES_OK(context, CheckScalar(context, "moving_average", "apply", &apply));
    WrittenVariables averages(context, "moving_average", CopyOnCpu(context));
    std::vector<AverageTensor> tensors;
    OP_REQUIRES_OK(context, ReadAverages(context, &averages, &tensors));
    if (apply->scalar<bool>()()) MovingAverage(tensors, decay->scalar<float>()(), WorkerThreads(context));
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetMovingAverage").Device(DEVICE_CPU), MovingAverageOp);

class SgdUpdateOp : public OpKernel {
 public:
  explicit SgdUpdateOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("momentum", &momentum_));
    OP_REQUIRES_OK(context, context->GetAttr("weight_decay", &weight_decay_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor *learning_rate, *factor, *apply;
    OP_REQUIRES_OK(context, CheckScalar(context, "sgd_update", "learning_rate", &learning_rate));
    OP_REQUIRES_OK(context, CheckScalar(context, "sgd_update", "factor", &factor));
    OP_REQUIRES_OK(context, CheckScalar(context, "sgd_update", "apply", &apply));
    WrittenVariables variables(context, "sgd_update", CopyOnCpu(context));
    std::vector<SgdTensor> tensors;
    OP_REQUIRES_OK(context, ReadSgd(context, &variables, &tensors));
    if (!apply->scalar<bool>()()) return;
    const SgdRule rule{learning_rate->scalar<float>()(), factor->scalar<float>()(), momentum_, weight_decay_};
    SgdUpdate(tensors, rule, WorkerThreads(context));
  }

 private:
  float momentum_, weight_decay_;
};

class GlobalNormOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    std::vector<ConstTensor> tensors;
    OP_REQUIRES_OK(context, ReadNorm(context, &tensors));
    Tensor* norm;
    OP_REQUIRES_OK(context, context->allocate_output(0, {}, &norm));
    norm->scalar<float>()() = GlobalNorm(tensors, WorkerThreads(context));
  }
};

class AccumulateOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor* factor;
    OP_REQUIRES_OK(context, CheckScalar(context, "accumulate", "factor", &factor));
    WrittenVariables variables(context, "accumulate", CopyOnCpu(context));
    std::vector<SumTensor> tensors;
    OP_REQUIRES_OK(context, ReadSums(context, &variables, &tensors));
    Accumulate(tensors, factor->scalar<float>()(), WorkerThreads(context));
  }
};

class SetZeroOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    WrittenVariables variables(context, "set_zero", CopyOnCpu(context));
    std::vector<MutableTensor> tensors;
    OP_REQUIRES_OK(context, ReadZeroed(context, &variables, &tensors));
    SetZero(tensors, WorkerThreads(context));
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetSgdUpdate").Device(DEVICE_CPU), SgdUpdateOp);
REGISTER_KERNEL_BUILDER(Name("AwsdetGlobalNorm").Device(DEVICE_CPU), GlobalNormOp);
REGISTER_KERNEL_BUILDER(Name("AwsdetAccumulate").Device(DEVICE_CPU), AccumulateOp);
REGISTER_KERNEL_BUILDER(Name("AwsdetSetZero").Device(DEVICE_CPU), SetZeroOp);

}  // namespace
}  // namespace awsdet
