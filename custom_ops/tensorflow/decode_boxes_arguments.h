// Reads and checks the attributes and inputs of AwsdetDecodeBoxes, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_DECODE_BOXES_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_DECODE_BOXES_ARGUMENTS_H_

#include "kernels/decode_boxes.h"
#include "tensorflow/box_decoding.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {

struct DecodeBoxesAttributes {
  tensorflow::int64 num_classes;  // C
  BoxDecoding rule;

  Status Read(OpKernelConstruction* context) {
    TF_RETURN_IF_ERROR(context->GetAttr("num_classes", &num_classes));
    return ReadDecoding(context, "decode_boxes", &rule);
  }
};

struct DecodeBoxesCall {
  using Attributes = DecodeBoxesAttributes;
  DecodeSizes sizes;
  const Tensor *deltas, *boxes, *image_size;
  Tensor *decoded, *classes;  // allocated results

  Status Read(OpKernelContext* context, const DecodeBoxesAttributes& attributes) {
    const int64_t num_classes = attributes.num_classes;
    deltas = &context->input(0);
    boxes = &context->input(1);
    image_size = &context->input(2);
    if (boxes->dims() != 3 || boxes->dim_size(2) != 4) {
      return InvalidArgument("decode_boxes: boxes must be [B, N, 4], not ", boxes->shape().DebugString());
    }
    const bool shared = deltas->dims() == 4 && deltas->dim_size(2) == 1;
    sizes = {boxes->dim_size(0), boxes->dim_size(1), num_classes, shared ? 1 : num_classes};
    TF_RETURN_IF_ERROR(CheckShape("decode_boxes: deltas", *deltas,
                                  TensorShape({sizes.images, sizes.boxes, sizes.delta_classes, 4}), "[B, N, ",
                                  num_classes, " or 1, 4] like boxes ", boxes->shape().DebugString()));
    TF_RETURN_IF_ERROR(CheckShape("decode_boxes: image_size", *image_size, TensorShape({sizes.images, 2}),
                                  "[B, 2] for ", sizes.images, " images"));
    const int64_t results = sizes.boxes * num_classes;
    TF_RETURN_IF_ERROR(context->allocate_output(0, TensorShape({sizes.images, results, 4}), &decoded));
    return context->allocate_output(1, TensorShape({sizes.images, results}), &classes);
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_DECODE_BOXES_ARGUMENTS_H_
