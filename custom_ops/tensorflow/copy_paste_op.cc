// AwsdetCopyPaste: objects of the images of one batch pasted onto those of another. CPU only, on the calling thread, as
// AwsdetResize.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/copy_paste.h"
#include "tensorflow/annotation_outputs.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

constexpr int64_t kChannels = 3;
// What each of the two batches has, ...
enum Input {
  kImages, kWindow, kBoxes, kClasses, kIsCrowd, kObjects, kParts, kPolygons, kPoints, kRuns, kRunLengths, kInputs
};
constexpr const char* kNames[] = {"images",      "window",         "boxes",  "classes",    "is_crowd", "object_splits",
                                  "part_splits", "polygon_splits", "points", "run_splits", "runs"};
constexpr int kRanks[] = {4, 2, 3, 2, 2, 1, 1, 1, 1, 1, 1};
// ... and, after both, the draws.
enum Argument { kShare = 2 * kInputs, kKey, kRows };

REGISTER_OP("AwsdetCopyPaste")
    .Input("images: uint8")
    .Input("window: int32")
    .Input("boxes: float")
    .Input("classes: int32")
    .Input("is_crowd: bool")
    .Input("object_splits: int64")
    .Input("part_splits: int64")
    .Input("polygon_splits: int64")
    .Input("points: float")
    .Input("run_splits: int64")
    .Input("runs: int32")
    .Input("partner_images: uint8")
    .Input("partner_window: int32")
    .Input("partner_boxes: float")
    .Input("partner_classes: int32")
    .Input("partner_is_crowd: bool")
    .Input("partner_object_splits: int64")
    .Input("partner_part_splits: int64")
    .Input("partner_polygon_splits: int64")
    .Input("partner_points: float")
    .Input("partner_run_splits: int64")
    .Input("partner_runs: int32")
    .Input("share: float")
    .Input("key: int64")
    .Input("rows: int32")
    .Attr("most: int >= 0")
    .Attr("box_shift: float = 10.0")
    .Attr("least_pixels: int >= 0 = 300")
    .Output("pasted_images: uint8")
    .Output("frame: int32")
    .Output("pasted_boxes: float")
    .Output("pasted_classes: int32")
    .Output("pasted_is_crowd: bool")
    .Output("pasted_object_splits: int64")
    .Output("pasted_part_splits: int64")
    .Output("pasted_polygon_splits: int64")
    .Output("pasted_points: float")
    .Output("pasted_run_splits: int64")
    .Output("pasted_runs: int32")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle images, unused;
      for (int i = 0; i < 2 * kInputs; ++i) {
        TF_RETURN_IF_ERROR(context->WithRank(context->input(i), kRanks[i % kInputs], &unused));
      }
      TF_RETURN_IF_ERROR(context->Merge(context->input(kImages), context->input(kInputs + kImages), &images));
      const DimensionHandle count = context->Dim(images, 0);
      TF_RETURN_IF_ERROR(context->Merge(context->input(kShare), context->Vector(count), &unused));
      TF_RETURN_IF_ERROR(context->Merge(context->input(kKey), context->Vector(count), &unused));
      TF_RETURN_IF_ERROR(context->WithRank(context->input(kRows), 0, &unused));
      context->set_output(0, images);
      context->set_output(1, context->Matrix(count, context->MakeDim(2)));
      SetAnnotationShapes(context, 2, count);
      return OkStatus();
    })
    .Doc("Objects of one batch pasted onto the images of another; kernels/copy_paste.h says how.");

// One of the two batches.
class Batch {
 public:
  Batch(OpKernelContext* context, int first) : context_(context), first_(first) {}

