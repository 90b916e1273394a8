// Device memory, copies and fills. Copies between host and device are real; copies on the device are not, since all of
// its memory is zero.
#include <sys/mman.h>

#include <cstring>

#include "hollow.h"

namespace hollow {

int Allocate(void** memory, size_t bytes) {
  constexpr size_t kPage = 4096;
  constexpr int kOutOfMemory = 2;
  bytes = bytes == 0 ? kPage : (bytes + kPage - 1) / kPage * kPage;
  void* found = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (found == MAP_FAILED) return kOutOfMemory;
  *memory = found;
  return 0;
}

namespace {

using DevicePointer = unsigned long long;

void* Pointer(DevicePointer address) { return reinterpret_cast<void*>(address); }

int ToHost(const char* kind, const char* name, void* to, const void* from, size_t bytes) {
  Record(kind, name, static_cast<long long>(bytes));
  CopyToHost(to, from, bytes);
  return 0;
}

int ToDevice(const char* kind, const char* name, void* to, const void* from, size_t bytes) {
  Record(kind, name, static_cast<long long>(bytes));
  std::memcpy(to, from, bytes);
  return 0;
}

int OnDevice(const char* name, size_t bytes) {
  Record("d2d", name, static_cast<long long>(bytes));
  return 0;
}

// The runtime's copy, whose direction is an argument.
int Copy(const char* name, void* to, const void* from, size_t bytes, int direction) {
  constexpr int kHostToDevice = 1, kDeviceToHost = 2, kDeviceToDevice = 3;
  if (direction == kDeviceToHost) return ToHost("d2h", name, to, from, bytes);
  if (direction == kHostToDevice) return ToDevice("h2d", name, to, from, bytes);
  if (direction == kDeviceToDevice) return OnDevice(name, bytes);
  return ToDevice("h2h", name, to, from, bytes);
}

int Fill(const char* name, void* memory, int value, size_t bytes) {
  Record("memset", name, static_cast<long long>(bytes));
  // Memory is zero already. Other values are needed only where the host reads a few of them.
  constexpr size_t kMost = 1 << 20;
  if (value != 0 && bytes <= kMost) std::memset(memory, value, bytes);
  return 0;
}

}  // namespace
}  // namespace hollow

using hollow::DevicePointer;

CUDA_API int cuMemAlloc_v2(DevicePointer* memory, size_t bytes) {
  hollow::Record("alloc", "cuMemAlloc", static_cast<long long>(bytes));
  return hollow::Allocate(reinterpret_cast<void**>(memory), bytes);
}
CUDA_API int cuMemAllocManaged(DevicePointer* memory, size_t bytes, unsigned) {
  return hollow::Allocate(reinterpret_cast<void**>(memory), bytes);
}
CUDA_API int cuMemFree_v2(DevicePointer) { return 0; }
CUDA_API int cuMemHostAlloc(void** memory, size_t bytes, unsigned) { return hollow::Allocate(memory, bytes); }
CUDA_API int cuMemAllocHost_v2(void** memory, size_t bytes) { return hollow::Allocate(memory, bytes); }
CUDA_API int cudaMalloc(void** memory, size_t bytes) {
  hollow::Record("alloc", "cudaMalloc", static_cast<long long>(bytes));
  return hollow::Allocate(memory, bytes);
}
CUDA_API int cudaMallocHost(void** memory, size_t bytes) { return hollow::Allocate(memory, bytes); }
CUDA_API int cudaHostAlloc(void** memory, size_t bytes, unsigned) { return hollow::Allocate(memory, bytes); }
CUDA_API int cuMemGetInfo_v2(size_t* available, size_t* total) {
  *total = hollow::kDeviceBytes;
  *available = *total - (1ull << 30);
  return 0;
}
CUDA_API int cudaMemGetInfo(size_t* available, size_t* total) { return cuMemGetInfo_v2(available, total); }

CUDA_API int cuMemcpyDtoH_v2(void* to, DevicePointer from, size_t bytes) {
  return hollow::ToHost("d2h_sync", "cuMemcpyDtoH", to, hollow::Pointer(from), bytes);
}
CUDA_API int cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, void*) {
  return hollow::ToHost("d2h", "cuMemcpyDtoHAsync", to, hollow::Pointer(from), bytes);
}
CUDA_API int cuMemcpyHtoD_v2(DevicePointer to, const void* from, size_t bytes) {
  return hollow::ToDevice("h2d_sync", "cuMemcpyHtoD", hollow::Pointer(to), from, bytes);
}
CUDA_API int cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, void*) {
  return hollow::ToDevice("h2d", "cuMemcpyHtoDAsync", hollow::Pointer(to), from, bytes);
}
CUDA_API int cuMemcpyDtoD_v2(DevicePointer, DevicePointer, size_t bytes) { return hollow::OnDevice("cuMemcpyDtoD", bytes); }
CUDA_API int cuMemcpyDtoDAsync_v2(DevicePointer, DevicePointer, size_t bytes, void*) {
  return hollow::OnDevice("cuMemcpyDtoDAsync", bytes);
}
CUDA_API int cudaMemcpy(void* to, const void* from, size_t bytes, int direction) {
  return hollow::Copy("cudaMemcpy", to, from, bytes, direction);
}
CUDA_API int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int direction, void*) {
  return hollow::Copy("cudaMemcpyAsync", to, from, bytes, direction);
}

CUDA_API int cuMemsetD8_v2(DevicePointer memory, unsigned char value, size_t count) {
  return hollow::Fill("cuMemsetD8", hollow::Pointer(memory), value, count);
}
CUDA_API int cuMemsetD8Async(DevicePointer memory, unsigned char value, size_t count, void*) {
  return hollow::Fill("cuMemsetD8Async", hollow::Pointer(memory), value, count);
}
CUDA_API int cuMemsetD32_v2(DevicePointer memory, unsigned value, size_t count) {
  return hollow::Fill("cuMemsetD32", hollow::Pointer(memory), static_cast<int>(value & 255), 4 * count);
}
CUDA_API int cuMemsetD32Async(DevicePointer memory, unsigned value, size_t count, void*) {
  return hollow::Fill("cuMemsetD32Async", hollow::Pointer(memory), static_cast<int>(value & 255), 4 * count);
}
CUDA_API int cudaMemset(void* memory, int value, size_t bytes) { return hollow::Fill("cudaMemset", memory, value, bytes); }
CUDA_API int cudaMemsetAsync(void* memory, int value, size_t bytes, void*) {
  return hollow::Fill("cudaMemsetAsync", memory, value, bytes);
}
