// A GPU that computes nothing: stand-ins for NVIDIA's libraries, under which TensorFlow's GPU build places, partitions,
// allocates, launches and copies as on a real GPU. Kernels do nothing, device memory is the host's and stays zero, and
// every call that a real GPU would notice is written to a log with the TensorFlow operation that made it.
//
// The functions are declared with the few types that their callers agree on (pointers, sizes, ints), since NVIDIA's
// headers are not needed to count.
#ifndef AWSDET_GPU_COUNTS_HOLLOW_H_
#define AWSDET_GPU_COUNTS_HOLLOW_H_

#include <cstddef>

// The names that TensorFlow looks up; C++ names within these files stay hidden.
#define CUDA_API extern "C" __attribute__((visibility("default")))

namespace hollow {

// Writes a line to the log, if it is open: kind, name, amount (bytes, or blocks of a launch), operation.
void Record(const char* kind, const char* name, long long amount);

// Copies from the device to the host, or what `hollow_inject` has for copies of that size.
void CopyToHost(void* to, const void* from, size_t bytes);

// Whether the operation that runs on this thread has a name, "name:type", that ends so.
bool RunsOperation(const char* ending);

// How many rows `tf.where` finds on the device.
extern long long where_count;

// Takes host memory for a device or for pinned memory; pages are given when they are touched. CUDA's error code.
int Allocate(void** memory, size_t bytes);

inline constexpr size_t kDeviceBytes = 80ull << 30;

}  // namespace hollow

#endif  // AWSDET_GPU_COUNTS_HOLLOW_H_
