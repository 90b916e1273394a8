// AwsdetReadRecord: reads one record of a TFRecord file by its place, and only the bytes of that record, from any file
// system that TensorFlow knows. It has only a CPU kernel.
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "tensorflow/core/lib/core/coding.h"
#include "tensorflow/core/lib/hash/crc32c.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/op.h"

namespace awsdet {
namespace {

using tensorflow::Env;
using tensorflow::RandomAccessFile;
using tensorflow::StringPiece;
using tensorflow::TensorShapeUtils;
using tensorflow::tstring;
using tensorflow::errors::DataLoss;

constexpr uint64_t kHeader = 12;        // bytes before a record: its length and the checksum of the length
constexpr uint64_t kFooter = 4;         // bytes after it: its checksum
constexpr size_t kMostOpenFiles = 64;  // per operator; a process can often open only 1024

REGISTER_OP("AwsdetReadRecord")
    .Input("file: string")
    .Input("offset: int64")
    .Input("length: int64")
    .Output("record: string")
    .SetShapeFn([](InferenceContext* context) {
      ShapeHandle unused;
      for (int i = 0; i < 3; ++i) TF_RETURN_IF_ERROR(context->WithRank(context->input(i), 0, &unused));
      context->set_output(0, context->Scalar());
      return OkStatus();
    })
    .Doc("The `length` bytes of the record whose header is at `offset` of a TFRecord file; its checksum is verified.");

class ReadRecordOp : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    for (int i = 0; i < 3; ++i) {
      OP_REQUIRES(context, TensorShapeUtils::IsScalar(context->input(i).shape()),
                  InvalidArgument("file, offset and length must be scalars, got shape ",
                                  context->input(i).shape().DebugString()));
    }
    const std::string path = context->input(0).scalar<tstring>()();
    const int64_t offset = context->input(1).scalar<int64_t>()(), length = context->input(2).scalar<int64_t>()();
    OP_REQUIRES(context, offset >= 0 && length >= 0,
                InvalidArgument("offset and length must not be negative, got ", offset, " and ", length));
    std::shared_ptr<const File> file;
    OP_REQUIRES_OK(context, Open(path, &file));
    Tensor* record = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {}, &record));
    OP_REQUIRES_OK(context, Read(*file, path, offset, length, &record->scalar<tstring>()()));
  }

 private:
  struct File {
    std::unique_ptr<RandomAccessFile> bytes;
    uint64_t size;
  };

  // Files stay open, because opening is slow on a network file system. Several threads may read the same file.
  Status Open(const std::string& path, std::shared_ptr<const File>* file) {
    tensorflow::mutex_lock lock(mutex_);
    const auto known = files_.find(path);
    if (known != files_.end()) {
      *file = known->second;
      return OkStatus();
    }
    auto opened = std::make_shared<File>();
    TF_RETURN_IF_ERROR(Env::Default()->GetFileSize(path, &opened->size));
    TF_RETURN_IF_ERROR(Env::Default()->NewRandomAccessFile(path, &opened->bytes));
    if (files_.size() == kMostOpenFiles) files_.clear();  // files in use are closed by their last reader
    files_[path] = *file = std::move(opened);
    return OkStatus();
  }

  static Status Read(const File& file, const std::string& path, uint64_t offset, uint64_t length, tstring* record) {
    const uint64_t room = offset > file.size ? 0 : file.size - offset;
    if (room < kHeader + kFooter || room - kHeader - kFooter < length) {
      return DataLoss(path, " ends within its record at byte ", offset);
    }
    const size_t wanted = length + kFooter;
    record->resize_uninitialized(wanted);
    StringPiece bytes;
    const Status status = file.bytes->Read(offset + kHeader, wanted, &bytes, record->mdata());
    // The file is too short. This must not be OutOfRange, which for tf.data means the end of the data.
    if (tensorflow::errors::IsOutOfRange(status)) return DataLoss(status.message());
    if (!status.ok()) return status;
    if (bytes.data() != record->data()) record->assign(bytes.data(), bytes.size());
    const char* data = record->data();
    const uint32_t checksum = tensorflow::crc32c::Unmask(tensorflow::core::DecodeFixed32(data + length));
    if (checksum != tensorflow::crc32c::Value(data, length)) {
      return DataLoss(path, " is damaged: the record at byte ", offset, " does not have its checksum");
    }
    record->resize(length);
    return OkStatus();
  }

  tensorflow::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<const File>> files_ TF_GUARDED_BY(mutex_);
};

REGISTER_KERNEL_BUILDER(Name("AwsdetReadRecord").Device(DEVICE_CPU), ReadRecordOp);

}  // namespace
}  // namespace awsdet
