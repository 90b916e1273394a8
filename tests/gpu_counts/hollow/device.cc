// One device. AWSDET_HOLLOW_CAPABILITY chooses its compute capability: 70 a V100, 80 an A100, 86 an A10G, 90 an H100.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "hollow.h"

namespace {

int Capability() {
  const char* chosen = std::getenv("AWSDET_HOLLOW_CAPABILITY");
  return chosen == nullptr ? 90 : std::atoi(chosen);
}

// Values of CUdevice_attribute, by its numbers in CUDA's documentation; those of an H100 but for the capability.
int Attribute(int number) {
  static const std::map<int, int> values{
      {1, 1024},      {2, 1024},     {3, 1024},     {4, 64},        // threads per block; block dimensions
      {5, 2147483647}, {6, 65535},   {7, 65535},                    // grid dimensions
      {8, 49152},     {9, 65536},    {10, 32},      {11, 2147483647},  // shared, constant memory; warp; pitch
      {12, 65536},    {13, 1980000}, {14, 512},     {16, 132},      // registers, clock, alignment, multiprocessors
      {19, 1},        {33, 4},       {36, 2619000}, {37, 5120},     // mapped memory, PCI, memory clock and bus
      {38, 52428800}, {39, 2048},    {40, 3},       {41, 1},        // L2, threads per multiprocessor, engines, addressing
      {78, 1},        {81, 233472},  {82, 65536},   {97, 232448},   // priorities; shared and registers; opt-in shared
      {106, 32},
  };
  constexpr int kMajor = 75, kMinor = 76;
  if (number == kMajor) return Capability() / 10;
  if (number == kMinor) return Capability() % 10;
  const auto found = values.find(number);
  return found == values.end() ? 0 : found->second;
}

// The head of cudaDeviceProp of CUDA 12, and the two later fields that are asked for by their place.
struct Properties {
  char name[256];
  char uuid[16], luid[8];
  unsigned node_mask;
  size_t memory, shared_per_block;
  int registers_per_block, warp;
  size_t pitch;
  int threads_per_block, block[3], grid[3], clock;
  size_t constant;
  int major, minor;
  size_t texture_alignment, texture_pitch_alignment;
  int overlap, multiprocessors, timeout, integrated, map_host, mode;
};

int context;
thread_local void* current_context = nullptr;

}  // namespace

CUDA_API int cuInit(unsigned) { return 0; }
CUDA_API int cuDriverGetVersion(int* version) { return *version = 12020, 0; }
CUDA_API int cudaDriverGetVersion(int* version) { return *version = 12020, 0; }
CUDA_API int cudaRuntimeGetVersion(int* version) { return *version = 12020, 0; }
CUDA_API int cuDeviceGetCount(int* count) { return *count = 1, 0; }
CUDA_API int cudaGetDeviceCount(int* count) { return *count = 1, 0; }
CUDA_API int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
CUDA_API int cudaGetDevice(int* device) { return *device = 0, 0; }
CUDA_API int cuDeviceGetName(char* name, int size, int) {
  std::snprintf(name, size, "hollow (computes nothing)");
  return 0;
}
CUDA_API int cuDeviceGetAttribute(int* value, int number, int) { return *value = Attribute(number), 0; }
CUDA_API int cudaDeviceGetAttribute(int* value, int number, int) { return *value = Attribute(number), 0; }
CUDA_API int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = hollow::kDeviceBytes, 0; }
CUDA_API int cuDeviceGetPCIBusId(char* text, int size, int) {
  std::snprintf(text, size, "0000:00:00.0");
  return 0;
}
CUDA_API int cudaDeviceGetPCIBusId(char* text, int size, int device) { return cuDeviceGetPCIBusId(text, size, device); }
CUDA_API int cuDeviceComputeCapability(int* major, int* minor, int) {
  *major = Capability() / 10;
  *minor = Capability() % 10;
  return 0;
}
CUDA_API int cuDeviceGetUuid(char* uuid, int) { return std::memset(uuid, 1, 16), 0; }
CUDA_API int cuDeviceGetUuid_v2(char* uuid, int) { return std::memset(uuid, 1, 16), 0; }
CUDA_API int cuDeviceCanAccessPeer(int* can, int, int) { return *can = 0, 0; }

static int GetProperties(void* place) {
  auto* properties = static_cast<Properties*>(place);
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->name, "hollow");
  properties->memory = hollow::kDeviceBytes;
  properties->shared_per_block = Attribute(8);
  properties->registers_per_block = Attribute(12);
  properties->warp = Attribute(10);
  properties->pitch = Attribute(11);
  properties->threads_per_block = Attribute(1);
  for (int i = 0; i < 3; ++i) {
    properties->block[i] = Attribute(2 + i);
    properties->grid[i] = Attribute(5 + i);
  }
  properties->clock = Attribute(13);
  properties->constant = Attribute(9);
  properties->major = Capability() / 10;
  properties->minor = Capability() % 10;
  properties->texture_alignment = Attribute(14);
  properties->texture_pitch_alignment = 32;
  properties->overlap = properties->map_host = 1;
  properties->multiprocessors = Attribute(16);
  constexpr size_t kThreadsPerMultiprocessor = 624;  // its place in the struct
  *reinterpret_cast<int*>(static_cast<char*>(place) + kThreadsPerMultiprocessor) = Attribute(39);
  return 0;
}
CUDA_API int cudaGetDeviceProperties(void* properties, int) { return GetProperties(properties); }
CUDA_API int cudaGetDeviceProperties_v2(void* properties, int) { return GetProperties(properties); }

CUDA_API int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) { return *flags = 0, *active = 1, 0; }
CUDA_API int cuDevicePrimaryCtxRetain(void** result, int) { return *result = &context, 0; }
CUDA_API int cuCtxCreate_v2(void** result, unsigned, int) { return *result = current_context = &context, 0; }
CUDA_API int cuCtxGetCurrent(void** result) { return *result = current_context, 0; }
CUDA_API int cuCtxSetCurrent(void* chosen) { return current_context = chosen, 0; }
CUDA_API int cuCtxGetDevice(int* device) { return *device = 0, 0; }
CUDA_API int cuCtxGetApiVersion(void*, unsigned* version) { return *version = 12020, 0; }
CUDA_API int cuCtxGetSharedMemConfig(int* config) { return *config = 1, 0; }
CUDA_API int cuCtxGetStreamPriorityRange(int* least, int* greatest) { return *least = 0, *greatest = -5, 0; }

CUDA_API int cuPointerGetAttribute(void* data, int attribute, unsigned long long) {
  constexpr int kContext = 1, kMemoryType = 2, kDeviceOrdinal = 9, kDeviceMemory = 2;
  if (attribute == kContext) *static_cast<void**>(data) = &context;
  else if (attribute == kMemoryType) *static_cast<int*>(data) = kDeviceMemory;
  else if (attribute == kDeviceOrdinal) *static_cast<int*>(data) = 0;
  else *static_cast<unsigned long long*>(data) = 0;
  return 0;
}
CUDA_API int cudaPointerGetAttributes(void* place, void* pointer) {
  struct { int type, device; void *device_pointer, *host_pointer; } found{2, 0, pointer, nullptr};
  return std::memcpy(place, &found, sizeof found), 0;
}
CUDA_API int cuGetErrorName(int, const char** text) { return *text = "hollow", 0; }
CUDA_API int cuGetErrorString(int, const char** text) { return *text = "hollow", 0; }
CUDA_API const char* cudaGetErrorString(int) { return "hollow"; }
CUDA_API const char* cudaGetErrorName(int) { return "hollow"; }
