// The log, and what the counting program sets.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "hollow.h"

namespace {

// tsl::profiler::AnnotationStack::ThreadAnnotationStack: the names of the operations that run on this thread.
using AnnotationFunction = const std::string& (*)();

AnnotationFunction annotation = nullptr;
std::atomic<bool> counting{false};
std::mutex mutex;
std::FILE* file = nullptr;

struct Injected {
  std::string operation;  // part of its name
  std::vector<char> bytes;  // empty: zeros
};
std::vector<Injected> injected;

std::string Operation() { return annotation == nullptr ? std::string() : annotation(); }

}  // namespace

namespace hollow {

long long where_count = 0;

bool RunsOperation(const char* ending) {
  const std::string operation = Operation();
  const size_t length = std::strlen(ending);
  return operation.size() >= length && operation.compare(operation.size() - length, length, ending) == 0;
}

void Record(const char* kind, const char* name, long long amount) {
  if (!counting) return;
  const std::string operation = Operation();
  const std::lock_guard<std::mutex> lock(mutex);
  if (file != nullptr) std::fprintf(file, "%s\t%s\t%lld\t%s\n", kind, name, amount, operation.c_str());
}

void CopyToHost(void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  const std::string operation = Operation();
  const std::lock_guard<std::mutex> lock(mutex);
  for (const Injected& one : injected) {
    if (operation.find(one.operation) == std::string::npos) continue;
    if (one.bytes.empty()) std::memset(to, 0, bytes);
    if (one.bytes.size() == bytes) std::memcpy(to, one.bytes.data(), bytes);
  }
  // The only tensors of one byte that are copied are the conditions of checks, which hold.
  if (bytes == 1) *static_cast<char*>(to) = 1;
}

}  // namespace hollow

// `annotation_stack`: address of the function named above.
CUDA_API void hollow_setup(void* annotation_stack) { annotation = reinterpret_cast<AnnotationFunction>(annotation_stack); }

// Copies of `size` bytes to the host made by an operation whose name contains `operation` bring `data`, or zeros if
// `size` is 0; else they bring what the memory held before.
CUDA_API void hollow_inject(const char* operation, const void* data, size_t size) {
  const char* first = static_cast<const char*>(data);
  const std::lock_guard<std::mutex> lock(mutex);
  injected.push_back({operation, std::vector<char>(first, first + size)});
}

CUDA_API void hollow_set_where_count(long long count) { hollow::where_count = count; }

CUDA_API int hollow_start(const char* path) {
  const std::lock_guard<std::mutex> lock(mutex);
  file = std::fopen(path, "w");
  counting = file != nullptr;
  return file != nullptr;
}

CUDA_API void hollow_stop() {
  counting = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (file != nullptr) std::fclose(file);
  file = nullptr;
}

// What every function without a body of its own does.
extern "C" int hollow_unnamed(const char* name) {
  hollow::Record("call", name, 0);
  return 0;
}
