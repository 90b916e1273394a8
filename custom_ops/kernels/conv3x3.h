// A 3x3 convolution of stride 1 with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin and Gray 2016).
#ifndef AWSDET_KERNELS_CONV3X3_H_
#define AWSDET_KERNELS_CONV3X3_H_

#include <cstdint>

#include "kernels/parallel.h"

namespace awsdet {

constexpr int64_t kConvLanes = 16;    // in_channels is a multiple of it
constexpr int64_t kConvColumns = 32;  // out_channels is a multiple of it

struct ConvShape {
  int64_t images, height, width, in_channels, out_channels;
};

// Whether this processor has the vectors (AVX-512) with which this beats a direct convolution.
bool Conv3x3Pays();

// result [images, height, width, out_channels] = features [images, height, width, in_channels] convolved with
// kernel [3, 3, in_channels, out_channels], borders padded with zeros, plus bias [out_channels]; negatives become 0 if
// `relu`. Rounding errors are a few times those of a direct convolution: 4e-6 of the largest result where there are 256
// channels. The same bits on any number of threads.
void Conv3x3(const float* features, const float* kernel, const float* bias, const ConvShape& shape, bool relu,
             const ParallelFor& parallel, float* result);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_CONV3X3_H_
