// AwsdetPolygonTargets and AwsdetRleTargets: crop the polygons or run-length codes of objects to RoIs. There are only
// CPU kernels, since the ragged masks come from the reader and are small.
#include <cstdint>

#include "kernels/polygon_targets.h"
#include "kernels/rle_targets.h"
#include "kernels/roi_align_samples.h"
#include "tensorflow/op.h"
#include "tensorflow/parallel.h"

namespace awsdet {
namespace {

// The shape [R, size, size]. The inputs `index` and `index + 1` are object_index [R] and rois [R, 4].
Status TargetsShape(InferenceContext* context, int index) {
  ShapeHandle objects, rois;
  DimensionHandle num_rois, four;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(index), 1, &objects));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(index + 1), 2, &rois));
  TF_RETURN_IF_ERROR(context->WithValue(context->Dim(rois, 1), 4, &four));
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(objects, 0), context->Dim(rois, 0), &num_rois));
  int64_t size;
  TF_RETURN_IF_ERROR(context->GetAttr("size", &size));
  context->set_output(0, context->MakeShape({num_rois, context->MakeDim(size), context->MakeDim(size)}));
  return OkStatus();
}

Status VectorInputs(InferenceContext* context, int count) {
  ShapeHandle unused;
  for (int i = 0; i < count; ++i) TF_RETURN_IF_ERROR(context->WithRank(context->input(i), 1, &unused));
  return OkStatus();
}

REGISTER_OP("AwsdetPolygonTargets")
    .Input("coordinates: float")
    .Input("part_splits: int64")
    .Input("object_splits: int64")
    .Input("object_index: int32")
    .Input("rois: float")
    .Attr("size: int >= 1")
    .Output("targets: float")
    .SetShapeFn([](InferenceContext* context) {
      TF_RETURN_IF_ERROR(VectorInputs(context, 3));
      return TargetsShape(context, 3);
    })
    .Doc("Polygons rasterised in RoIs; see kernels/polygon_targets.h.");

REGISTER_OP("AwsdetRleTargets")
    .Input("runs: int32")
    .Input("splits: int64")
    .Input("image_size: int32")
    .Input("object_index: int32")
    .Input("rois: float")
    .Attr("size: int >= 1")
    .Output("targets: float")
    .SetShapeFn([](InferenceContext* context) {
      TF_RETURN_IF_ERROR(VectorInputs(context, 2));
      ShapeHandle image_size;
      DimensionHandle two;
      TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 2, &image_size));
      TF_RETURN_IF_ERROR(context->WithValue(context->Dim(image_size, 1), 2, &two));
      return TargetsShape(context, 3);
    })
    .Doc("Run-length codes sampled in RoIs; see kernels/rle_targets.h.");

// Checks row splits: they must be a vector that rises from 0 to `total`.
Status CheckSplits(const char* name, const Tensor& tensor, int64_t total) {
  if (tensor.dims() != 1 || tensor.NumElements() < 1) {
    return InvalidArgument(name, " must be a vector with at least one element, got shape ",
                           tensor.shape().DebugString());
  }
  const auto splits = tensor.flat<int64_t>();
  const int64_t last = splits.size() - 1;
  bool sound = splits(0) == 0 && splits(last) == total;
  for (int64_t i = 0; i < last; ++i) sound &= splits(i) <= splits(i + 1);
  if (!sound) return InvalidArgument(name, " must rise from 0 to ", total, ", the number of elements it splits");
  return OkStatus();
}

Status CheckVector(const char* name, const Tensor& tensor) {
  if (tensor.dims() == 1) return OkStatus();
  return InvalidArgument(name, " must be a vector, got shape ", tensor.shape().DebugString());
}

Status CheckRois(const Tensor& object_index, const Tensor& rois, int64_t num_objects) {
  TF_RETURN_IF_ERROR(CheckVector("object_index", object_index));
  const int64_t count = object_index.dim_size(0);
  TF_RETURN_IF_ERROR(CheckShape("rois", rois, {count, 4}, "[", count, ", 4], a row for each entry of object_index"));
  const auto index = object_index.flat<int32_t>();
  for (int64_t r = 0; r < index.size(); ++r) {
    if (index(r) < 0 || index(r) >= num_objects) {
      return InvalidArgument("object_index[", r, "] is ", index(r), ", but there are ", num_objects, " objects");
    }
  }
  return OkStatus();
}

class TargetsOp : public OpKernel {
 public:
  explicit TargetsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("size", &size_));
  }

 protected:
  // Allocates the output for the RoIs in input 4.
  Status Allocate(OpKernelContext* context, Tensor** targets) const {
    TensorShape shape;
    TF_RETURN_IF_ERROR(TensorShape::BuildTensorShape({context->input(4).dim_size(0), size_, size_}, &shape));
    return context->allocate_output(0, shape, targets);
  }

  int64_t size_;
};