  Status Check() const {
    for (int i = 0; i < kInputs; ++i) {
      if (At(i).dims() == kRanks[i]) continue;
      return InvalidArgument(Name(i), " must have rank ", kRanks[i], ", got shape ", At(i).shape().DebugString());
    }
    const int64_t count = At(kImages).dim_size(0), rows = At(kClasses).dim_size(1);
    TF_RETURN_IF_ERROR(CheckShape(Name(kWindow).c_str(), At(kWindow), {count, 2}, "[", count, ", 2]"));
    TF_RETURN_IF_ERROR(CheckShape(Name(kClasses).c_str(), At(kClasses), {count, rows}, "a row per image"));
    TF_RETURN_IF_ERROR(CheckShape(Name(kBoxes).c_str(), At(kBoxes), {count, rows, 4}, "as long as classes"));
    TF_RETURN_IF_ERROR(CheckShape(Name(kIsCrowd).c_str(), At(kIsCrowd), {count, rows}, "as long as classes"));
    const int64_t objects = At(kParts).NumElements() - 1;
    TF_RETURN_IF_ERROR(CheckSplits(kObjects, count, objects));
    TF_RETURN_IF_ERROR(CheckSplits(kParts, objects, At(kPolygons).NumElements() - 1));
    TF_RETURN_IF_ERROR(CheckSplits(kPolygons, At(kPolygons).NumElements() - 1, At(kPoints).NumElements()));
    TF_RETURN_IF_ERROR(CheckSplits(kRuns, objects, At(kRunLengths).NumElements()));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t found = Ints(kObjects)[i + 1] - Ints(kObjects)[i];
      if (found > rows) {
        return InvalidArgument(Name(kObjects), " has ", found, " objects in image ", i, ", of ", rows, " rows");
      }
      TF_RETURN_IF_ERROR(CheckImage(Of(i)));
    }
    return OkStatus();
  }

  Scene Of(int64_t image) const {
    const int32_t* window = At(kWindow).flat<int32_t>().data() + 2 * image;
    const int64_t rows = At(kClasses).dim_size(1);
    const int64_t *objects = Ints(kObjects), *parts = Ints(kParts), *runs = Ints(kRuns);
    Scene scene{{window[0], window[1]}, {}};
    for (int64_t object = objects[image]; object < objects[image + 1]; ++object) {
      const int64_t at = image * rows + object - objects[image];
      scene.objects.push_back({At(kBoxes).flat<float>().data() + 4 * at, At(kClasses).flat<int32_t>()(at),
                               At(kIsCrowd).flat<bool>()(at),
                               {Ints(kPolygons) + parts[object], parts[object + 1] - parts[object],
                                At(kPoints).flat<float>().data(), At(kRunLengths).flat<int32_t>().data() + runs[object],
                                runs[object + 1] - runs[object]}});
    }
    return scene;
  }

 private:
  const Tensor& At(int input) const { return context_->input(first_ + input); }
  const int64_t* Ints(int input) const { return At(input).flat<int64_t>().data(); }
  std::string Name(int input) const { return std::string(first_ > 0 ? "partner_" : "") + kNames[input]; }

  // Row splits of `rows` rows, `total` values in all.
  Status CheckSplits(int input, int64_t rows, int64_t total) const {
    const Tensor& splits = At(input);
    if (rows < 0 || splits.NumElements() != rows + 1) {
      return InvalidArgument(Name(input), " must have ", std::max<int64_t>(rows, 0) + 1, " entries, got ",
                             splits.NumElements());
    }
    const int64_t* values = Ints(input);
    if (values[0] != 0 || values[rows] != total || !std::is_sorted(values, values + rows + 1)) {
      return InvalidArgument(Name(input), " must go up from 0 to ", total);
    }
    return OkStatus();
  }

  Status CheckImage(const Scene& scene) const {
    const int64_t height = At(kImages).dim_size(1), width = At(kImages).dim_size(2);
    const Window& window = scene.window;
    if (window.height < 1 || window.width < 1 || window.height > height || window.width > width) {
      return InvalidArgument(Name(kWindow), " ", window.height, " x ", window.width, " does not lie in an image of ",
                             height, " x ", width);
    }
    for (const PlacedObject& object : scene.objects) {
      const int32_t *begin = object.mask.runs, *end = begin + object.mask.num_runs;
      const int64_t pixels = std::accumulate(begin, end, int64_t{0});
      const bool negative = std::any_of(begin, end, [](int32_t length) { return length < 0; });
      if (negative || (begin != end && pixels != window.height * window.width)) {
        return InvalidArgument(Name(kRunLengths), " do not fit a window of ", window.height, " x ", window.width);
      }
    }
    return OkStatus();
  }

  OpKernelContext* context_;
  int first_;
};

// The objects of the result, image after image.
class Result {
 public:
  Status Allocate(OpKernelContext* context, int64_t count, int64_t rows) {
    TF_RETURN_IF_ERROR(context->allocate_output(2, {count, rows, 4}, &boxes_));
    TF_RETURN_IF_ERROR(context->allocate_output(3, {count, rows}, &classes_));
    TF_RETURN_IF_ERROR(context->allocate_output(4, {count, rows}, &is_crowd_));
    std::fill_n(boxes_->flat<float>().data(), boxes_->NumElements(), 0.0f);
    std::fill_n(classes_->flat<int32_t>().data(), classes_->NumElements(), -1);
    std::fill_n(is_crowd_->flat<bool>().data(), is_crowd_->NumElements(), false);
    return OkStatus();
  }

