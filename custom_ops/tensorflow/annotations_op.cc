// AwsdetAnnotations: the rows of a batch's records, moved to where they lie in their images' windows. CPU only, on the
// calling thread, as AwsdetResize.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kernels/annotations.h"
#include "kernels/bitmap.h"
#include "tensorflow/annotation_outputs.h"
#include "tensorflow/op.h"
#include "tensorflow/placement.h"

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
enum Argument { kOriginalSize, kPlacement, kRows = kPlacement + kPlacementInputs, kArguments };

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
    .Input("original_size: int32")
    .Input("size: int32")
    .Input("corner: int32")
    .Input("window: int32")
    .Input("flip: bool")
    .Input("rows: int32")
    .Attr("min_visible: float = 0.0")
    .Attr("boxes_from_masks: bool = false")
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
      const int count = (context->num_inputs() - kArguments) / kLists;
      ShapeHandle unused;
      for (int i = 0; i < kLists * count; ++i) {
        TF_RETURN_IF_ERROR(context->WithRank(context->input(i), kListRanks[i / count], &unused));
      }
      const int first = kLists * count;
      TF_RETURN_IF_ERROR(context->Merge(context->input(first + kOriginalSize), context->Matrix(count, 2), &unused));
      TF_RETURN_IF_ERROR(MergePlacementShapes(context, first + kPlacement, count));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(first + kRows), 0, &unused));
      SetAnnotationShapes(context, 0, context->MakeDim(count));
      context->set_output(3, context->Vector(count + 1));
      return OkStatus();
    })
    .Doc("Annotations moved to the windows of their images; kernels/annotations.h says how.");

// How much of a list belongs to objects: each row's number of entries, none for crowds, and their sum.
struct Share {
  std::vector<int64_t> splits{0};

  // Of `count` rows that have `lengths`, in a list of `available` entries. `crowd` may be nullptr.
  Status Take(const char* name, const int64_t* lengths, const int64_t* crowd, int64_t count, int64_t available) {
    splits.reserve(count + 1);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t length = crowd != nullptr && crowd[i] > 0 ? 0 : lengths[i];
      if (length < 0 || length > available - splits.back()) {
        return InvalidArgument(name, "[", i, "] is ", length, ", but ", available - splits.back(),
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
    for (int64_t i = 0; i < count; ++i) {
      if (!AreNear(Bytes(kBoxes).data() + 4 * kDouble * i, 4)) {
        return InvalidArgument("boxes has numbers in row ", i, " that are not finite, or above ", kFarthest,
                               " px; convert the annotations again");
      }
      const int64_t label = Ints(kClasses)[i];
      if (label < 0 || label > std::numeric_limits<int32_t>::max()) {
        return InvalidArgument("classes[", i, "] is ", label, "; it must be 0 at least, and an int32");
      }
    }
    return OkStatus();
  }

 private:
  OpKernelContext* context_;
  int index_, records_;
};

// Where the masks of a record's rows lie in its lists.
struct StoredMasks {
  Share parts, lengths, runs;

  Status Find(const Record& record) {
    const int64_t *crowd = record.Ints(kIsCrowd), count = record.Count();
    const int64_t numbers = static_cast<int64_t>(record.Bytes(kNumbers).size()) / kDouble;
    TF_RETURN_IF_ERROR(parts.Take("polygon_parts", record.Ints(kParts), crowd, count, record.Size(kLengths)));
    TF_RETURN_IF_ERROR(
        lengths.Take("polygon_lengths", record.Ints(kLengths), nullptr, parts.splits.back(), numbers));
    for (size_t part = 0; part + 1 < lengths.splits.size(); ++part) {
      const int64_t length = lengths.splits[part + 1] - lengths.splits[part];
      if (length % 2 != 0) return InvalidArgument("polygon_lengths[", part, "] is ", length, ", which is not even");
    }
    if (!AreNear(record.Bytes(kNumbers).data(), lengths.splits.back())) {
      return InvalidArgument("polygon_numbers has numbers that are not finite, or above ", kFarthest,
                             " px; convert the annotations again");
    }
    return runs.Take("rle_runs", record.Ints(kRuns), crowd, count, record.Size(kCounts));
  }
};

// The masks of all kept objects of a batch, one image's after the other.
class Masks {
 public:
  // Appends those of one row. *gone: it has a mask, of which nothing is left in the window.
  Status Append(const Record& record, const StoredMasks& stored, int64_t row, const Placement& placement, bool* gone) {
    const int64_t first = stored.parts.splits[row], end = stored.parts.splits[row + 1];
    for (int64_t part = first; part < end; ++part) {
      const int64_t from = stored.lengths.splits[part], length = stored.lengths.splits[part + 1] - from;
      const char* numbers = record.Bytes(kNumbers).data() + kDouble * from;
      if (PlacePolygon(numbers, length / 2, placement, &lists_.points)) lists_.EndPolygon();
    }
    const int64_t begin = stored.runs.splits[row], count = stored.runs.splits[row + 1] - begin;
    if (count > 0 && !PlaceRuns(record.Ints(kCounts) + begin, count, placement, &lists_.run_lengths)) {
      return InvalidArgument("rle_counts of row ", row, " do not fit an image of ", placement.old_height, " x ",
                             placement.old_width);
    }
    lists_.EndObject();
    *gone = (first < end || count > 0) && !Last().exists();
    return OkStatus();
  }

  // The mask of the row that was appended last.
  PlacedMask Last() const {
    const auto part = lists_.parts.end() - 2, run = lists_.runs.end() - 2;
    return {lists_.polygons.data() + part[0], part[1] - part[0], lists_.points.data(),
            lists_.run_lengths.data() + run[0], run[1] - run[0]};
  }

  // Takes back what Append added.
  void TakeBack() {
    lists_.parts.pop_back();
    lists_.polygons.resize(lists_.parts.back() + 1);
    lists_.points.resize(lists_.polygons.back());
    lists_.runs.pop_back();
    lists_.run_lengths.resize(lists_.runs.back());
  }

  void EndImage() { lists_.EndImage(); }
  Status Write(OpKernelContext* context, int first) const { return lists_.Write(context, first); }

 private:
  MaskLists lists_;
};

class AnnotationsOp : public OpKernel {
 public:
  explicit AnnotationsOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("min_visible", &min_visible_));
    OP_REQUIRES_OK(context, context->GetAttr("boxes_from_masks", &boxes_from_masks_));
  }

