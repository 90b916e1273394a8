// Memory aligned to cache lines, so that vectors of any width are loaded and stored without crossing one.
#ifndef AWSDET_KERNELS_ALIGNED_H_
#define AWSDET_KERNELS_ALIGNED_H_

#include <cstddef>
#include <new>
#include <vector>

namespace awsdet {

template <typename T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  CacheLineAllocator() = default;
  template <typename U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kAlignment)); }
  void deallocate(T* memory, size_t) { ::operator delete(memory, kAlignment); }

  friend bool operator==(const CacheLineAllocator&, const CacheLineAllocator&) { return true; }
  friend bool operator!=(const CacheLineAllocator&, const CacheLineAllocator&) { return false; }
};

using AlignedFloats = std::vector<float, CacheLineAllocator<float>>;

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ALIGNED_H_
