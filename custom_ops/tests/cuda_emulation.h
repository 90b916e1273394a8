// Runs CUDA kernels on the CPU, one block after the other: enough of CUDA to run the kernels of cuda/ without a GPU,
// and to let AddressSanitizer watch their memory. It is slow, and does not find races between blocks or warps.
//
// The threads of a block are fibres of one CPU thread. A fibre runs until a barrier or its end, so between two barriers
// one thread is executed after the other. __shared__ variables are static, since only one block runs at a time.
#ifndef AWSDET_TESTS_CUDA_EMULATION_H_
#define AWSDET_TESTS_CUDA_EMULATION_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __launch_bounds__
#undef __grid_constant__
#undef __forceinline__
#undef __noinline__
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)
#define __grid_constant__
#define __forceinline__ inline
#define __noinline__

namespace awsdet::cuda {

// The block that is running.
class EmulatedBlock {
 public:
  static EmulatedBlock& Current() { return *current_; }

  // Runs `body` for every thread of every block.
  static void RunGrid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
    EmulatedBlock self(block, shared_bytes, body);
    current_ = &self;
    self.grid = grid;
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) self.RunBlock(uint3{x, y, z});
      }
    }
    current_ = nullptr;
  }

  uint3 Thread() const {
    const unsigned i = running_;
    return {i % size.x, i / size.x % size.y, i / size.x / size.y};
  }
  // Waits until every thread of the block, or of the warp, has come here or has ended.
  void BlockBarrier() { Wait(kAtBlockBarrier); }
  void WarpBarrier() { Wait(kAtWarpBarrier); }

  // Shows `value` to the warp; returns the bits of all its lanes, or the value of another lane.
  unsigned Ballot(bool value) {
    exchange_[running_] = value;
    WarpBarrier();
    unsigned votes = 0;
    const unsigned first = running_ / 32 * 32;
    for (unsigned i = first; i < std::min(first + 32, Threads()); ++i) {
      votes |= unsigned(exchange_[i] != 0) << (i - first);
    }
    WarpBarrier();
    return votes;
  }
  uint64_t FromLane(uint64_t value, unsigned mask) {
    exchange_[running_] = value;
    WarpBarrier();
    const uint64_t other = exchange_[running_ ^ mask];
    WarpBarrier();
    return other;
  }

  void* shared() { return shared_; }

  dim3 grid;
  dim3 size;
  uint3 index{};

 private:
  enum State { kReady, kAtBlockBarrier, kAtWarpBarrier, kEnded };
  static constexpr size_t kStack = 128 * 1024;

  EmulatedBlock(dim3 block, size_t shared_bytes, const std::function<void()>& body)
      : size(block), body_(body), state_(Threads()), fibre_(Threads()), exchange_(Threads()),
        stacks_(Threads() * kStack / sizeof(uint64_t)), shared_bytes_(shared_bytes) {}

  unsigned Threads() const { return size.x * size.y * size.z; }

  void RunBlock(uint3 block) {
    index = block;
    // Exactly the requested size, filled with garbage that nobody should read.
    shared_ = std::malloc(std::max<size_t>(shared_bytes_, 1));
    std::memset(shared_, 0xff, shared_bytes_);
    for (unsigned i = 0; i < Threads(); ++i) {
      getcontext(&fibre_[i]);
      fibre_[i].uc_stack.ss_sp = stacks_.data() + i * (kStack / sizeof(uint64_t));
      fibre_[i].uc_stack.ss_size = kStack;
      fibre_[i].uc_link = &scheduler_;
      makecontext(&fibre_[i], &EmulatedBlock::RunThread, 0);
      state_[i] = kReady;
    }
    while (Step()) {
    }
    std::free(shared_);
  }

  // Runs every thread that can run, and opens the barriers that all have reached. Returns false once all have ended.
  bool Step() {
    bool ran = false;
    for (running_ = 0; running_ < Threads(); ++running_) {
      if (state_[running_] != kReady) continue;
      ran = true;
      swapcontext(&scheduler_, &fibre_[running_]);
    }
    bool opened = false;
    for (unsigned first = 0; first < Threads(); first += 32) {
      opened |= Open(kAtWarpBarrier, first, std::min(first + 32, Threads()));
    }
    if (!opened) opened = Open(kAtBlockBarrier, 0, Threads());
    if (!ran && !opened) {
      const bool all = std::all_of(state_.begin(), state_.end(), [](int state) { return state == kEnded; });
      if (!all) std::abort();  // threads wait at different barriers: a deadlock on a GPU
      return false;
    }
    return true;
  }

  bool Open(State barrier, unsigned begin, unsigned end) {
    bool any = false;
    for (unsigned i = begin; i < end; ++i) {
      if (state_[i] != barrier && state_[i] != kEnded) return false;
      any |= state_[i] == barrier;
    }
    for (unsigned i = begin; any && i < end; ++i) {
      if (state_[i] == barrier) state_[i] = kReady;
    }
    return any;
  }

  void Wait(State barrier) {
    state_[running_] = barrier;
    swapcontext(&fibre_[running_], &scheduler_);
  }

  static void RunThread() {
    current_->body_();
    current_->state_[current_->running_] = kEnded;
  }

  static inline EmulatedBlock* current_ = nullptr;
  const std::function<void()>& body_;
  std::vector<int> state_;
  std::vector<ucontext_t> fibre_;
  std::vector<uint64_t> exchange_;
  std::vector<uint64_t> stacks_;
  ucontext_t scheduler_{};
  unsigned running_ = 0;
  size_t shared_bytes_;
  void* shared_ = nullptr;
};

