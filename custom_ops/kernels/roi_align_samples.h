// Where RoIAlign samples a feature map: level of a box, sample positions, bilinear weights; for the CPU and the GPU.
//
// Each operation is rounded, because a rounding error decides whether a sample at the border counts. The rules are
// those of awsdet/ops/reference/roi_align.py.
//
// Boxes are x1, y1, x2, y2 in image pixels. Positions are in pixels of the level's feature map, and the centre of pixel
// i is at i; an aligned box is moved by half a pixel for that.
#ifndef AWSDET_KERNELS_ROI_ALIGN_SAMPLES_H_
#define AWSDET_KERNELS_ROI_ALIGN_SAMPLES_H_

#include <cmath>
#include <cstdint>

#include "kernels/portable.h"

namespace awsdet {

// At most so many samples per bin and axis, so that a huge box does not take forever.
constexpr int kMaxSamples = 256;

// At most so many pixels per side of a map: whole numbers up to this are exact in float32.
constexpr int32_t kMaxExtent = 1 << 24;

// Pyramid level of a box: 0 if sqrt(area) < 2 * finest_scale, and one more each time the size doubles (Feature Pyramid
// Networks, equation 1). The reference takes the float32 logarithm, which rounds sizes slightly below a bound up to it.
// CUDA's float32 logarithm is not rounded to the nearest, so the double one is rounded to float32. NaN is level 0.
AWSDET_HOST_DEVICE inline int LevelOfBox(const float* box, float finest_scale, int num_levels) {
  const float area = RoundedMultiply(box[2] - box[0], box[3] - box[1]);
  const float ratio = RoundedAdd(sqrtf(area > 0.0f ? area : 0.0f) / finest_scale, 1e-6f);
  constexpr float kLogOfTwo = 0.693147182f;
  const float level = floorf(static_cast<float>(log(static_cast<double>(ratio))) / kLogOfTwo);
  if (!(level > 0.0f)) return 0;
  return static_cast<int>(fminf(level, static_cast<float>(num_levels - 1)));
}

// The samples of one RoI along one axis.
struct SampleAxis {
  float start;    // the box's low edge in the map
  float size;     // of a bin, in feature pixels; may be negative, infinite or NaN if the box is
  int samples;    // per bin; 0: the box has no samples
  int32_t extent;  // pixels of the map along this axis
};

// `low`, `high`: sides of the box in image pixels. `stride`: image pixels per feature pixel. sampling_ratio: samples
// per bin and axis; 0 means as many as the bin has feature pixels, rounded up.
AWSDET_HOST_DEVICE inline SampleAxis MakeSampleAxis(float low, float high, float stride, int32_t extent,
                                                    int output_size, int sampling_ratio, bool aligned) {
  const float first = low / stride;
  float length = high / stride - first;
  if (!aligned && length < 1.0f) length = 1.0f;
  SampleAxis axis;
  axis.start = aligned ? first - 0.5f : first;
  axis.size = length / static_cast<float>(output_size);
  axis.extent = extent;
  const float wanted = sampling_ratio > 0 ? static_cast<float>(sampling_ratio) : ceilf(axis.size);
  axis.samples = wanted >= kMaxSamples ? kMaxSamples : wanted > 0.0f ? static_cast<int>(wanted) : 0;
  if (extent <= 0) axis.samples = 0;
  return axis;
}

// Position of one sample of one bin; it may be outside of the map.
AWSDET_HOST_DEVICE inline float SamplePosition(const SampleAxis& axis, int bin, int sample) {
  const float offset = (static_cast<float>(sample) + 0.5f) / static_cast<float>(axis.samples);
  return RoundedAdd(axis.start, RoundedMultiply(RoundedAdd(static_cast<float>(bin), offset), axis.size));
}

// Moves a position that is outside of the map to the nearest pixel centre; NaN becomes the first centre.
AWSDET_HOST_DEVICE inline float ClippedPosition(const SampleAxis& axis, float position) {
  const float last = static_cast<float>(axis.extent - 1);
  return position > 0.0f ? (position < last ? position : last) : 0.0f;
}

// One sample: (1 - fraction) of `pixel` plus `fraction` of `pixel` + 1, which is inside of the map if fraction > 0.
struct BilinearSample {
  int32_t pixel;
  float fraction;
};

// Returns false if the sample is more than a pixel outside of the map, or NaN; it then counts as 0.
AWSDET_HOST_DEVICE inline bool MakeBilinearSample(const SampleAxis& axis, int bin, int sample, BilinearSample* result) {
  const float position = SamplePosition(axis, bin, sample);
  if (!(position >= -1.0f && position <= static_cast<float>(axis.extent))) return false;
  const float clipped = ClippedPosition(axis, position);
  result->pixel = static_cast<int32_t>(clipped);
  result->fraction = clipped - static_cast<float>(result->pixel);
  return true;
}

// The pixels [first, last] that the samples of all bins can touch; last < first if there is no sample.
struct PixelRange {
  int32_t first;
  int32_t last;
};

// This is exact, because even rounded positions only rise (or only fall) with bin and sample.
AWSDET_HOST_DEVICE inline PixelRange TouchedPixels(const SampleAxis& axis, int output_size) {
  if (axis.samples == 0) return {0, -1};
  const float one = ClippedPosition(axis, SamplePosition(axis, 0, 0));
  const float other = ClippedPosition(axis, SamplePosition(axis, output_size - 1, axis.samples - 1));
  const int32_t last = static_cast<int32_t>(one > other ? one : other) + 1;
  return {static_cast<int32_t>(one > other ? other : one), last < axis.extent ? last : axis.extent - 1};
}

}  // namespace awsdet

#endif  // AWSDET_KERNELS_ROI_ALIGN_SAMPLES_H_