class PolygonTargetsOp : public TargetsOp {
 public:
  using TargetsOp::TargetsOp;

  void Compute(OpKernelContext* context) override {
    const Tensor &coordinates = context->input(0), &part_splits = context->input(1), &object_splits = context->input(2);
    const Tensor &object_index = context->input(3), &rois = context->input(4);
    OP_REQUIRES_OK(context, CheckVector("coordinates", coordinates));
    OP_REQUIRES_OK(context, CheckSplits("part_splits", part_splits, coordinates.NumElements()));
    OP_REQUIRES_OK(context, CheckSplits("object_splits", object_splits, part_splits.NumElements() - 1));
    OP_REQUIRES_OK(context, CheckRois(object_index, rois, object_splits.NumElements() - 1));
    const auto parts = part_splits.flat<int64_t>();
    for (int64_t p = 0; p + 1 < parts.size(); ++p) {
      OP_REQUIRES(context, (parts(p + 1) - parts(p)) % 2 == 0,
                  InvalidArgument("polygons: part ", p, " has ", parts(p + 1) - parts(p),
                                  " numbers; it must be an even number, pairs of x and y"));
    }
    Tensor* targets = nullptr;
    OP_REQUIRES_OK(context, Allocate(context, &targets));
    const Polygons polygons{coordinates.flat<float>().data(), parts.data(), object_splits.flat<int64_t>().data()};
    PolygonTargets(polygons, object_index.flat<int32_t>().data(), rois.flat<float>().data(), rois.dim_size(0), size_,
                   targets->flat<float>().data(), WorkerThreads(context));
  }
};

class RleTargetsOp : public TargetsOp {
 public:
  using TargetsOp::TargetsOp;

  void Compute(OpKernelContext* context) override {
    const Tensor &runs = context->input(0), &splits = context->input(1), &image_size = context->input(2);
    const Tensor &object_index = context->input(3), &rois = context->input(4);
    OP_REQUIRES_OK(context, CheckVector("runs", runs));
    OP_REQUIRES_OK(context, CheckSplits("splits", splits, runs.NumElements()));
    const int64_t num_objects = splits.NumElements() - 1;
    OP_REQUIRES_OK(context, CheckShape("image_size", image_size, {num_objects, 2}, "[", num_objects,
                                       ", 2], a row for each object"));
    OP_REQUIRES_OK(context, CheckRois(object_index, rois, num_objects));
    Tensor ends;
    OP_REQUIRES_OK(context, context->allocate_temp(tensorflow::DT_INT64, runs.shape(), &ends));
    const RunLengthCodes codes{ends.flat<int64_t>().data(), splits.flat<int64_t>().data(),
                               image_size.flat<int32_t>().data()};
    const bool sound = RunEnds(runs.flat<int32_t>().data(), codes.splits, num_objects, ends.flat<int64_t>().data());
    OP_REQUIRES(context, sound, InvalidArgument("rles: a run length is negative"));
    OP_REQUIRES_OK(context, CheckTotals(codes, num_objects));
    Tensor* targets = nullptr;
    OP_REQUIRES_OK(context, Allocate(context, &targets));
    RleTargets(codes, object_index.flat<int32_t>().data(), rois.flat<float>().data(), rois.dim_size(0), size_,
               targets->flat<float>().data(), WorkerThreads(context));
  }

 private:
  static Status CheckTotals(const RunLengthCodes& codes, int64_t num_objects) {
    for (int64_t n = 0; n < num_objects; ++n) {
      const int64_t height = codes.image_size[2 * n], width = codes.image_size[2 * n + 1];
      if (height < 0 || width < 0) {
        return InvalidArgument("image_size[", n, "] is ", height, " x ", width, ", which is negative");
      }
      if (height > kMaxExtent || width > kMaxExtent) {
        return InvalidArgument("image_size[", n, "] is ", height, " x ", width, "; its sides are at most ", kMaxExtent);
      }
      if (codes.splits[n] == codes.splits[n + 1]) continue;  // an empty mask
      const int64_t total = codes.run_ends[codes.splits[n + 1] - 1];
      if (total != height * width) {
        return InvalidArgument("rles: the runs of object ", n, " sum to ", total, ", but its image_size ", height, " x ",
                               width, " has ", height * width, " pixels");
      }
    }
    return OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetPolygonTargets").Device(DEVICE_CPU), PolygonTargetsOp);
REGISTER_KERNEL_BUILDER(Name("AwsdetRleTargets").Device(DEVICE_CPU), RleTargetsOp);

}  // namespace
}  // namespace awsdet
