// AwsdetAnnotations: the rows of a batch's records, moved to where they lie on the resized images. CPU only, on the
// calling thread, as AwsdetResize.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/annotations.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

using tensorflow::tstring;

constexpr int64_t kDouble = 8;  // bytes
// What a record has, ...
enum List { kCount, kClasses, kIsCrowd, kBoxes, kParts, kLengths, kNumbers, kRuns, kCounts, kLists };
constexpr const char* kListNames[] = {"trainable",       "classes",         "is_crowd", "boxes",     "polygon_parts",
                                      "polygon_lengths", "polygon_numbers", "rle_runs", "rle_counts"};
constexpr int kListRanks[] = {0, 1, 1, 0, 1, 1, 0, 1, 1};
// ... and, after the lists of all records, what the batch has.
enum Argument { kOldSize, kSize, kFlip, kRows, kArguments };
constexpr const char* kArgumentNames[] = {"old_size", "new_size", "flip", "rows"};

REGISTER_OP("AwsdetAnnotations")
    .Attr("N: int >= 1")
    .Input("trainable: N * int64")
    .Input("classes: N * int64")
    .Input("is_crowd: N * int64")
    .Input("boxes: N * string")
    .Input("polygon_parts: N * int64")
    .Input("polygon_lengths: N * int64")
    .Input("polygon_numbers: N * string")
    .Input("rle_runs: N * int64")
    .Input("rle_counts: N * int64")
    .Input("old_size: int32")
    .Input("new_size: int32")
    .Input("flip: bool")
    .Input("rows: int32")
    .Output("placed_boxes: float")
    .Output("placed_classes: int32")
    .Output("placed_is_crowd: bool")
    .Output("object_splits: int64")
    .Output("part_splits: int64")
    .Output("polygon_splits: int64")
    .Output("points: float")
    .Output("run_splits: int64")
    .Output("runs: int32")
    .SetShapeFn([](InferenceContext* context) {
      constexpr auto kUnknown = InferenceContext::kUnknownDim;
      const int count = (context->num_inputs() - kArguments) / kLists;
      ShapeHandle unused;
      for (int i = 0; i < kLists * count; ++i) {
        TF_RETURN_IF_ERROR(context->WithRank(context->input(i), kListRanks[i / count], &unused));
      }
      const ShapeHandle pairs = context->Matrix(count, 2);
      const ShapeHandle arguments[] = {pairs, pairs, context->Vector(count), context->Scalar()};
      for (int i = 0; i < kArguments; ++i) {
        TF_RETURN_IF_ERROR(context->Merge(context->input(kLists * count + i), arguments[i], &unused));
      }
      for (int i = 3; i < context->num_outputs(); ++i) context->set_output(i, context->Vector(kUnknown));
      context->set_output(0, context->MakeShape({context->MakeDim(count), context->UnknownDim(), context->MakeDim(4)}));
      context->set_output(1, context->Matrix(count, kUnknown));
      context->set_output(2, context->Matrix(count, kUnknown));
      context->set_output(3, context->Vector(count + 1));
      return OkStatus();
    })
    .Doc("Annotations moved to the resized images; kernels/annotations.h says how.");

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
    return OkStatus();
  }
};

// The lists of one record, whose shapes have been checked.
class Record {
 public:
  Record(OpKernelContext* context, int index, int records) : context_(context), index_(index), records_(records) {}

  const Tensor& operator[](List list) const { return context_->input(list * records_ + index_); }
  const int64_t* Ints(List list) const { return (*this)[list].flat<int64_t>().data(); }
  const tstring& Bytes(List list) const { return (*this)[list].scalar<tstring>()(); }
  int64_t Size(List list) const { return (*this)[list].NumElements(); }
  int64_t Count() const { return (*this)[kCount].scalar<int64_t>()(); }

  Status Check(int64_t rows) const {
    for (int i = 0; i < kLists; ++i) {
      const TensorShape& shape = (*this)[static_cast<List>(i)].shape();
      if (shape.dims() != kListRanks[i]) {
        return InvalidArgument(kListNames[i], kListRanks[i] ? " must be a vector" : " must be a scalar",
                               ", got shape ", shape.DebugString());
      }
    }
    const int64_t count = Count();
    if (count < 0) return InvalidArgument("trainable must be 0 at least, got ", count);
    if (rows < count) return InvalidArgument("rows is ", rows, ", which is less than trainable, ", count);
    for (List list : {kClasses, kIsCrowd, kParts, kRuns}) {
      if (Size(list) < count) {
        return InvalidArgument(kListNames[list], " has ", Size(list), " rows, trainable is ", count);
      }
    }
    const int64_t boxes = static_cast<int64_t>(Bytes(kBoxes).size()) / (4 * kDouble);
    if (boxes < count) return InvalidArgument("boxes has ", boxes, " rows, trainable is ", count);
    return OkStatus();
  }

 private:
  OpKernelContext* context_;
  int index_, records_;
};

// The masks of all objects of a batch, one image's after the other.
struct Masks {
  std::vector<int64_t> objects{0}, parts{0}, polygons{0}, runs{0};  // row splits
  std::vector<float> points;
  std::vector<int32_t> run_lengths;

  Status Append(const Record& record, const Placement& placement) {
    TF_RETURN_IF_ERROR(AppendPolygons(record, placement));
    TF_RETURN_IF_ERROR(AppendRuns(record, placement));
    objects.push_back(objects.back() + record.Count());
    return OkStatus();
  }

