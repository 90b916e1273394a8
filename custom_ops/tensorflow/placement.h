// The arguments of an operator that say where each of B images lies in its batch (kernels/placement.h): four inputs in
// a row, size [B, 2], corner [B, 2] and window [B, 2], each of height (or y) and width (or x), and flip [B].
#ifndef AWSDET_TENSORFLOW_PLACEMENT_H_
#define AWSDET_TENSORFLOW_PLACEMENT_H_

#include "kernels/placement.h"
#include "tensorflow/op.h"

namespace awsdet {

constexpr int kPlacementInputs = 4;

// What the shape function checks; `first` is the index of `size` among the inputs.
inline Status MergePlacementShapes(InferenceContext* context, int first, int count) {
  ShapeHandle unused;
  for (int i = 0; i < 3; ++i) {
    TF_RETURN_IF_ERROR(context->Merge(context->input(first + i), context->Matrix(count, 2), &unused));
  }
  return context->Merge(context->input(first + 3), context->Vector(count), &unused);
}

class Placements {
 public:
  Placements(OpKernelContext* context, int first, int count)
      : size_(context->input(first)),
        corner_(context->input(first + 1)),
        window_(context->input(first + 2)),
        flip_(context->input(first + 3)),
        count_(count) {}

  // Before any image's placement is asked for. An image's own size is not checked.
  Status Check() const {
    const char* names[] = {"size", "corner", "window"};
    const Tensor* pairs[] = {&size_, &corner_, &window_};
    for (int i = 0; i < 3; ++i) {
      TF_RETURN_IF_ERROR(CheckShape(names[i], *pairs[i], {count_, 2}, "[", count_, ", 2], a pair per image"));
    }
    TF_RETURN_IF_ERROR(CheckShape("flip", flip_, {count_}, "[", count_, "]"));
    for (int i = 0; i < count_; ++i) {
      const Placement image = Of(i, 1, 1);
      if (image.height < 1 || image.width < 1) {
        return InvalidArgument("size must be 1 x 1 at least, got ", image.height, " x ", image.width);
      }
      if (image.window_height < 1 || image.window_width < 1) {
        return InvalidArgument("window must be 1 x 1 at least, got ", image.window_height, " x ", image.window_width);
      }
      if (image.top < 0 || image.left < 0 || image.top + image.window_height > image.height ||
          image.left + image.window_width > image.width) {
        return InvalidArgument("window ", image.window_height, " x ", image.window_width, " at corner (", image.top,
                               ", ", image.left, ") does not lie in the resized image, ", image.height, " x ",
                               image.width);
      }
    }
    return OkStatus();
  }

  // Of image i, whose source has this height and width.
  Placement Of(int i, int64_t old_height, int64_t old_width) const {
    const auto size = size_.matrix<int32_t>(), corner = corner_.matrix<int32_t>(), window = window_.matrix<int32_t>();
    return {old_height,   old_width,    size(i, 0),   size(i, 1),           corner(i, 0),
            corner(i, 1), window(i, 0), window(i, 1), flip_.vec<bool>()(i)};
  }

 private:
  const Tensor &size_, &corner_, &window_, &flip_;
  int count_;
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_PLACEMENT_H_