  // Of an image that has `row` objects so far.
  void Add(int64_t image, int64_t row, const PastedObject& pasted) {
    const PlacedObject& object = *pasted.object;
    const float* box = pasted.box_is_new ? pasted.box : object.box;
    std::copy(box, box + 4, boxes_->tensor<float, 3>().data() + 4 * (image * boxes_->dim_size(1) + row));
    classes_->matrix<int32_t>()(image, row) = object.label;
    is_crowd_->matrix<bool>()(image, row) = object.is_crowd;
    if (pasted.mask_is_new) {
      masks_.run_lengths.insert(masks_.run_lengths.end(), pasted.runs.begin(), pasted.runs.end());
    } else {
      const PlacedMask& mask = object.mask;
      for (int64_t part = 0; part < mask.num_parts; ++part) {
        masks_.points.insert(masks_.points.end(), mask.points + mask.part_begins[part],
                             mask.points + mask.part_begins[part + 1]);
        masks_.EndPolygon();
      }
    }
    masks_.EndObject();
  }

  void EndImage() { masks_.EndImage(); }
  Status Write(OpKernelContext* context) const { return masks_.Write(context, 5); }

 private:
  Tensor *boxes_, *classes_, *is_crowd_;
  MaskLists masks_;
};

class CopyPasteOp : public OpKernel {
 public:
  explicit CopyPasteOp(OpKernelConstruction* context) : OpKernel(context) {
    int64_t least_pixels, most;
    OP_REQUIRES_OK(context, context->GetAttr("most", &most));
    OP_REQUIRES_OK(context, context->GetAttr("box_shift", &rules_.box_shift));
    OP_REQUIRES_OK(context, context->GetAttr("least_pixels", &least_pixels));
    rules_.most = most;
    rules_.least_pixels = least_pixels;
  }

  void Compute(OpKernelContext* context) override {
    const Batch base(context, 0), partner(context, kInputs);
    const Tensor &images = context->input(kImages), &partners = context->input(kInputs + kImages);
    OP_REQUIRES_OK(context, base.Check());
    OP_REQUIRES_OK(context, partner.Check());
    OP_REQUIRES_OK(context, CheckShape("partner_images", partners, images.shape(), "as large as images"));
    OP_REQUIRES(context, images.dim_size(3) == kChannels,
                InvalidArgument("images must have ", kChannels, " channels, got ", images.dim_size(3)));
    const int64_t count = images.dim_size(0);
    OP_REQUIRES_OK(context, CheckShape("share", context->input(kShare), {count}, "[", count, "]"));
    OP_REQUIRES_OK(context, CheckShape("key", context->input(kKey), {count}, "[", count, "]"));
    OP_REQUIRES_OK(context, CheckShape("rows", context->input(kRows), {}, "a scalar"));
    Tensor *pasted, *frames;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({kImages}, 0, images.shape(), &pasted));
    OP_REQUIRES_OK(context, context->allocate_output(1, {count, 2}, &frames));
    uint8_t* pixels = pasted->flat<uint8_t>().data();
    const uint8_t* source = images.flat<uint8_t>().data();
    if (pixels != source) std::copy(source, source + images.NumElements(), pixels);
    Result result;
    const int64_t rows = context->input(kRows).scalar<int32_t>()();
    OP_REQUIRES_OK(context, result.Allocate(context, count, std::max<int64_t>(rows, 0)));
    for (int64_t i = 0; i < count; ++i) {
      Window frame;
      OP_REQUIRES_OK(context, PasteOne(context, i, rows, base.Of(i), partner.Of(i), pixels, &result, &frame));
      frames->matrix<int32_t>()(i, 0) = static_cast<int32_t>(frame.height);
      frames->matrix<int32_t>()(i, 1) = static_cast<int32_t>(frame.width);
    }
    OP_REQUIRES_OK(context, result.Write(context));
  }

 private:
  Status PasteOne(OpKernelContext* context, int64_t image, int64_t rows, const Scene& base, const Scene& partner,
                  uint8_t* pixels, Result* result, Window* frame) const {
    const float share = context->input(kShare).vec<float>()(image);
    if (!(share >= 0 && share < 1)) return InvalidArgument("share must be 0 at least and below 1, got ", share);
    const auto key = static_cast<uint64_t>(context->input(kKey).vec<int64_t>()(image));
    const std::vector<int64_t> drawn = DrawObjects(partner, share, key, rules_.most);
    const auto most = static_cast<int64_t>(base.objects.size() + drawn.size());
    if (most > rows) return InvalidArgument("rows is ", rows, ", but image ", image, " may have ", most, " objects");
    const Tensor& partners = context->input(kInputs + kImages);
    const int64_t stride = partners.dim_size(2), offset = image * partners.dim_size(1) * stride * kChannels;
    int64_t row = 0;
    *frame = Paste(base, partner, drawn, rules_, stride, partners.flat<uint8_t>().data() + offset, pixels + offset,
                   [&](const PastedObject& object) { result->Add(image, row++, object); });
    result->EndImage();
    return OkStatus();
  }

  PasteRules rules_;
};

REGISTER_KERNEL_BUILDER(Name("AwsdetCopyPaste").Device(DEVICE_CPU), CopyPasteOp);

}  // namespace
}  // namespace awsdet
