// The annotations of a batch as they leave an operator, as awsdet/ops/annotations.py describes them: boxes, classes,
// is_crowd, and the row splits and values of the ragged tensors of masks.
#ifndef AWSDET_TENSORFLOW_ANNOTATION_OUTPUTS_H_
#define AWSDET_TENSORFLOW_ANNOTATION_OUTPUTS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensorflow/op.h"

namespace awsdet {

// Sets the shapes of all nine, from output `first` on, for a batch of `count` images.
inline void SetAnnotationShapes(InferenceContext* context, int first, DimensionHandle count) {
  constexpr auto kUnknown = InferenceContext::kUnknownDim;
  context->set_output(first, context->MakeShape({count, context->UnknownDim(), context->MakeDim(4)}));
  context->set_output(first + 1, context->Matrix(count, context->UnknownDim()));
  context->set_output(first + 2, context->Matrix(count, context->UnknownDim()));
  for (int i = 3; i < 9; ++i) context->set_output(first + i, context->Vector(kUnknown));
}

// The masks of all objects of a batch.
struct MaskLists {
  std::vector<int64_t> objects{0}, parts{0}, polygons{0}, runs{0};  // row splits
  std::vector<float> points;
  std::vector<int32_t> run_lengths;

  // After what belongs to an object, and to an image, has been appended.
  void EndPolygon() { polygons.push_back(static_cast<int64_t>(points.size())); }
  void EndObject() {
    parts.push_back(static_cast<int64_t>(polygons.size()) - 1);
    runs.push_back(static_cast<int64_t>(run_lengths.size()));
  }
  void EndImage() { objects.push_back(static_cast<int64_t>(parts.size()) - 1); }

  // As the outputs from `first` on: object_splits, part_splits, polygon_splits, points, run_splits, runs.
  Status Write(OpKernelContext* context, int first) const {
    TF_RETURN_IF_ERROR(WriteOne(context, first, objects));
    TF_RETURN_IF_ERROR(WriteOne(context, first + 1, parts));
    TF_RETURN_IF_ERROR(WriteOne(context, first + 2, polygons));
    TF_RETURN_IF_ERROR(WriteOne(context, first + 3, points));
    TF_RETURN_IF_ERROR(WriteOne(context, first + 4, runs));
    return WriteOne(context, first + 5, run_lengths);
  }

 private:
  template <typename T>
  static Status WriteOne(OpKernelContext* context, int index, const std::vector<T>& values) {
    Tensor* output;
    TF_RETURN_IF_ERROR(context->allocate_output(index, {static_cast<int64_t>(values.size())}, &output));
    std::copy(values.begin(), values.end(), output->flat<T>().data());
    return OkStatus();
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_ANNOTATION_OUTPUTS_H_
