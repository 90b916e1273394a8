// Reads and checks the inputs of AwsdetCellWindows and AwsdetCellWindowsGrad, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_CELL_WINDOWS_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_CELL_WINDOWS_ARGUMENTS_H_

#include <limits>
#include <string>
#include <vector>

#include "kernels/cell_windows_rule.h"
#include "tensorflow/core/framework/tensor_util.h"
#include "tensorflow/op.h"

namespace awsdet {

// The inputs of either operator.
struct CellWindowsArguments {
  std::vector<TensorShape> levels;  // of the pyramid, [B, H_l, W_l, C]
  const Tensor* anchor_index;       // [B, S]; its values are not checked
  CellGrid grid;
  TensorShape windows;  // [B, S, 9, C]
  TensorShape chosen;   // [B, S, A]

  int64_t images() const { return levels[0].dim_size(0); }
  int64_t samples() const { return windows.dim_size(1); }
  int64_t channels() const { return levels[0].dim_size(3); }
};

// Checks that a level has four dimensions, and as many images and channels as the first level.
inline Status CheckWindowLevel(const TensorShape& shape, const TensorShape& first, size_t level) {
  const std::string name = "cell_windows: pyramid[" + std::to_string(level) + "] " + shape.DebugString();
  if (shape.dims() != 4) return InvalidArgument(name, " must have 4 dimensions");
  if (shape.dim_size(0) != first.dim_size(0) || shape.dim_size(3) != first.dim_size(3)) {
    return InvalidArgument(name, " differs from pyramid[0] ", first.DebugString(), " in images or channels");
  }
  constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();
  if (shape.dim_size(1) > kLimit || shape.dim_size(2) > kLimit) {
    return InvalidArgument(name, " has a side of more than ", kLimit, " cells");
  }
  return OkStatus();
}

// Sets everything else from the levels, which must be set already, and the input anchor_index.
inline Status ReadAnchors(OpKernelContext* context, int input, int anchors_per_cell, CellWindowsArguments* arguments) {
  const std::vector<TensorShape>& levels = arguments->levels;
  if (levels.size() > kMaxWindowLevels) {
    return InvalidArgument("cell_windows: pyramid has ", levels.size(), " levels; at most ", kMaxWindowLevels);
  }
  arguments->grid = {static_cast<int32_t>(levels.size()), anchors_per_cell, {}, {}};
  for (size_t i = 0; i < levels.size(); ++i) {
    TF_RETURN_IF_ERROR(CheckWindowLevel(levels[i], levels[0], i));
    arguments->grid.height[i] = static_cast<int32_t>(levels[i].dim_size(1));
    arguments->grid.width[i] = static_cast<int32_t>(levels[i].dim_size(2));
  }
  const Tensor& anchors = context->input(input);
  if (anchors.dims() != 2 || anchors.dim_size(0) != arguments->images()) {
    return InvalidArgument("cell_windows: anchor_index must be [", arguments->images(), ", S], a row for each image, ",
                           "not ", anchors.shape().DebugString());
  }
  arguments->anchor_index = &anchors;
  const int64_t images = anchors.dim_size(0), samples = anchors.dim_size(1);
  TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape({images, samples, anchors_per_cell}, &arguments->chosen));
  return TensorShape::BuildTensorShape({images, samples, kWindowCells, arguments->channels()}, &arguments->windows);
}

// The inputs of AwsdetCellWindows; `pyramid` holds the feature maps.
inline Status ReadForward(OpKernelContext* context, int anchors_per_cell, OpInputList* pyramid,
                          CellWindowsArguments* arguments) {
  TF_RETURN_IF_ERROR(context->input_list("pyramid", pyramid));
  for (const Tensor& features : *pyramid) arguments->levels.push_back(features.shape());
  return ReadAnchors(context, pyramid->size(), anchors_per_cell, arguments);
}

// The inputs of AwsdetCellWindowsGrad; `gradient` [B, S, 9, C].
inline Status ReadGradient(OpKernelContext* context, int anchors_per_cell, const Tensor** gradient,
                           CellWindowsArguments* arguments) {
  OpInputList shapes;
  TF_RETURN_IF_ERROR(context->input_list("shapes", &shapes));
  for (const Tensor& shape : shapes) {
    TF_RETURN_IF_ERROR(tensorflow::tensor::MakeShape(shape, &arguments->levels.emplace_back()));
  }
  TF_RETURN_IF_ERROR(ReadAnchors(context, 1, anchors_per_cell, arguments));
  *gradient = &context->input(0);
  return CheckShape("cell_windows: gradient", **gradient, arguments->windows, arguments->windows.DebugString());
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_CELL_WINDOWS_ARGUMENTS_H_
