// Variables that an operator gets as resource handles and writes: looked up, checked, and locked in a fixed order.
#ifndef AWSDET_TENSORFLOW_VARIABLES_H_
#define AWSDET_TENSORFLOW_VARIABLES_H_

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/op.h"

namespace awsdet {

// All variables of one operator, locked while this object lives.
class WrittenVariables {
 public:
  // Copies `bytes` from a buffer of the operator's device to another one, before what the operator does next.
  using Copy = std::function<Status(void* to, const void* from, size_t bytes)>;

  // `op`: name of the operator, for the error text.
  WrittenVariables(OpKernelContext* context, const char* op, Copy copy)
      : context_(context), op_(op), copy_(std::move(copy)) {}
  ~WrittenVariables() {
    for (tensorflow::mutex* mutex : locked_) mutex->unlock();
  }
  WrittenVariables(const WrittenVariables&) = delete;
  WrittenVariables& operator=(const WrittenVariables&) = delete;

  // Looks up the float32 variables of the input list `name`. All lists are added before Lock.
  Status Add(const char* name) {
    int begin, end;
    TF_RETURN_IF_ERROR(context_->op_kernel().InputRange(name, &begin, &end));
    for (int i = begin; i < end; ++i) {
      TF_RETURN_IF_ERROR(Find(i, std::string(name) + "[" + std::to_string(i - begin) + "]", tensorflow::DT_FLOAT));
    }
    return OkStatus();
  }

  // Looks up the int64 variable of the input `name`, which is no list.
  Status AddCounter(const char* name) {
    int begin, end;
    TF_RETURN_IF_ERROR(context_->op_kernel().InputRange(name, &begin, &end));
    return Find(begin, name, tensorflow::DT_INT64);
  }

  // In the order of their addresses, so that two operators never wait for each other.
  Status Lock() {
    std::vector<const Entry*> order;
    for (const Entry& entry : entries_) order.push_back(&entry);
    std::sort(order.begin(), order.end(),
              [](const Entry* a, const Entry* b) { return a->variable->mu() < b->variable->mu(); });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i]->variable.get() == order[i - 1]->variable.get()) {
        return InvalidArgument(op_, ": ", order[i - 1]->name, " and ", order[i]->name, " are the same variable");
      }
    }
    for (const Entry* entry : order) {
      entry->variable->mu()->lock();
      locked_.push_back(entry->variable->mu());
    }
    for (const Entry& entry : entries_) {
      const Tensor& value = *entry.variable->tensor();
      if (!value.IsInitialized()) {
        return tensorflow::errors::FailedPrecondition(op_, ": ", entry.name, " is not initialised");
      }
      if (value.dtype() != entry.type) {
        return InvalidArgument(op_, ": ", entry.name, " must be ",
                               entry.type == tensorflow::DT_FLOAT ? "float32" : DataTypeString(entry.type), ", not ",
                               DataTypeString(value.dtype()));
      }
    }
    return OkStatus();
  }

  // The shape of variable number i, counted over all lists.
  const TensorShape& shape(size_t i) const { return entries_[i].variable->tensor()->shape(); }
  const std::string& name(size_t i) const { return entries_[i].name; }

  // The elements of variable i for writing. A buffer that a reader still holds is left to it and replaced by a copy, or
  // by one without values if `keep` is false.
  template <typename T>
  Status Write(size_t i, bool keep, T** values) {
    tensorflow::Var* variable = entries_[i].variable.get();
    Tensor* tensor = variable->tensor();
    if (variable->copy_on_read_mode.load() || !tensor->RefCountIsOne()) {
      tensorflow::AllocatorAttributes attributes;
      attributes.set_gpu_compatible(true);
      attributes.set_nic_compatible(true);
      Tensor fresh;
      TF_RETURN_IF_ERROR(context_->allocate_temp(tensor->dtype(), tensor->shape(), &fresh, attributes));
      if (keep && fresh.TotalBytes() > 0) {
        TF_RETURN_IF_ERROR(copy_(fresh.data(), tensor->data(), fresh.TotalBytes()));
      }
      *tensor = fresh;
    }
    *values = tensor->flat<T>().data();
    return OkStatus();
  }

 private:
  struct Entry {
    tensorflow::core::RefCountPtr<tensorflow::Var> variable;
    std::string name;
    tensorflow::DataType type;  // that it must have
  };

  Status Find(int input, std::string name, tensorflow::DataType type) {
    Entry entry{{}, std::move(name), type};
    const Status found = LookupResource(context_, tensorflow::HandleFromInput(context_, input), &entry.variable);
    if (!found.ok()) return tensorflow::errors::FailedPrecondition(op_, ": ", entry.name, " is not initialised");
    entries_.push_back(std::move(entry));
    return OkStatus();
  }

  OpKernelContext* context_;
  const char* op_;
  Copy copy_;
  std::vector<Entry> entries_;
  std::vector<tensorflow::mutex*> locked_;
};

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_VARIABLES_H_
