// The operators AwsdetCellWindows and AwsdetCellWindowsGrad: registration, checks of the arguments, CPU kernels.
#include "kernels/cell_windows.h"

#include <string>
#include <vector>

#include "tensorflow/cell_windows_arguments.h"
#include "tensorflow/kernel_type.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

// Gets anchor_index [B, S], or an error that names it.
Status AnchorsShape(InferenceContext* context, int input, ShapeHandle* anchors) {
  if (context->WithRank(context->input(input), 2, anchors).ok()) return OkStatus();
  return InvalidArgument("cell_windows: anchor_index must be [B, S], not ",
                         context->DebugString(context->input(input)));
}

Status ForwardShape(InferenceContext* context) {
  int levels, per_cell;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &levels));
  TF_RETURN_IF_ERROR(context->GetAttr("anchors_per_cell", &per_cell));
  ShapeHandle anchors;
  TF_RETURN_IF_ERROR(AnchorsShape(context, levels, &anchors));
  DimensionHandle batch = context->UnknownDim(), channels = context->UnknownDim();
  for (int level = 0; level < levels; ++level) {
    ShapeHandle features;
    if (!context->WithRank(context->input(level), 4, &features).ok()) {
      return InvalidArgument("cell_windows: pyramid[", level, "] must have 4 dimensions, not the shape ",
                             context->DebugString(context->input(level)));
    }
    if (!context->Merge(batch, context->Dim(features, 0), &batch).ok() ||
        !context->Merge(channels, context->Dim(features, 3), &channels).ok()) {
      return InvalidArgument("cell_windows: pyramid[", level, "] ", context->DebugString(features), " differs from ",
                             "pyramid[0] ", context->DebugString(context->input(0)), " in images or channels");
    }
  }
  if (!context->Merge(batch, context->Dim(anchors, 0), &batch).ok()) {
    return InvalidArgument("cell_windows: anchor_index ", context->DebugString(anchors), " must have a row for each ",
                           "image of pyramid[0] ", context->DebugString(context->input(0)));
  }
  const DimensionHandle samples = context->Dim(anchors, 1);
  context->set_output(0, context->MakeShape({batch, samples, context->MakeDim(kWindowCells), channels}));
  context->set_output(1, context->MakeShape({batch, samples, context->MakeDim(per_cell)}));
  return OkStatus();
}

Status GradShape(InferenceContext* context) {
  int levels;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &levels));
  ShapeHandle unused;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 4, &unused));
  TF_RETURN_IF_ERROR(AnchorsShape(context, 1, &unused));
  for (int level = 0; level < levels; ++level) {
    ShapeHandle features;
    TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(2 + level, &features));
    TF_RETURN_IF_ERROR(context->WithRank(features, 4, &features));
    context->set_output(level, features);
  }
  return OkStatus();
}

REGISTER_OP("AwsdetCellWindows")
    .Input("pyramid: num_levels * T")
    .Input("anchor_index: int32")
    .Output("windows: T")
    .Output("chosen: bool")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_levels: int >= 1")
    .Attr("anchors_per_cell: int >= 1")
    .SetShapeFn(ForwardShape)
    .Doc("The 3 x 3 cells around sampled anchors; see awsdet/ops/cell_windows.py.");

REGISTER_OP("AwsdetCellWindowsGrad")
    .Input("gradient: T")
    .Input("anchor_index: int32")
    .Input("shapes: num_levels * int32")
    .Output("pyramid_gradient: num_levels * T")
    .Attr("T: {float, half, bfloat16}")
    .Attr("num_levels: int >= 1")
    .Attr("anchors_per_cell: int >= 1")
    .SetShapeFn(GradShape)
    .Doc("The gradient of AwsdetCellWindows with respect to its pyramid, whose shapes are given.");

// Checks every anchor, because the kernels do not.
Status MakeAnchors(const CellWindowsArguments& arguments, SampledAnchors* anchors) {
  *anchors = {arguments.anchor_index->flat<int32_t>().data(), arguments.images(), arguments.samples(), arguments.grid};
  for (int64_t i = 0; i < anchors->images * anchors->samples; ++i) {
    if (CellOfAnchor(anchors->grid, anchors->index[i]).level >= 0) continue;
    int64_t cells = 0;
    for (const TensorShape& level : arguments.levels) cells += level.dim_size(1) * level.dim_size(2);
    return InvalidArgument("cell_windows: anchor_index[", i / anchors->samples, ", ", i % anchors->samples, "] is ",
                           anchors->index[i], ", but an image has the anchors 0 to ",
                           cells * anchors->grid.anchors_per_cell - 1);
  }
  return OkStatus();
}

template <typename T>
class CellWindowsOp : public OpKernel {
 public:
  explicit CellWindowsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("anchors_per_cell", &anchors_per_cell_));
  }

  void Compute(OpKernelContext* context) override {
    OpInputList features;
    CellWindowsArguments arguments;
    OP_REQUIRES_OK(context, ReadForward(context, anchors_per_cell_, &features, &arguments));
    SampledAnchors anchors;
    OP_REQUIRES_OK(context, MakeAnchors(arguments, &anchors));
    std::vector<const void*> pyramid;
    for (const Tensor& level : features) pyramid.push_back(level.template flat<T>().data());
    Tensor *windows, *chosen;
    OP_REQUIRES_OK(context, context->allocate_output(0, arguments.windows, &windows));
    OP_REQUIRES_OK(context, context->allocate_output(1, arguments.chosen, &chosen));
    CellWindows(pyramid, arguments.channels() * sizeof(T), anchors, WorkerThreads(context),
                windows->template flat<T>().data(), chosen->flat<bool>().data());
  }

 private:
  int anchors_per_cell_;
};

template <typename T>
class CellWindowsGradOp : public OpKernel {
 public:
  explicit CellWindowsGradOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("anchors_per_cell", &anchors_per_cell_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor* gradient;
    CellWindowsArguments arguments;
    OP_REQUIRES_OK(context, ReadGradient(context, anchors_per_cell_, &gradient, &arguments));
    SampledAnchors anchors;
    OP_REQUIRES_OK(context, MakeAnchors(arguments, &anchors));
    std::vector<KernelType<T>*> pyramid;
    for (size_t i = 0; i < arguments.levels.size(); ++i) {
      Tensor* level;
      OP_REQUIRES_OK(context, context->allocate_output(static_cast<int>(i), arguments.levels[i], &level));
      pyramid.push_back(reinterpret_cast<KernelType<T>*>(level->template flat<T>().data()));
    }
    CellWindowsGrad(reinterpret_cast<const KernelType<T>*>(gradient->template flat<T>().data()), pyramid,
                    arguments.channels(), anchors, WorkerThreads(context));
  }

 private:
  int anchors_per_cell_;
};

#define AWSDET_REGISTER(T)                                                                       \
  REGISTER_KERNEL_BUILDER(Name("AwsdetCellWindows").Device(DEVICE_CPU).TypeConstraint<T>("T"),   \
                          CellWindowsOp<T>);                                                     \
  REGISTER_KERNEL_BUILDER(Name("AwsdetCellWindowsGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"), \
                          CellWindowsGradOp<T>);
AWSDET_REGISTER(float)
AWSDET_REGISTER(Eigen::half)
AWSDET_REGISTER(Eigen::bfloat16)
#undef AWSDET_REGISTER

}  // namespace
}  // namespace awsdet