  void Compute(OpKernelContext* context) override {
    const int records = (context->num_inputs() - kArguments) / kLists, first = kLists * records;
    const Tensor &original_size = context->input(first + kOriginalSize), &room = context->input(first + kRows);
    const Placements placements(context, first + kPlacement, records);
    OP_REQUIRES_OK(context, CheckShape("rows", room, {}, "a scalar"));
    OP_REQUIRES_OK(context, CheckOriginals(original_size, records));
    OP_REQUIRES_OK(context, placements.Check());
    const int64_t rows = room.scalar<int32_t>()();
    for (int i = 0; i < records; ++i) OP_REQUIRES_OK(context, Record(context, i, records).Check(rows));
    Tensor *boxes, *classes, *is_crowd;
    OP_REQUIRES_OK(context, context->allocate_output(0, {records, rows, 4}, &boxes));
    OP_REQUIRES_OK(context, context->allocate_output(1, {records, rows}, &classes));
    OP_REQUIRES_OK(context, context->allocate_output(2, {records, rows}, &is_crowd));
    Masks masks;
    const auto from = original_size.matrix<int32_t>();
    for (int i = 0; i < records; ++i) {
      const Rows image{rows, boxes->flat<float>().data() + 4 * rows * i, classes->flat<int32_t>().data() + rows * i,
                       is_crowd->flat<bool>().data() + rows * i};
      const Record record(context, i, records);
      OP_REQUIRES_OK(context, Place(record, placements.Of(i, from(i, 0), from(i, 1)), image, &masks));
    }
    OP_REQUIRES_OK(context, masks.Write(context, 3));
  }

 private:
  // Of one image, where the results go.
  struct Rows {
    int64_t count;
    float* boxes;
    int32_t* classes;
    bool* is_crowd;
  };

  static Status CheckOriginals(const Tensor& sizes, int records) {
    TF_RETURN_IF_ERROR(CheckShape("original_size", sizes, {records, 2}, "[", records, ", 2], a pair per image"));
    const auto sides = sizes.flat<int32_t>();
    for (int64_t i = 0; i < sides.size(); ++i) {
      if (sides(i) < 1) {
        return InvalidArgument("original_size must be heights and widths, 1 at least, got ", sides(i));
      }
    }
    return OkStatus();
  }

  // The box around the pixels of a mask. Returns false if it has none.
  static bool BoxOfMask(const PlacedMask& mask, const Placement& placement, float* box) {
    const Extent tight = Bitmap(mask, {placement.window_height, placement.window_width}).Tight();
    const int64_t sides[] = {tight.left, tight.top, tight.right, tight.bottom};
    std::copy(sides, sides + 4, box);
    return !tight.IsEmpty();
  }

  // Writes the rows that are kept, then padding.
  Status Place(const Record& record, const Placement& placement, const Rows& rows, Masks* masks) const {
    StoredMasks stored;
    TF_RETURN_IF_ERROR(stored.Find(record));
    int64_t kept = 0;
    for (int64_t i = 0; i < record.Count(); ++i) {
      const bool is_crowd = record.Ints(kIsCrowd)[i] > 0;
      // Of a crowd any part is to be ignored, so it has no least share.
      const Visibility seen = PlaceBox(record.Bytes(kBoxes).data() + 4 * kDouble * i, placement,
                                       is_crowd ? 0.0 : min_visible_, rows.boxes + 4 * kept);
      if (!seen.kept) continue;
      bool gone = false;
      TF_RETURN_IF_ERROR(masks->Append(record, stored, i, placement, &gone));
      if (boxes_from_masks_ && seen.cut && masks->Last().exists()) {
        gone = !BoxOfMask(masks->Last(), placement, rows.boxes + 4 * kept);
      }
      if (seen.cut && gone) {
        masks->TakeBack();
        continue;
      }
      rows.classes[kept] = static_cast<int32_t>(record.Ints(kClasses)[i]);
      rows.is_crowd[kept++] = is_crowd;
    }
    masks->EndImage();
    std::fill(rows.boxes + 4 * kept, rows.boxes + 4 * rows.count, 0.0f);
    std::fill(rows.classes + kept, rows.classes + rows.count, -1);
    std::fill(rows.is_crowd + kept, rows.is_crowd + rows.count, false);
    return OkStatus();
  }

  float min_visible_;
  bool boxes_from_masks_;
};

REGISTER_KERNEL_BUILDER(Name("AwsdetAnnotations").Device(DEVICE_CPU), AnnotationsOp);

}  // namespace
}  // namespace awsdet
