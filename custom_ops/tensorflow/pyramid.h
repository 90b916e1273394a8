// What operators on the levels of a feature pyramid, each [B, H_l, W_l, C], share.
#ifndef AWSDET_TENSORFLOW_PYRAMID_H_
#define AWSDET_TENSORFLOW_PYRAMID_H_

#include <string>
#include <vector>

#include "tensorflow/core/framework/tensor_util.h"
#include "tensorflow/op.h"

namespace awsdet {

// Of the inputs from 0 on, gets the number of images and channels that all levels share. `op`: for the error texts.
inline Status MergeLevels(InferenceContext* context, const std::string& op, int levels, DimensionHandle* images,
                          DimensionHandle* channels) {
  *images = context->UnknownDim();
  *channels = context->UnknownDim();
  for (int level = 0; level < levels; ++level) {
    ShapeHandle features;
    if (!context->WithRank(context->input(level), 4, &features).ok()) {
      return InvalidArgument(op, ": pyramid[", level, "] must have 4 dimensions, not the shape ",
                             context->DebugString(context->input(level)));
    }
    if (!context->Merge(*images, context->Dim(features, 0), images).ok() ||
        !context->Merge(*channels, context->Dim(features, 3), channels).ok()) {
      return InvalidArgument(op, ": pyramid[", level, "] ", context->DebugString(features), " differs from pyramid[0] ",
                             context->DebugString(context->input(0)), " in images or channels");
    }
  }
  return OkStatus();
}

// Gives each output the shape that one of the inputs from `first` on holds.
inline Status ShapeLevels(InferenceContext* context, int first) {
  for (int level = 0; level < context->num_outputs(); ++level) {
    ShapeHandle features;
    TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(first + level, &features));
    TF_RETURN_IF_ERROR(context->WithRank(features, 4, &features));
    context->set_output(level, features);
  }
  return OkStatus();
}

// The shapes of all levels.
class Pyramid {
 public:
  // From the levels themselves, the input list `pyramid`.
  Status ReadFeatures(OpKernelContext* context, OpInputList* features) {
    TF_RETURN_IF_ERROR(context->input_list("pyramid", features));
    for (const Tensor& level : *features) levels_.push_back(level.shape());
    return OkStatus();
  }

  // From the input list `shapes`, in host memory.
  Status ReadShapes(OpKernelContext* context) {
    OpInputList shapes;
    TF_RETURN_IF_ERROR(context->input_list("shapes", &shapes));
    for (const Tensor& shape : shapes) {
      TF_RETURN_IF_ERROR(tensorflow::tensor::MakeShape(shape, &levels_.emplace_back()));
    }
    return OkStatus();
  }

  // Checks that all levels have four dimensions, the same images and channels, and sides of at most `limit`. `op` and
  // `unit` of the sides: for the error texts.
  Status Check(const std::string& op, int64_t limit, const char* unit) const {
    for (size_t i = 0; i < levels_.size(); ++i) {
      const TensorShape &shape = levels_[i], &first = levels_[0];
      const std::string name = op + ": pyramid[" + std::to_string(i) + "] " + shape.DebugString();
      if (shape.dims() != 4) return InvalidArgument(name, " must have 4 dimensions");
      if (shape.dim_size(0) != first.dim_size(0) || shape.dim_size(3) != first.dim_size(3)) {
        return InvalidArgument(name, " differs from pyramid[0] ", first.DebugString(), " in images or channels");
      }
      if (shape.dim_size(1) > limit || shape.dim_size(2) > limit) {
        return InvalidArgument(name, " has a side of more than ", limit, " ", unit);
      }
    }
    return OkStatus();
  }

  // Allocates the outputs, one per level.
  Status Allocate(OpKernelContext* context, std::vector<Tensor*>* outputs) const {
    outputs->resize(levels_.size());
    for (size_t i = 0; i < levels_.size(); ++i) {
      TF_RETURN_IF_ERROR(context->allocate_output(static_cast<int>(i), levels_[i], &(*outputs)[i]));
    }
    return OkStatus();
  }

  int size() const { return static_cast<int>(levels_.size()); }
  int64_t images() const { return levels_[0].dim_size(0); }
  int64_t channels() const { return levels_[0].dim_size(3); }
  int64_t height(int level) const { return levels_[level].dim_size(1); }
  int64_t width(int level) const { return levels_[level].dim_size(2); }

 private:
  std::vector<TensorShape> levels_;
};

// The addresses of the elements, for kernels that copy them or take the type as an argument.
inline std::vector<const void*> DataOf(const OpInputList& tensors) {
  std::vector<const void*> found;
  for (const Tensor& tensor : tensors) found.push_back(tensor.data());
  return found;
}

inline std::vector<void*> DataOf(const std::vector<Tensor*>& tensors) {
  std::vector<void*> found;
  for (const Tensor* tensor : tensors) found.push_back(tensor->data());
  return found;
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_PYRAMID_H_
