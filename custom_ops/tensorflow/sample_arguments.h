// Attributes, checks and outputs of AwsdetSample, for CPU and GPU.
#ifndef AWSDET_TENSORFLOW_SAMPLE_ARGUMENTS_H_
#define AWSDET_TENSORFLOW_SAMPLE_ARGUMENTS_H_

#include <algorithm>
#include <vector>

#include "kernels/sample.h"
#include "tensorflow/kernel.h"
#include "tensorflow/match_arguments.h"
#include "tensorflow/op.h"

namespace awsdet {

struct SampleAttributes {
  SampleRule rule;
  bool with_truth;

  Status Read(OpKernelConstruction* context) {
    tensorflow::int32 size, positive_limit, background;
    std::vector<float> stds;
    TF_RETURN_IF_ERROR(context->GetAttr("size", &size));
    TF_RETURN_IF_ERROR(context->GetAttr("positive_limit", &positive_limit));
    TF_RETURN_IF_ERROR(context->GetAttr("background", &background));
    TF_RETURN_IF_ERROR(context->GetAttr("stds", &stds));
    TF_RETURN_IF_ERROR(context->GetAttr("with_truth", &with_truth));
    if (stds.size() != 4) return InvalidArgument("sample: stds must be 4 numbers, got ", stds.size());
    rule.size = size;
    rule.positive_limit = positive_limit;
    rule.background = background;
    std::copy(stds.begin(), stds.end(), rule.stds);
    return OkStatus();
  }
};

// The inputs and outputs of one call.
struct SampleCall {
  using Attributes = SampleAttributes;
  SampleInput input;
  Samples samples;

  Status Read(OpKernelContext* context, const SampleAttributes& attributes) {
    const bool with_truth = attributes.with_truth;
    const Tensor &positive = context->input(0), &negative = context->input(1), &matched = context->input(2),
                 &keys = context->input(3), &candidates = context->input(4), &boxes = context->input(5),
                 &classes = context->input(6);
    int64_t images = 0, count = 0, objects = 0;
    TF_RETURN_IF_ERROR(CheckCandidates("sample", candidates, boxes, &images, &count, &objects));
    const auto words = boxes.shape().DebugString();
    const TensorShape rows({images, count + (with_truth ? objects : 0)});
    const char* const what = with_truth ? "[B, G + N] with the N of candidates " : "[B, N] with the N of candidates ";
    const auto of_candidates = candidates.shape().DebugString();
    const char* const then = " and the shape of boxes ";
    TF_RETURN_IF_ERROR(CheckShape("sample: positive", positive, rows, what, of_candidates, then, words));
    TF_RETURN_IF_ERROR(CheckShape("sample: negative", negative, rows, what, of_candidates, then, words));
    TF_RETURN_IF_ERROR(CheckShape("sample: matched", matched, rows, what, of_candidates, then, words));
    TF_RETURN_IF_ERROR(CheckShape("sample: keys", keys, rows, what, of_candidates, then, words));
    TF_RETURN_IF_ERROR(CheckShape("sample: classes", classes, {images, objects}, "[B, G] like boxes ", words));
    input = {positive.flat<bool>().data(), negative.flat<bool>().data(), matched.flat<int32_t>().data(),
             keys.flat<float>().data(), candidates.flat<float>().data(), candidates.dims() == 2,
             boxes.flat<float>().data(), classes.flat<int32_t>().data(), with_truth, images, count, objects};
    return Allocate(context, attributes.rule, images);
  }

 private:
  Status Allocate(OpKernelContext* context, const SampleRule& rule, int64_t images) {
    const TensorShape slots({images, rule.size}), boxes({images, rule.size, 4}), counts({images, 2});
    const TensorShape* const shapes[] = {&slots, &slots, &slots, &slots, &boxes, &slots, &boxes, &slots, &counts};
    Tensor* outputs[9];
    for (int i = 0; i < 9; ++i) TF_RETURN_IF_ERROR(context->allocate_output(i, *shapes[i], &outputs[i]));
    samples = {outputs[0]->flat<int32_t>().data(), outputs[1]->flat<bool>().data(), outputs[2]->flat<bool>().data(),
               outputs[3]->flat<int32_t>().data(), outputs[4]->flat<float>().data(),
               outputs[5]->flat<int32_t>().data(), outputs[6]->flat<float>().data(), outputs[7]->flat<bool>().data(),
               outputs[8]->flat<float>().data()};
    return OkStatus();
  }
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_SAMPLE_ARGUMENTS_H_
