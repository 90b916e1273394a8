// How a kernel gets threads from its caller.
#ifndef AWSDET_KERNELS_PARALLEL_H_
#define AWSDET_KERNELS_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace awsdet {

// Calls work(begin, end) on ranges that together cover [0, total) once, possibly on several threads at the same time,
// and returns when all are done. `cost_per_unit` is an estimate of the cycles (about nanoseconds) of one unit: if the
// work is too small to use other threads, the caller's thread does all of it. If total <= 0, work is not called.
// Results must not depend on how the ranges are divided.
using ParallelFor = std::function<void(int64_t total, int64_t cost_per_unit,
                                       const std::function<void(int64_t begin, int64_t end)>& work)>;

// Does all the work on the calling thread.
inline void SerialFor(int64_t total, int64_t /*cost_per_unit*/,
                      const std::function<void(int64_t begin, int64_t end)>& work) {
  if (total > 0) work(0, total);
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_PARALLEL_H_
