// What the shape functions of AwsdetMatch and AwsdetSample share: B images, G objects, N candidates.
#ifndef AWSDET_TENSORFLOW_CANDIDATE_SHAPES_H_
#define AWSDET_TENSORFLOW_CANDIDATE_SHAPES_H_

#include "tensorflow/op.h"

namespace awsdet {

class CandidateShapes {
 public:
  // `candidates` and `boxes` are the numbers of these inputs. Checks their shapes.
  Status Read(InferenceContext* context, const char* op, int candidates, int boxes) {
    context_ = context;
    op_ = op;
    TF_RETURN_IF_ERROR(context->GetAttr("with_truth", &with_truth_));
    ShapeHandle truth;
    DimensionHandle unused;
    if (!context->WithRank(context->input(boxes), 3, &truth).ok() ||
        !context->WithValue(context->Dim(truth, 2), 4, &unused).ok()) {
      return InvalidArgument(op, ": boxes must be [B, G, 4], not ", context->DebugString(context->input(boxes)));
    }
    images_ = context->Dim(truth, 0);
    objects_ = context->Dim(truth, 1);
    count_ = context->UnknownDim();
    const ShapeHandle shape = context->input(candidates);
    if (!context->RankKnown(shape)) return OkStatus();
    const int rank = context->Rank(shape);
    const bool fits = (rank == 2 || (rank == 3 && context->Merge(context->Dim(shape, 0), images_, &images_).ok())) &&
                      context->WithValue(context->Dim(shape, rank - 1), 4, &unused).ok();
    if (!fits) {
      return InvalidArgument(op, ": candidates must be [N, 4] or [B, N, 4] with the B of boxes ",
                             context->DebugString(truth), ", not ", context->DebugString(shape));
    }
    count_ = context->Dim(shape, rank - 2);
    return OkStatus();
  }

  // Checks that an input is [B, N].
  Status CheckCandidateRows(int input, const char* name) { return CheckRows(input, name, &count_, "[B, N]"); }
  // Checks that an input is [B, G].
  Status CheckObjectRows(int input, const char* name) { return CheckRows(input, name, &objects_, "[B, G]"); }
  // Checks that an input has one entry for each candidate of each image, with the objects if they are candidates too.
  Status CheckRows(int input, const char* name, DimensionHandle* columns, const char* words) {
    const ShapeHandle wanted = context_->Matrix(images_, *columns);
    ShapeHandle rows;
    if (!context_->Merge(context_->input(input), wanted, &rows).ok()) {
      return InvalidArgument(op_, ": ", name, " must be ", words, " = ", context_->DebugString(wanted), ", not ",
                             context_->DebugString(context_->input(input)));
    }
    images_ = context_->Dim(rows, 0);
    *columns = context_->Dim(rows, 1);
    return OkStatus();
  }

  DimensionHandle images() const { return images_; }
  // N, or G + N if the objects are candidates too.
  Status Length(DimensionHandle* length) {
    if (with_truth_) return context_->Add(objects_, count_, length);
    *length = count_;
    return OkStatus();
  }

 private:
  InferenceContext* context_ = nullptr;
  const char* op_ = "";
  bool with_truth_ = false;
  DimensionHandle images_, objects_, count_;
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_CANDIDATE_SHAPES_H_
