// Attributes, checks and outputs of AwsdetMatch, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_MATCH_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_MATCH_ARGUMENTS_H_

#include <cmath>
#include <limits>

#include "kernels/match.h"
#include "tensorflow/kernel.h"
#include "tensorflow/op.h"

namespace awsdet {

struct MatchAttributes {
  MatchRule rule;
  bool with_truth;

  Status Read(OpKernelConstruction* context) {
    TF_RETURN_IF_ERROR(context->GetAttr("positive_iou", &rule.positive_iou));
    TF_RETURN_IF_ERROR(context->GetAttr("negative_iou", &rule.negative_iou));
    TF_RETURN_IF_ERROR(context->GetAttr("low_quality_matches", &rule.low_quality_matches));
    TF_RETURN_IF_ERROR(context->GetAttr("min_positive_iou", &rule.min_positive_iou));
    TF_RETURN_IF_ERROR(context->GetAttr("ignore_iof", &rule.ignore_iof));
    TF_RETURN_IF_ERROR(context->GetAttr("with_truth", &with_truth));
    for (const float number : {rule.positive_iou, rule.negative_iou, rule.min_positive_iou, rule.ignore_iof}) {
      if (std::isnan(number)) return InvalidArgument("match: an attribute is not a number");
    }
    return OkStatus();
  }
};

// Candidates are [N, 4], shared by all images, or [B, N, 4]. Gets B, N and G.
inline Status CheckCandidates(const char* op, const Tensor& candidates, const Tensor& boxes, int64_t* images,
                              int64_t* count, int64_t* objects) {
  if (boxes.dims() != 3 || boxes.dim_size(2) != 4) {
    return InvalidArgument(op, ": boxes must be [B, G, 4], not ", boxes.shape().DebugString());
  }
  *images = boxes.dim_size(0);
  *objects = boxes.dim_size(1);
  const int rank = candidates.dims();
  const bool fits = (rank == 2 || (rank == 3 && candidates.dim_size(0) == *images)) && candidates.dim_size(rank - 1) == 4;
  if (!fits) {
    return InvalidArgument(op, ": candidates must be [N, 4] or [B, N, 4] with the B of boxes ",
                           boxes.shape().DebugString(), ", not ", candidates.shape().DebugString());
  }
  *count = candidates.dim_size(rank - 2);
  if (*count + *objects > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument(op, ": candidates has ", *count, " boxes per image; indices are int32");
  }
  return OkStatus();
}

// The inputs and outputs of one call.
struct MatchCall {
  using Attributes = MatchAttributes;
  MatchInput input;
  Matches matches;

  Status Read(OpKernelContext* context, const MatchAttributes& attributes) {
    const Tensor &candidates = context->input(0), &valid = context->input(1), &boxes = context->input(2),
                 &is_target = context->input(3), &is_crowd = context->input(4);
    int64_t images = 0, count = 0, objects = 0;
    TF_RETURN_IF_ERROR(CheckCandidates("match", candidates, boxes, &images, &count, &objects));
    const auto words = boxes.shape().DebugString();
    TF_RETURN_IF_ERROR(CheckShape("match: valid", valid, {images, count}, "[B, N] with the N of candidates ",
                                  candidates.shape().DebugString(), " and the B of boxes ", words));
    TF_RETURN_IF_ERROR(CheckShape("match: is_target", is_target, {images, objects}, "[B, G] like boxes ", words));
    TF_RETURN_IF_ERROR(CheckShape("match: is_crowd", is_crowd, {images, objects}, "[B, G] like boxes ", words));
    input = {candidates.flat<float>().data(), candidates.dims() == 2, valid.flat<bool>().data(),
             boxes.flat<float>().data(), is_target.flat<bool>().data(), is_crowd.flat<bool>().data(), images, count,
             objects};
    const bool with_truth = attributes.with_truth;
    const TensorShape shape({images, count + (with_truth ? objects : 0)});
    Tensor *positive, *negative, *index;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &positive));
    TF_RETURN_IF_ERROR(context->allocate_output(1, shape, &negative));
    TF_RETURN_IF_ERROR(context->allocate_output(2, shape, &index));
    matches = {positive->flat<bool>().data(), negative->flat<bool>().data(), index->flat<int32_t>().data(),
               with_truth};
    return OkStatus();
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_MATCH_ARGUMENTS_H_
