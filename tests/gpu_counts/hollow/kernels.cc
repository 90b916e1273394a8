// Kernels: their names, as the compiler's start-up code registers them, and their launches.
#include <dlfcn.h>

#include <cstring>
#include <mutex>
#include <unordered_map>

#include "hollow.h"

namespace {

std::mutex mutex;

std::unordered_map<const void*, const char*>& Names() {
  static auto* names = new std::unordered_map<const void*, const char*>();  // outlives every static destructor
  return *names;
}

const char* NameOf(const void* function) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = Names().find(function);
  return found == Names().end() ? "unknown" : found->second;
}

struct Size {
  unsigned x, y, z;
};

long long Blocks(Size grid) { return static_cast<long long>(grid.x) * grid.y * grid.z; }

// The configuration between <<<...>>> and the launch.
struct Configuration {
  Size grid, block;
  size_t shared;
  void* stream;
};
thread_local Configuration pushed[16];
thread_local int pushed_count = 0;

}  // namespace

CUDA_API void** __cudaRegisterFatBinary(void*) {
  static void* handle[4];
  return handle;
}
CUDA_API void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, void*, void*, void*,
                                     void*, int*) {
  const std::lock_guard<std::mutex> lock(mutex);
  Names()[function] = name;
}
CUDA_API unsigned __cudaPushCallConfiguration(Size grid, Size block, size_t shared, void* stream) {
  if (pushed_count < 16) pushed[pushed_count++] = {grid, block, shared, stream};
  return 0;
}
CUDA_API int __cudaPopCallConfiguration(Size* grid, Size* block, size_t* shared, void* stream) {
  if (pushed_count > 0) --pushed_count;
  const Configuration& last = pushed[pushed_count];
  *grid = last.grid;
  *block = last.block;
  *shared = last.shared;
  std::memcpy(stream, &last.stream, sizeof last.stream);
  return 0;
}

CUDA_API int cudaLaunchKernel(const void* function, Size grid, Size, void** arguments, size_t, void*) {
  const char* name = NameOf(function);
  // The one value of a kernel that the host reads without a copy: `tf.where` has its count written to pinned memory.
  if (std::strstr(name, "DeviceReduceSingleTileKernel") != nullptr && hollow::RunsOperation(":Where")) {
    **static_cast<long long**>(arguments[1]) = hollow::where_count;
  }
  hollow::Record("launch", name, Blocks(grid));
  return 0;
}
CUDA_API int __cudaLaunchKernel(void* function, Size grid, Size, void**, size_t, void*) {
  hollow::Record("launch", NameOf(function), Blocks(grid));
  return 0;
}
CUDA_API int cudaLaunchKernelExC(const void*, const void* function, void**) {
  hollow::Record("launch", NameOf(function), 0);
  return 0;
}
CUDA_API int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned, unsigned, unsigned, unsigned,
                            void*, void**, void**) {
  hollow::Record("launch", static_cast<const char*>(function), Blocks({x, y, z}));
  return 0;
}
CUDA_API int __cudaGetKernel(void** kernel, const void* function) { return *kernel = const_cast<void*>(function), 0; }
CUDA_API int cudaGetFuncBySymbol(void** kernel, const void* function) {
  return *kernel = const_cast<void*>(function), 0;
}

// What a kernel needs: enough for every launch to be legal.
CUDA_API int cudaFuncGetAttributes(void* place, const void*) {
  struct { size_t shared, constant, local; int threads, registers, ptx, binary; } found{0, 0, 0, 1024, 32, 90, 90};
  std::memset(place, 0, 72);
  return std::memcpy(place, &found, sizeof found), 0;
}
CUDA_API int cuFuncGetAttribute(int* value, int attribute, void*) {
  constexpr int kThreads = 0, kRegisters = 4;
  return *value = attribute == kThreads ? 1024 : attribute == kRegisters ? 32 : 0, 0;
}
CUDA_API int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, size_t) {
  return *blocks = 2, 0;
}
CUDA_API int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t, unsigned) {
  return *blocks = 2, 0;
}
CUDA_API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int, size_t) { return *blocks = 2, 0; }
CUDA_API int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void*, int, size_t, unsigned) {
  return *blocks = 2, 0;
}
CUDA_API int cuOccupancyMaxPotentialBlockSize(int* grid, int* block, void*, void*, size_t, int) {
  return *grid = 264, *block = 256, 0;
}
CUDA_API int cudaOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, const void*, int, int) {
  return *bytes = 49152, 0;
}

// Modules that are compiled at run time: a function is its name.
static int NewModule(void** module) {
  static char one;
  return *module = &one, 0;
}
CUDA_API int cuModuleLoad(void** module, const char*) { return NewModule(module); }
CUDA_API int cuModuleLoadData(void** module, const void*) { return NewModule(module); }
CUDA_API int cuModuleLoadDataEx(void** module, const void*, unsigned, void*, void*) { return NewModule(module); }
CUDA_API int cuModuleLoadFatBinary(void** module, const void*) { return NewModule(module); }
CUDA_API int cuModuleGetFunction(void** function, void*, const char* name) { return *function = strdup(name), 0; }
CUDA_API int cuModuleGetGlobal_v2(unsigned long long* address, size_t* bytes, void*, const char*) {
  constexpr size_t kBytes = 1 << 16;
  static void* memory = nullptr;
  if (memory == nullptr && hollow::Allocate(&memory, kBytes) != 0) return 2;
  *address = reinterpret_cast<unsigned long long>(memory);
  if (bytes != nullptr) *bytes = kBytes;
  return 0;
}
CUDA_API int cuGetProcAddress(const char* name, void** function, int, unsigned long long) {
  constexpr int kNotFound = 500;
  *function = dlsym(RTLD_DEFAULT, name);
  return *function == nullptr ? kNotFound : 0;
}
