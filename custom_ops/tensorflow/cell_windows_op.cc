// The operators AwsdetCellWindows and AwsdetCellWindowsGrad: registration, checks of the arguments, CPU kernels.
#include "kernels/cell_windows.h"

#include <vector>

#include "tensorflow/cell_windows_arguments.h"
#include "tensorflow/kernel.h"
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
  DimensionHandle images, channels;
  TF_RETURN_IF_ERROR(MergeLevels(context, "cell_windows", levels, &images, &channels));
  if (!context->Merge(images, context->Dim(anchors, 0), &images).ok()) {
    return InvalidArgument("cell_windows: anchor_index ", context->DebugString(anchors), " must have a row for each ",
                           "image of pyramid[0] ", context->DebugString(context->input(0)));
  }
  const DimensionHandle samples = context->Dim(anchors, 1);
  context->set_output(0, context->MakeShape({images, samples, context->MakeDim(kWindowCells), channels}));
  context->set_output(1, context->MakeShape({images, samples, context->MakeDim(per_cell)}));
  return OkStatus();
}

Status GradShape(InferenceContext* context) {
  ShapeHandle unused;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 4, &unused));
  TF_RETURN_IF_ERROR(AnchorsShape(context, 1, &unused));
  return ShapeLevels(context, 2);
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
Status MakeAnchors(const CellWindowsCall& call, SampledAnchors* anchors) {
  *anchors = {call.anchor_index->flat<int32_t>().data(), call.images(), call.samples(), call.grid};
  for (int64_t i = 0; i < anchors->images * anchors->samples; ++i) {
    if (CellOfAnchor(anchors->grid, anchors->index[i]).level >= 0) continue;
    int64_t cells = 0;
    for (int i = 0; i < call.pyramid.size(); ++i) cells += call.pyramid.height(i) * call.pyramid.width(i);
    return InvalidArgument("cell_windows: anchor_index[", i / anchors->samples, ", ", i % anchors->samples, "] is ",
                           anchors->index[i], ", but an image has the anchors 0 to ",
                           cells * anchors->grid.anchors_per_cell - 1);
  }
  return OkStatus();
}

template <typename T>
Status RunCellWindows(OpKernelContext* context, const CellWindowsAttributes&, const CellWindowsForward& call) {
  SampledAnchors anchors;
  TF_RETURN_IF_ERROR(MakeAnchors(call, &anchors));
  CellWindows(DataOf(call.features), call.channels() * sizeof(T), anchors, WorkerThreads(context),
              call.windows->data(), call.chosen->flat<bool>().data());
  return OkStatus();
}

template <typename T>
Status RunCellWindowsGrad(OpKernelContext* context, const CellWindowsAttributes&, const CellWindowsBackward& call) {
  SampledAnchors anchors;
  TF_RETURN_IF_ERROR(MakeAnchors(call, &anchors));
  std::vector<KernelType<T>*> pyramid;
  for (Tensor* level : call.features_gradient) pyramid.push_back(KernelData<T>(level));
  CellWindowsGrad(KernelData<T>(*call.gradient), pyramid, call.channels(), anchors, WorkerThreads(context));
  return OkStatus();
}

AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetCellWindows").Device(DEVICE_CPU), CellWindowsForward, RunCellWindows)
AWSDET_REGISTER_FEATURE_KERNELS(Name("AwsdetCellWindowsGrad").Device(DEVICE_CPU),
                                CellWindowsBackward, RunCellWindowsGrad)

}  // namespace
}  // namespace awsdet
