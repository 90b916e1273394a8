// What the checks of the CUDA launchers share: device memory, random numbers, and the result.
#ifndef AWSDET_TESTS_CUDA_CHECK_H_
#define AWSDET_TESTS_CUDA_CHECK_H_

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "cuda/data_type.h"
#include "cuda/launch.h"
#include "kernels/low_precision.h"

namespace awsdet::cuda {

// Ends the program with the name of the call and its CUDA error, if there is one.
inline void Require(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

// A copy of host numbers on the GPU, or memory for numbers, filled with garbage that a kernel must overwrite.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    if (size_ == 0) return;
    Require(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice), "copy to the GPU");
  }
  explicit DeviceArray(size_t size) : size_(size) {
    void* memory = nullptr;
    Require(cudaMalloc(&memory, std::max<size_t>(size * sizeof(T), 1)), "cudaMalloc");
    data_ = static_cast<T*>(memory);
    Require(cudaMemset(data_, 0xcd, size * sizeof(T)), "cudaMemset");
  }
  ~DeviceArray() { (void)cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  DeviceArray(DeviceArray&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}

  T* data() const { return data_; }
  std::vector<T> Host() const {
    std::vector<T> values(size_);
    Require(cudaDeviceSynchronize(), "a kernel");
    if (size_ == 0) return values;
    Require(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), "copy from the GPU");
    return values;
  }

 private:
  T* data_;
  size_t size_;
};

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  float Uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine_); }
  int Integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  template <typename T>
  T OneOf(const std::vector<T>& values) {
    return values[Integer(0, static_cast<int>(values.size()) - 1)];
  }

 private:
  std::mt19937_64 engine_;
};

// `count` numbers from -2 to 2 of a type of the CPU's kernels.
template <typename T>
std::vector<T> RandomValues(Random& random, int64_t count) {
  std::vector<T> values(count);
  for (T& value : values) awsdet::FromFloat(random.Uniform(-2, 2), &value);
  return values;
}

// Calls check(zero, type, name) for each element type: with a zero of the CPU's kernels, and the launchers' name of it.
template <typename Function>
void ForEachType(const Function& check) {
  check(float{}, DataType::kFloat, "float32");
  check(Half{}, DataType::kHalf, "half");
  check(Bfloat16{}, DataType::kBFloat16, "bfloat16");
}

// Makes `count` boxes in an image of `extent` pixels. Every sixth one is a box that a detector should never give.
inline std::vector<float> RandomBoxes(Random& random, int64_t count, float extent) {
  const float inf = INFINITY, nan = NAN, huge = 3e38f;
  const std::vector<std::vector<float>> odd = {
      {5, 5, 5, 5}, {9, 9, 3, 4}, {-500, -500, -400, -300}, {nan, 1, 2, 3}, {-inf, 0, inf, 9},
      {-9e8, -9e8, 9e8, 9e8}, {-huge, -huge, huge, huge}, {1, 2, inf, 3}, {0, 0, 1e-20f, 1e-20f}, {3, nan, nan, 7}};
  std::vector<float> boxes;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<float> box;
    if (random.Integer(0, 5) == 0) {
      box = random.OneOf(odd);
    } else {
      const float x = random.Uniform(-0.2f * extent, extent), y = random.Uniform(-0.2f * extent, extent);
      const float side = extent * random.OneOf<float>({0.02f, 0.1f, 0.4f, 1.5f});
      box = {x, y, x + random.Uniform(0, side), y + random.Uniform(0, side)};
    }
    boxes.insert(boxes.end(), box.begin(), box.end());
  }
  return boxes;
}

// Counts the checks, and keeps the messages of those that fail.
class Verdict {
 public:
  void Check(bool passed, const std::string& what) {
    ++checks_;
    if (passed) return;
    ++failures_;
    if (failures_ <= 20) std::printf("FAILED: %s\n", what.c_str());
  }
  int failures() const { return failures_; }
  int checks() const { return checks_; }

 private:
  int checks_ = 0;
  int failures_ = 0;
};

// Each makes `cases` random calls, with seeds from `seed` on.
void CheckRoiAlign(int cases, uint64_t seed, Verdict* verdict);
void CheckCellWindows(int cases, uint64_t seed, Verdict* verdict);
void CheckTopBoxes(int cases, uint64_t seed, Verdict* verdict);
void CheckDecodeBoxes(int cases, uint64_t seed, Verdict* verdict);
void CheckNms(int cases, uint64_t seed, Verdict* verdict);
void CheckMultiTensor(int cases, uint64_t seed, Verdict* verdict);
void CheckMatch(int cases, uint64_t seed, Verdict* verdict);
void CheckSample(int cases, uint64_t seed, Verdict* verdict);
void CheckAnchors(int cases, uint64_t seed, Verdict* verdict);
void CheckAffine(int cases, uint64_t seed, Verdict* verdict);

}  // namespace awsdet::cuda

#endif  // AWSDET_TESTS_CUDA_CHECK_H_
