// How a kernel asks its caller for threads.
#ifndef AWSDET_KERNELS_PARALLEL_H_
#define AWSDET_KERNELS_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace awsdet {

// Calls work(begin, end) on ranges that cover [0, total) once, possibly at the same time on several threads, and
// returns when all are done. `cost_per_unit` is a guess of the cycles (about nanoseconds) one unit takes: where all of
// it is too little to be worth a thread, the caller's own thread does everything. No call for total <= 0.
// Results must not depend on where the ranges are cut.
using ParallelFor = std::function<void(int64_t total, int64_t cost_per_unit,
                                       const std::function<void(int64_t begin, int64_t end)>& work)>;

// On the calling thread alone.
inline void SerialFor(int64_t total, int64_t /*cost_per_unit*/,
                      const std::function<void(int64_t begin, int64_t end)>& work) {
  if (total > 0) work(0, total);
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_PARALLEL_H_
