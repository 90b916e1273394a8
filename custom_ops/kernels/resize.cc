#include "kernels/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/aligned.h"
#include "kernels/resize_avx512.h"
#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

// A pixel as one vector: R, G, B and a fourth value without meaning, the next pixel's first.
using Pixel = float __attribute__((vector_size(16)));

// Of the pixels begin … begin + count - 1 of an axis that has `length` pixels and had `old_length`.
std::vector<Sample> SamplesOf(int64_t begin, int64_t count, int64_t length, int64_t old_length, bool flip) {
  std::vector<Sample> samples(count);
  const float scale = static_cast<float>(old_length) / static_cast<float>(length);
  const int64_t last = old_length - 1;
  for (int64_t i = 0; i < count; ++i) {
    const float at = (static_cast<float>(begin + i) + 0.5f) * scale - 0.5f, floor = std::floor(at);
    const int64_t lower = std::clamp<int64_t>(static_cast<int64_t>(floor), 0, last);
    const int64_t upper = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(at)), 0, last);
    samples[i] = {static_cast<int32_t>(flip ? last - lower : lower), static_cast<int32_t>(flip ? last - upper : upper),
                  at - floor};
  }
  return samples;
}

AWSDET_VECTOR_CLONES
void Widen(const uint8_t* bytes, int64_t count, float* __restrict widened) {
  for (int64_t i = 0; i < count; ++i) widened[i] = bytes[i];
}

// line [width * 3 and one value more] = the row, which too has a value more, read at the samples.
AWSDET_VECTOR_CLONES
void InterpolateRow(const float* row, const Sample* samples, int64_t width, float* __restrict line) {
  for (int64_t x = 0; x < width; ++x) {
    const Sample sample = samples[x];
    Pixel lower, upper;
    std::memcpy(&lower, row + kChannels * sample.lower, sizeof(lower));
    std::memcpy(&upper, row + kChannels * sample.upper, sizeof(upper));
    const Pixel value = lower + (upper - lower) * sample.weight;
    std::memcpy(line + kChannels * x, &value, sizeof(value));  // the next pixel overwrites the fourth value
  }
}

// bytes [count] = the values between two lines, rounded.
AWSDET_VECTOR_CLONES
void BlendRows(const float* lower, const float* upper, float weight, int64_t count, uint8_t* __restrict bytes) {
  for (int64_t i = 0; i < count; ++i) {
    const float value = lower[i] + (upper[i] - lower[i]) * weight;
    bytes[i] = static_cast<uint8_t>(static_cast<int32_t>(value + 0.5f));
  }
}

// The rows of the source at the width of the result; the two that were asked for last are kept.
class Lines {
 public:
  Lines(const uint8_t* source, int64_t old_width, const std::vector<Sample>& columns)
      : source_(source), old_length_(kChannels * old_width), samples_(columns), row_(old_length_ + 1) {
    for (AlignedFloats& line : lines_) line.resize(kChannels * columns.size() + 1);
  }

  // Rows next to each other are never in each other's place.
  const float* operator()(int64_t row) {
    const int slot = row % 2;
    if (rows_[slot] != row) {
      rows_[slot] = row;
      Widen(source_ + row * old_length_, old_length_, row_.data());
      InterpolateRow(row_.data(), samples_.data(), static_cast<int64_t>(samples_.size()), lines_[slot].data());
    }
    return lines_[slot].data();
  }

 private:
  const uint8_t* source_;
  int64_t old_length_;  // of a row
  const std::vector<Sample>& samples_;
  AlignedFloats row_, lines_[2];
  int64_t rows_[2] = {-1, -1};
};

}  // namespace

void Resize(const uint8_t* source, const Placement& placement, const Canvas& canvas, uint8_t* result) {
  const int64_t height = placement.window_height, width = placement.window_width;
  const std::vector<Sample> rows = SamplesOf(placement.top, height, placement.height, placement.old_height, false);
  const std::vector<Sample> columns =
      SamplesOf(placement.left, width, placement.width, placement.old_width, placement.flip);
  const int64_t filled = width * kChannels, stride = canvas.width * kChannels;
  if (!ResizeAvx512(source, placement, canvas, rows, columns, result)) {
    Lines lines(source, placement.old_width, columns);
    for (int64_t y = 0; y < height; ++y) {
      const float* lower = lines(rows[y].lower);
      BlendRows(lower, lines(rows[y].upper), rows[y].weight, filled, result + y * stride);
      std::memset(result + y * stride + filled, 0, stride - filled);
    }
  }
  std::memset(result + height * stride, 0, (canvas.height - height) * stride);
}

}  // namespace awsdet
