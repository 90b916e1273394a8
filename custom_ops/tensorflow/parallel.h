// TensorFlow's threads for the kernels.
#ifndef AWSDET_TENSORFLOW_PARALLEL_H_
#define AWSDET_TENSORFLOW_PARALLEL_H_

#include "kernels/parallel.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/util/work_sharder.h"
#include "tensorflow/op.h"

namespace awsdet {

// The worker threads of the CPU that the operator runs on (tf.config.threading's intra-op threads). Valid while Compute
// runs.
inline ParallelFor WorkerThreads(OpKernelContext* context) {
  const auto* threads = context->device()->tensorflow_cpu_worker_threads();
  return [threads](int64_t total, int64_t cost_per_unit, const std::function<void(int64_t, int64_t)>& work) {
    if (total <= 0) return;
    tensorflow::Shard(threads->num_threads, threads->workers, total, cost_per_unit, work);
  };
}

}  // namespace awsdet

#endif  // AWSDET_TENSORFLOW_PARALLEL_H_
