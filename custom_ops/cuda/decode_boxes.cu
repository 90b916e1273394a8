// One thread per result.
#include "cuda/decode_boxes.h"

#include "cuda/for_type.h"
#include "cuda/vector.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    DecodeKernel(const __grid_constant__ DecodeSizes sizes, const __grid_constant__ BoxDecoding rule, int64_t total,
                 const T* __restrict__ deltas, const float* __restrict__ boxes, const int32_t* __restrict__ image_size,
                 float* __restrict__ decoded, int32_t* __restrict__ classes) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= total) return;
  const int64_t box = index / sizes.classes, image = box / sizes.boxes, label = index % sizes.classes;
  const T* const own = deltas + 4 * (box * sizes.delta_classes + (sizes.delta_classes == 1 ? 0 : label));
  float moves[4];
  for (int k = 0; k < 4; ++k) moves[k] = ToFloat(own[k]);
  const float height = static_cast<float>(image_size[2 * image]), width = static_cast<float>(image_size[2 * image + 1]);
  StoreBox(Clip(Decode(BoxAt(boxes, box), moves, rule), height, width), decoded + 4 * index);
  classes[index] = static_cast<int32_t>(label);
}

template <typename T>
cudaError_t Run(const DecodeSizes& sizes, const BoxDecoding& rule, const void* deltas, const float* boxes,
                const int32_t* image_size, float* decoded, int32_t* classes, cudaStream_t stream) {
  const int64_t total = sizes.images * sizes.boxes * sizes.classes;
  if (total > INT32_MAX) return cudaErrorInvalidValue;
  if (total == 0) return cudaSuccess;
  const dim3 blocks(static_cast<unsigned>((total + kThreads - 1) / kThreads));
  return Launch(DecodeKernel<T>, blocks, dim3(kThreads), 0, stream, sizes, rule, total, static_cast<const T*>(deltas),
                boxes, image_size, decoded, classes);
}

}  // namespace

cudaError_t DecodeBoxes(DataType type, const DecodeSizes& sizes, const BoxDecoding& rule, const void* deltas,
                        const float* boxes, const int32_t* image_size, float* decoded, int32_t* classes,
                        cudaStream_t stream) {
  return ForType(type, [&](auto element) {
    return Run<decltype(element)>(sizes, rule, deltas, boxes, image_size, decoded, classes, stream);
  });
}

}  // namespace awsdet::cuda