template <typename... Parameters, typename... Arguments>
cudaError_t Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
                   Arguments&&... arguments) {
  const bool fits = block.x * block.y * block.z <= 1024 && grid.y <= 65535 && grid.x > 0 && shared_bytes <= 48 * 1024;
  if (!fits) return cudaErrorInvalidConfiguration;
  EmulatedBlock::RunGrid(grid, block, shared_bytes, [&] { kernel(arguments...); });
  return cudaSuccess;
}

inline cudaError_t SortByKey(void* temporary, size_t* bytes, const uint64_t* keys, uint64_t* sorted_keys,
                             const int32_t* values, int32_t* sorted_values, int64_t count, int bits, cudaStream_t) {
  if (temporary == nullptr) {
    *bytes = 1;
    return cudaSuccess;
  }
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  const uint64_t mask = bits < 64 ? (uint64_t{1} << bits) - 1 : ~uint64_t{0};
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return (keys[a] & mask) < (keys[b] & mask); });
  for (int64_t i = 0; i < count; ++i) sorted_keys[i] = keys[order[i]], sorted_values[i] = values[order[i]];
  return cudaSuccess;
}

template <typename T>
T Exchange(T* address, T value) {
  return std::exchange(*address, value);
}

}  // namespace awsdet::cuda

#define threadIdx (awsdet::cuda::EmulatedBlock::Current().Thread())
#define blockIdx (awsdet::cuda::EmulatedBlock::Current().index)
#define blockDim (awsdet::cuda::EmulatedBlock::Current().size)
#define gridDim (awsdet::cuda::EmulatedBlock::Current().grid)
#define __syncthreads() awsdet::cuda::EmulatedBlock::Current().BlockBarrier()
#define __ballot_sync(mask, value) awsdet::cuda::EmulatedBlock::Current().Ballot(value)
#define __shfl_xor_sync(mask, value, lanes) awsdet::cuda::EmulatedBlock::Current().FromLane(value, lanes)
#define __ldg(address) (*(address))
#define __stwb(address, value) (*(address) = (value))
#define __popc __builtin_popcount
#define __ffs __builtin_ffs
#define atomicAdd(address, value) awsdet::cuda::Exchange(address, *(address) + (value))
#define atomicMin(address, value) awsdet::cuda::Exchange(address, std::min(*(address), value))
#define atomicMax(address, value) awsdet::cuda::Exchange(address, std::max(*(address), value))
#define atomicOr(address, value) awsdet::cuda::Exchange(address, *(address) | (value))
#define AWSDET_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(awsdet::cuda::EmulatedBlock::Current().shared())

using std::isfinite;
using std::max;
using std::min;

inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// The functions of CUDA's runtime that launchers and tests call.
#define cudaMalloc(pointer, bytes) ((*(pointer) = std::malloc(bytes)), cudaSuccess)
#define cudaFree(pointer) (std::free(pointer), cudaSuccess)
#define cudaMemcpy(to, from, bytes, kind) (std::memcpy(to, from, bytes), cudaSuccess)
#define cudaMemset(to, value, bytes) (std::memset(to, value, bytes), cudaSuccess)
#define cudaMemsetAsync(to, value, bytes, stream) (std::memset(to, value, bytes), cudaSuccess)
#define cudaDeviceSynchronize() cudaSuccess
#define cudaGetErrorString(error) "emulated error"

#endif  // AWSDET_TESTS_CUDA_EMULATION_H_
