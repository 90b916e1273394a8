// Reads and checks the inputs of AwsdetCellWindows and AwsdetCellWindowsGrad, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_CELL_WINDOWS_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_CELL_WINDOWS_ARGUMENTS_H_

#include <limits>
#include <vector>

#include "kernels/cell_windows_rule.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"
#include "tensorflow/pyramid.h"

namespace awsdet {

// Those that both operators have.
struct CellWindowsAttributes {
  int anchors_per_cell;  // A

  Status Read(OpKernelConstruction* context) { return context->GetAttr("anchors_per_cell", &anchors_per_cell); }
};

// The inputs of either operator.
struct CellWindowsCall {
  using Attributes = CellWindowsAttributes;
  Pyramid pyramid;
  const Tensor* anchor_index;  // [B, S]; its values are not checked
  CellGrid grid;
  TensorShape windows_shape;  // [B, S, 9, C]

  int64_t images() const { return pyramid.images(); }
  int64_t samples() const { return windows_shape.dim_size(1); }
  int64_t channels() const { return pyramid.channels(); }

  // Takes anchor_index from the input `input`. The pyramid must be set already.
  Status ReadAnchors(OpKernelContext* context, int input, const CellWindowsAttributes& attributes) {
    if (pyramid.size() > kMaxWindowLevels) {
      return InvalidArgument("cell_windows: pyramid has ", pyramid.size(), " levels; at most ", kMaxWindowLevels);
    }
    TF_RETURN_IF_ERROR(pyramid.Check("cell_windows", std::numeric_limits<int32_t>::max(), "cells"));
    grid = {pyramid.size(), attributes.anchors_per_cell, {}, {}};
    for (int i = 0; i < pyramid.size(); ++i) {
      grid.height[i] = static_cast<int32_t>(pyramid.height(i));
      grid.width[i] = static_cast<int32_t>(pyramid.width(i));
    }
    anchor_index = &context->input(input);
    if (anchor_index->dims() != 2 || anchor_index->dim_size(0) != images()) {
      return InvalidArgument("cell_windows: anchor_index must be [", images(), ", S], a row for each image, not ",
                             anchor_index->shape().DebugString());
    }
    return TensorShape::BuildTensorShape({images(), anchor_index->dim_size(1), kWindowCells, channels()},
                                         &windows_shape);
  }
};

// One call of AwsdetCellWindows.
struct CellWindowsForward : CellWindowsCall {
  OpInputList features;
  Tensor *windows, *chosen;

  Status Read(OpKernelContext* context, const CellWindowsAttributes& attributes) {
    TF_RETURN_IF_ERROR(pyramid.ReadFeatures(context, &features));
    TF_RETURN_IF_ERROR(ReadAnchors(context, features.size(), attributes));
    TensorShape chosen_shape;  // [B, S, A]
    TF_RETURN_IF_ERROR(
        TensorShape::BuildTensorShape({images(), samples(), attributes.anchors_per_cell}, &chosen_shape));
    TF_RETURN_IF_ERROR(context->allocate_output(0, windows_shape, &windows));
    return context->allocate_output(1, chosen_shape, &chosen);
  }
};

// One call of AwsdetCellWindowsGrad.
struct CellWindowsBackward : CellWindowsCall {
  const Tensor* gradient;  // [B, S, 9, C]
  std::vector<Tensor*> features_gradient;

  Status Read(OpKernelContext* context, const CellWindowsAttributes& attributes) {
    TF_RETURN_IF_ERROR(pyramid.ReadShapes(context));
    TF_RETURN_IF_ERROR(ReadAnchors(context, 1, attributes));
    gradient = &context->input(0);
    TF_RETURN_IF_ERROR(CheckShape("cell_windows: gradient", *gradient, windows_shape, windows_shape.DebugString()));
    return pyramid.Allocate(context, &features_gradient);
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_CELL_WINDOWS_ARGUMENTS_H_
