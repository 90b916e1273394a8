// The class that all kernels of operators on CPU and GPU share: what is read and checked is the same on both devices,
// what runs then is not.
#ifndef AWSDET_TENSORFLOW_KERNEL_H_
#define AWSDET_TENSORFLOW_KERNEL_H_

#include "tensorflow/op.h"

namespace awsdet {

// Of an operator that has none but the types and numbers of its inputs.
struct NoAttributes {
  Status Read(OpKernelConstruction*) { return OkStatus(); }
};

// Call: the inputs and outputs of one call of the operator. Call::Attributes are read once, when the operator is made,
// by Read(OpKernelConstruction*). For each call Read(OpKernelContext*, attributes) gets the inputs, checks them and
// allocates the outputs, then Run computes.
template <typename Call, Status (*Run)(OpKernelContext*, const typename Call::Attributes&, const Call&)>
class Kernel : public OpKernel {
 public:
  explicit Kernel(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, attributes_.Read(context));
  }

  void Compute(OpKernelContext* context) override {
    Call call;
    OP_REQUIRES_OK(context, call.Read(context, attributes_));
    OP_REQUIRES_OK(context, Run(context, attributes_, call));
  }

 private:
  typename Call::Attributes attributes_;
};

}  // namespace awsdet

// Registers kernels for each of the element types T that operators on features have. `Name`: as in
// REGISTER_KERNEL_BUILDER. `Run`: a template of T.
#define AWSDET_REGISTER_FEATURE_KERNELS(Name, Call, Run)  \
  AWSDET_REGISTER_FEATURE_KERNEL(Name, Call, Run, float)  \
  AWSDET_REGISTER_FEATURE_KERNEL(Name, Call, Run, Eigen::half) \
  AWSDET_REGISTER_FEATURE_KERNEL(Name, Call, Run, Eigen::bfloat16)
#define AWSDET_REGISTER_FEATURE_KERNEL(Name, Call, Run, T) \
  REGISTER_KERNEL_BUILDER(Name.TypeConstraint<T>("T"), Kernel<Call, Run<T>>);

#endif  // AWSDET_TENSORFLOW_KERNEL_H_
