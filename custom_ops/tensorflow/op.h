// What every operator's source includes: TensorFlow's headers, the names that are used from it, and a check of shapes.
#ifndef AWSDET_TENSORFLOW_OP_H_
#define AWSDET_TENSORFLOW_OP_H_

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace awsdet {

using tensorflow::DEVICE_CPU;
using tensorflow::DEVICE_GPU;
using tensorflow::OkStatus;
using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpOutputList;
using tensorflow::Status;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::errors::InvalidArgument;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Returns an error unless the tensor has the shape `wanted`. `words` say what `name` must be.
template <typename... Words>
Status CheckShape(const char* name, const Tensor& tensor, const TensorShape& wanted, const Words&... words) {
  if (tensor.shape() == wanted) return OkStatus();
  return InvalidArgument(name, " must be ", words..., ", got shape ", tensor.shape().DebugString());
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_OP_H_