 private:
  Status AppendPolygons(const Record& record, const Placement& placement) {
    Share shares, lengths;
    TF_RETURN_IF_ERROR(shares.Take("polygon_parts", record.Ints(kParts), record.Ints(kIsCrowd), record.Count(),
                                   record.Size(kLengths)));
    const tstring& numbers = record.Bytes(kNumbers);
    TF_RETURN_IF_ERROR(lengths.Take("polygon_lengths", record.Ints(kLengths), nullptr, shares.splits.back(),
                                    static_cast<int64_t>(numbers.size()) / kDouble));
    const int64_t total = lengths.splits.back();
    if (total % 2 != 0) return InvalidArgument("polygon_lengths add up to ", total, ", which is not even");
    const size_t before = points.size();
    points.resize(before + total);
    PlacePoints(numbers.data(), total / 2, placement, points.data() + before);
    AppendSplits(shares.splits, &parts);
    AppendSplits(lengths.splits, &polygons);
    return OkStatus();
  }

  Status AppendRuns(const Record& record, const Placement& placement) {
    Share shares;
    TF_RETURN_IF_ERROR(shares.Take("rle_runs", record.Ints(kRuns), record.Ints(kIsCrowd), record.Count(),
                                   record.Size(kCounts)));
    for (int64_t i = 0; i < record.Count(); ++i) {
      const int64_t begin = shares.splits[i], length = shares.splits[i + 1] - begin;
      if (length > 0 && !PlaceRuns(record.Ints(kCounts) + begin, length, placement, &run_lengths)) {
        return InvalidArgument("rle_counts of row ", i, " do not fit an image of ", placement.old_height, " x ",
                               placement.old_width);
      }
      runs.push_back(static_cast<int64_t>(run_lengths.size()));
    }
    return OkStatus();
  }

  static void AppendSplits(const std::vector<int64_t>& more, std::vector<int64_t>* splits) {
    const int64_t before = splits->back();
    for (size_t i = 1; i < more.size(); ++i) splits->push_back(before + more[i]);
  }
};

class AnnotationsOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const int records = (context->num_inputs() - kArguments) / kLists;
    OP_REQUIRES_OK(context, CheckArguments(context, records));
    const auto argument = [&](Argument which) { return context->input(kLists * records + which); };
    const Tensor old_size = argument(kOldSize), size = argument(kSize), flip = argument(kFlip);
    const int64_t rows = argument(kRows).scalar<int32_t>()();
    for (int i = 0; i < records; ++i) OP_REQUIRES_OK(context, Record(context, i, records).Check(rows));
    Tensor *boxes, *classes, *is_crowd;
    OP_REQUIRES_OK(context, context->allocate_output(0, {records, rows, 4}, &boxes));
    OP_REQUIRES_OK(context, context->allocate_output(1, {records, rows}, &classes));
    OP_REQUIRES_OK(context, context->allocate_output(2, {records, rows}, &is_crowd));
    Masks masks;
    for (int i = 0; i < records; ++i) {
      const Record record(context, i, records);
      const auto from = old_size.matrix<int32_t>(), to = size.matrix<int32_t>();
      const Placement placement{from(i, 0), from(i, 1), to(i, 0), to(i, 1), flip.vec<bool>()(i)};
      WriteRows(record, placement, rows, boxes->flat<float>().data() + 4 * rows * i,
                classes->flat<int32_t>().data() + rows * i, is_crowd->flat<bool>().data() + rows * i);
      OP_REQUIRES_OK(context, masks.Append(record, placement));
    }
    OP_REQUIRES_OK(context, Write(context, 3, masks.objects));
    OP_REQUIRES_OK(context, Write(context, 4, masks.parts));
    OP_REQUIRES_OK(context, Write(context, 5, masks.polygons));
    OP_REQUIRES_OK(context, Write(context, 6, masks.points));
    OP_REQUIRES_OK(context, Write(context, 7, masks.runs));
    OP_REQUIRES_OK(context, Write(context, 8, masks.run_lengths));
  }

 private:
  static Status CheckArguments(OpKernelContext* context, int records) {
    const TensorShape expected[] = {{records, 2}, {records, 2}, {records}, {}};
    for (int i = 0; i < kArguments; ++i) {
      const TensorShape& shape = context->input(kLists * records + i).shape();
      if (shape != expected[i]) {
        return InvalidArgument(kArgumentNames[i], " must have the shape ", expected[i].DebugString(), ", got ",
                               shape.DebugString());
      }
    }
    for (Argument which : {kOldSize, kSize}) {
      const Tensor& sizes = context->input(kLists * records + which);
      const auto sides = sizes.flat<int32_t>();
      for (int64_t i = 0; i < sides.size(); ++i) {
        if (sides(i) < 1) {
          return InvalidArgument(kArgumentNames[which], " must be heights and widths, 1 at least, got ", sides(i));
        }
      }
    }
    return OkStatus();
  }

  static void WriteRows(const Record& record, const Placement& placement, int64_t rows, float* boxes, int32_t* classes,
                        bool* is_crowd) {
    const int64_t count = record.Count();
    PlaceBoxes(record.Bytes(kBoxes).data(), count, placement, boxes);
    std::fill(boxes + 4 * count, boxes + 4 * rows, 0.0f);
    for (int64_t i = 0; i < rows; ++i) {
      classes[i] = i < count ? static_cast<int32_t>(record.Ints(kClasses)[i]) : -1;
      is_crowd[i] = i < count && record.Ints(kIsCrowd)[i] > 0;
    }
  }

  template <typename T>
  static Status Write(OpKernelContext* context, int index, const std::vector<T>& values) {
    Tensor* output;
    TF_RETURN_IF_ERROR(context->allocate_output(index, {static_cast<int64_t>(values.size())}, &output));
    std::copy(values.begin(), values.end(), output->flat<T>().data());
    return OkStatus();
  }
};

REGISTER_KERNEL_BUILDER(Name("AwsdetAnnotations").Device(DEVICE_CPU), AnnotationsOp);

}  // namespace
}  // namespace awsdet
