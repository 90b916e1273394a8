// AwsdetAnnotations: the rows of one image's record, moved to where they lie on the resized image. CPU only, on the
// calling thread, as AwsdetResize.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/annotations.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace awsdet {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelContext;
using tensorflow::Status;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::TensorShapeUtils;
using tensorflow::tstring;
using tensorflow::errors::InvalidArgument;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

constexpr int64_t kDouble = 8;  // bytes
enum Input {
  kCount, kClasses, kIsCrowd, kBoxes, kParts, kLengths, kNumbers, kRuns, kCounts, kOldSize, kSize, kFlip, kRows
};
constexpr const char* kNames[] = {
    "trainable",  "classes",  "is_crowd", "boxes", "polygon_parts", "polygon_lengths", "polygon_numbers", "rle_runs",
    "rle_counts", "old_size", "new_size", "flip",  "rows"};
constexpr int kRanks[] = {0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0};

REGISTER_OP("AwsdetAnnotations")
    .Input("trainable: int64")
    .Input("classes: int64")
    .Input("is_crowd: int64")
    .Input("boxes: string")
    .Input("polygon_parts: int64")
    .Input("polygon_lengths: int64")
    .Input("polygon_numbers: string")
    .Input("rle_runs: int64")
    .Input("rle_counts: int64")
    .Input("old_size: int32")
    .Input("new_size: int32")
    .Input("flip: bool")
    .Input("rows: int32")
    .Output("placed_boxes: float")
    .Output("placed_classes: int32")
    .Output("placed_is_crowd: bool")
    .Output("points: float")
    .Output("polygon_splits: int64")
    .Output("part_splits: int64")
    .Output("runs: int32")
    .Output("run_splits: int64")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle unused;
      for (int i = 0; i < context->num_inputs(); ++i) {
        TF_RETURN_IF_ERROR(context->WithRank(context->input(i), kRanks[i], &unused));
      }
      for (int i = 0; i < context->num_outputs(); ++i) context->set_output(i, context->UnknownShapeOfRank(1));
      context->set_output(0, context->Matrix(InferenceContext::kUnknownDim, 4));
      return tensorflow::OkStatus();
    })
    .Doc("Annotations moved to the resized image; kernels/annotations.h says how.");

// How much of a list belongs to objects: each row's number of entries, none for crowds, and their sum.
struct Share {
  std::vector<int64_t> splits{0};

  // Of `count` rows that have `lengths`, where the list has `available` entries. `crowd` may be nullptr.
  Status Take(const char* name, const int64_t* lengths, const int64_t* crowd, int64_t count, int64_t available) {
    splits.reserve(count + 1);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t length = crowd != nullptr && crowd[i] > 0 ? 0 : lengths[i];
      if (length < 0 || length > available - splits.back()) {
        return InvalidArgument(name, "[", i, "] is ", length, ", where ", available - splits.back(),
                               " entries are left");
      }
      splits.push_back(splits.back() + length);
    }
    return tensorflow::OkStatus();
  }
};

class AnnotationsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES_OK(context, CheckShapes(context));
    const int64_t count = context->input(kCount).scalar<int64_t>()();
    OP_REQUIRES_OK(context, CheckRows(context, count));
    const auto old_size = context->input(kOldSize).vec<int32_t>(), size = context->input(kSize).vec<int32_t>();
    const Placement placement{old_size(0), old_size(1), size(0), size(1), context->input(kFlip).scalar<bool>()()};
    OP_REQUIRES_OK(context, WriteRows(context, placement, count));
    OP_REQUIRES_OK(context, WritePolygons(context, placement, count));
    OP_REQUIRES_OK(context, WriteRuns(context, placement, count));
  }

 private:
  static const int64_t* Ints(OpKernelContext* context, Input input) {
    return context->input(input).flat<int64_t>().data();
  }

  static const tstring& Bytes(OpKernelContext* context, Input input) {
    return context->input(input).scalar<tstring>()();
  }

  static Status CheckShapes(OpKernelContext* context) {
    for (int i = 0; i < context->num_inputs(); ++i) {
      const TensorShape& shape = context->input(i).shape();
      if (shape.dims() != kRanks[i]) {
        return InvalidArgument(kNames[i], kRanks[i] ? " must be a vector" : " must be a scalar", ", got shape ",
                               shape.DebugString());
      }
    }
    for (Input input : {kOldSize, kSize}) {
      const Tensor& sides = context->input(input);
      if (sides.NumElements() != 2 || sides.vec<int32_t>()(0) < 1 || sides.vec<int32_t>()(1) < 1) {
        return InvalidArgument(kNames[input], " must be height and width, 1 at least, got ", sides.SummarizeValue(3));
      }
    }
    return tensorflow::OkStatus();
  }

  static Status CheckRows(OpKernelContext* context, int64_t count) {
    if (count < 0) return InvalidArgument("trainable must be 0 at least, got ", count);
    const int64_t rows = context->input(kRows).scalar<int32_t>()();
    if (rows < count) return InvalidArgument("rows is ", rows, ", which is less than trainable, ", count);
    for (Input input : {kClasses, kIsCrowd, kParts, kRuns}) {
      const int64_t length = context->input(input).NumElements();
      if (length < count) return InvalidArgument(kNames[input], " has ", length, " rows, trainable is ", count);
    }
    const int64_t boxes = static_cast<int64_t>(Bytes(context, kBoxes).size()) / (4 * kDouble);
    if (boxes < count) return InvalidArgument("boxes has ", boxes, " rows, trainable is ", count);
    return tensorflow::OkStatus();
  }

  static Status WriteRows(OpKernelContext* context, const Placement& placement, int64_t count) {
    const int64_t rows = context->input(kRows).scalar<int32_t>()();
    Tensor *boxes, *classes, *is_crowd;
    TF_RETURN_IF_ERROR(context->allocate_output(0, {rows, 4}, &boxes));
    TF_RETURN_IF_ERROR(context->allocate_output(1, {rows}, &classes));
    TF_RETURN_IF_ERROR(context->allocate_output(2, {rows}, &is_crowd));
    float* box = boxes->flat<float>().data();
    PlaceBoxes(Bytes(context, kBoxes).data(), count, placement, box);
    std::fill(box + 4 * count, box + 4 * rows, 0.0f);
    auto number = classes->vec<int32_t>();
    auto crowd = is_crowd->vec<bool>();
    for (int64_t i = 0; i < rows; ++i) {
      number(i) = i < count ? static_cast<int32_t>(Ints(context, kClasses)[i]) : -1;
      crowd(i) = i < count && Ints(context, kIsCrowd)[i] > 0;
    }
    return tensorflow::OkStatus();
  }

  static Status WritePolygons(OpKernelContext* context, const Placement& placement, int64_t count) {
    Share parts, lengths;
    TF_RETURN_IF_ERROR(parts.Take("polygon_parts", Ints(context, kParts), Ints(context, kIsCrowd), count,
                                  context->input(kLengths).NumElements()));
    const tstring& numbers = Bytes(context, kNumbers);
    TF_RETURN_IF_ERROR(lengths.Take("polygon_lengths", Ints(context, kLengths), nullptr, parts.splits.back(),
                                    static_cast<int64_t>(numbers.size()) / kDouble));
    const int64_t total = lengths.splits.back();
    if (total % 2 != 0) return InvalidArgument("polygon_lengths add up to ", total, ", which is not even");
    Tensor* points;
    TF_RETURN_IF_ERROR(context->allocate_output(3, {total}, &points));
    PlacePoints(numbers.data(), total / 2, placement, points->flat<float>().data());
    TF_RETURN_IF_ERROR(Write(context, 4, lengths.splits));
    return Write(context, 5, parts.splits);
  }

  static Status WriteRuns(OpKernelContext* context, const Placement& placement, int64_t count) {
    Share runs;
    TF_RETURN_IF_ERROR(runs.Take("rle_runs", Ints(context, kRuns), Ints(context, kIsCrowd), count,
                                 context->input(kCounts).NumElements()));
    std::vector<int32_t> placed;
    std::vector<int64_t> splits{0};
    for (int64_t i = 0; i < count; ++i) {
      const int64_t begin = runs.splits[i], length = runs.splits[i + 1] - begin;
      if (length > 0 && !PlaceRuns(Ints(context, kCounts) + begin, length, placement, &placed)) {
        return InvalidArgument("rle_counts of row ", i, " do not fit an image of ", placement.old_height, " x ",
                               placement.old_width);
      }
      splits.push_back(static_cast<int64_t>(placed.size()));
    }
    TF_RETURN_IF_ERROR(Write(context, 6, placed));
    return Write(context, 7, splits);
  }

  template <typename T>
  static Status Write(OpKernelContext* context, int index, const std::vector<T>& values) {
    Tensor* output;
    TF_RETURN_IF_ERROR(context->allocate_output(index, {static_cast<int64_t>(values.size())}, &output));
    std::copy(values.begin(), values.end(), output->flat<T>().data());
    return tensorflow::OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetAnnotations").Device(tensorflow::DEVICE_CPU), AnnotationsOp);

}  // namespace
}  // namespace awsdet
