#include "kernels/conv3x3.h"

#include <algorithm>
#include <cstring>

#include "kernels/aligned.h"
#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

// Sixteen channels at a time. Functions that take one are inlined into the clones, which know the machine's registers.
typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias));
#define AWSDET_INLINE inline __attribute__((always_inline))

constexpr int64_t kIn = 6, kOut = 4;     // sides of what a tile reads and of what it makes
constexpr int64_t kPlanes = kIn * kIn;   // products of matrices in all
constexpr int64_t kBlock = 48;           // tiles that a thread takes through all steps, so that they stay in its cache
constexpr int64_t kRows = 12;            // tiles whose sums are in registers at once, of kConvColumns channels

// One line of six values in, six out: B^T d of the paper.
AWSDET_INLINE void TransformInput(const Lanes* d, int64_t from, Lanes* out, int64_t to) {
  const Lanes d0 = d[0], d1 = d[from], d2 = d[2 * from], d3 = d[3 * from], d4 = d[4 * from], d5 = d[5 * from];
  const Lanes even = d4 - 4.0f * d2, odd = d3 - 4.0f * d1, near = d4 - d2, far = 2.0f * (d3 - d1);
  out[0] = 4.0f * d0 - 5.0f * d2 + d4;
  out[to] = even + odd;
  out[2 * to] = even - odd;
  out[3 * to] = near + far;
  out[4 * to] = near - far;
  out[5 * to] = 4.0f * d1 - 5.0f * d3 + d5;
}

// Six values in, four out: A^T m.
AWSDET_INLINE void TransformOutput(const Lanes* m, int64_t from, Lanes* out, int64_t to) {
  const Lanes sum = m[from] + m[2 * from], difference = m[from] - m[2 * from];
  const Lanes wide_sum = m[3 * from] + m[4 * from], wide_difference = m[3 * from] - m[4 * from];
  out[0] = m[0] + sum + wide_sum;
  out[to] = difference + 2.0f * wide_difference;
  out[2 * to] = sum + 4.0f * wide_sum;
  out[3 * to] = difference + 8.0f * wide_difference + m[5 * from];
}

// Three values in, six out: G g.
AWSDET_INLINE void TransformKernel(const Lanes* g, int64_t from, Lanes* out, int64_t to) {
  const Lanes g0 = g[0], g1 = g[from], g2 = g[2 * from];
  const Lanes ends = (g0 + g2) * (1.0f / 6), middle = g1 * (1.0f / 6);
  const Lanes wide_ends = g0 * (1.0f / 24) + g2 * (1.0f / 6), wide_middle = g1 * (1.0f / 12);
  out[0] = g0 * 0.25f;
  out[to] = -ends - middle;
  out[2 * to] = middle - ends;
  out[3 * to] = wide_ends + wide_middle;
  out[4 * to] = wide_ends - wide_middle;
  out[5 * to] = g2;
}

AWSDET_INLINE Lanes Load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}
AWSDET_INLINE void Store(const Lanes& lanes, float* to) { std::memcpy(to, &lanes, sizeof(lanes)); }

// Where a tile lies.
struct Tiles {
  explicit Tiles(const ConvShape& shape)
      : rows((shape.height + kOut - 1) / kOut), columns((shape.width + kOut - 1) / kOut),
        count(shape.images * rows * columns) {}
  int64_t Image(int64_t tile) const { return tile / (rows * columns); }
  int64_t Top(int64_t tile) const { return tile / columns % rows * kOut; }
  int64_t Left(int64_t tile) const { return tile % columns * kOut; }
  int64_t rows, columns, count;
};

// kernel -> transformed [kPlanes, out / kConvColumns, in, kConvColumns], for input channels [begin, end).
AWSDET_VECTOR_CLONES
void TransformKernels(const float* kernel, const ConvShape& shape, int64_t begin, int64_t end, float* transformed) {
  const int64_t tap = shape.in_channels * shape.out_channels;
  for (int64_t in = begin; in < end; ++in) {
    for (int64_t out = 0; out < shape.out_channels; out += kConvLanes) {
      Lanes taps[9], half[3 * kIn], whole[kPlanes];
      for (int64_t i = 0; i < 9; ++i) taps[i] = Load(kernel + i * tap + in * shape.out_channels + out);
      for (int64_t x = 0; x < 3; ++x) TransformKernel(taps + x, 3, half + x, 3);
      for (int64_t y = 0; y < kIn; ++y) TransformKernel(half + 3 * y, 1, whole + kIn * y, 1);
      const int64_t place = (out / kConvColumns * shape.in_channels + in) * kConvColumns + out % kConvColumns;
      for (int64_t plane = 0; plane < kPlanes; ++plane) Store(whole[plane], transformed + plane * tap + place);
    }
  }
}

// The tile at [top, left] of an image -> its row of each plane, [kPlanes, kBlock, in].
AWSDET_VECTOR_CLONES
void TransformInputs(const float* image, const ConvShape& shape, int64_t top, int64_t left, float* transformed) {
  const int64_t channels = shape.in_channels;
  for (int64_t channel = 0; channel < channels; channel += kConvLanes) {
    Lanes read[kPlanes], half[kPlanes], whole[kPlanes];
    for (int64_t y = 0; y < kIn; ++y) {
      for (int64_t x = 0; x < kIn; ++x) {
        const int64_t row = top + y - 1, column = left + x - 1;
        const bool inside = row >= 0 && row < shape.height && column >= 0 && column < shape.width;
        read[kIn * y + x] = inside ? Load(image + (row * shape.width + column) * channels + channel) : Lanes{};
      }
    }
    for (int64_t x = 0; x < kIn; ++x) TransformInput(read + x, kIn, half + x, kIn);
    for (int64_t y = 0; y < kIn; ++y) TransformInput(half + kIn * y, 1, whole + kIn * y, 1);
    for (int64_t plane = 0; plane < kPlanes; ++plane) {
      Store(whole[plane], transformed + plane * kBlock * channels + channel);
    }
  }
}

// Its row of each plane, [kPlanes, kBlock, out] -> the part of the tile at [top, left] that is inside the image.
AWSDET_VECTOR_CLONES
void TransformOutputs(const float* products, const float* bias, const ConvShape& shape, int64_t top, int64_t left,
                      bool relu, float* image) {
  const int64_t channels = shape.out_channels;
  const int64_t rows = std::min(kOut, shape.height - top), columns = std::min(kOut, shape.width - left);
  for (int64_t channel = 0; channel < channels; channel += kConvLanes) {
    Lanes read[kPlanes], half[kOut * kIn], whole[kOut * kOut];
    for (int64_t plane = 0; plane < kPlanes; ++plane) {
      read[plane] = Load(products + plane * kBlock * channels + channel);
    }
    for (int64_t x = 0; x < kIn; ++x) TransformOutput(read + x, kIn, half + x, kIn);
    for (int64_t y = 0; y < kOut; ++y) TransformOutput(half + kIn * y, 1, whole + kOut * y, 1);
    const Lanes offset = Load(bias + channel);
    for (int64_t y = 0; y < rows; ++y) {
      for (int64_t x = 0; x < columns; ++x) {
        Lanes value = whole[kOut * y + x] + offset;
        // A NaN stays: it is not less than 0.
        if (relu) value = value < Lanes{} ? Lanes{} : value;
        Store(value, image + ((top + y) * shape.width + left + x) * channels + channel);
      }
    }
  }
}

// products [kRows, kConvColumns of out] = left [kRows, in] times a panel of a plane that `TransformKernels` made.
AWSDET_VECTOR_CLONES
void Multiply(const float* left, const float* panel, int64_t in_channels, int64_t out_channels, float* products) {
  Lanes sum[kRows][2] = {};
  for (int64_t in = 0; in < in_channels; ++in) {
    const Lanes first = Load(panel + in * kConvColumns), second = Load(panel + in * kConvColumns + kConvLanes);
#pragma GCC unroll 12
    for (int64_t row = 0; row < kRows; ++row) {
      const float factor = left[row * in_channels + in];
      sum[row][0] += factor * first;
      sum[row][1] += factor * second;
    }
  }
#pragma GCC unroll 12
  for (int64_t row = 0; row < kRows; ++row) {
    Store(sum[row][0], products + row * out_channels);
    Store(sum[row][1], products + row * out_channels + kConvLanes);
  }
}

void MultiplyBlock(const float* inputs, const float* kernels, const ConvShape& shape, int64_t tiles, float* products) {
  const int64_t in = shape.in_channels, out = shape.out_channels;
  for (int64_t plane = 0; plane < kPlanes; ++plane) {
    for (int64_t column = 0; column < out; column += kConvColumns) {
      const float* panel = kernels + plane * in * out + column * in;
      for (int64_t row = 0; row < tiles; row += kRows) {
        Multiply(inputs + (plane * kBlock + row) * in, panel, in, out, products + (plane * kBlock + row) * out + column);
      }
    }
  }
}

// Floats that begin as whatever the memory holds.
class Scratch {
 public:
  explicit Scratch(int64_t size) : size_(size), floats_(CacheLineAllocator<float>().allocate(size)) {}
  ~Scratch() { CacheLineAllocator<float>().deallocate(floats_, size_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  float* data() { return floats_; }

 private:
  int64_t size_;
  float* floats_;
};

}  // namespace

bool Conv3x3Pays() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

void Conv3x3(const float* features, const float* kernel, const float* bias, const ConvShape& shape, bool relu,
             const ParallelFor& parallel, float* result) {
  const int64_t in = shape.in_channels, out = shape.out_channels;
  const Tiles tiles(shape);
  Scratch kernels(kPlanes * in * out);
  parallel(in, 10 * out, [&](int64_t begin, int64_t end) {
    TransformKernels(kernel, shape, begin, end, kernels.data());
  });
  const int64_t blocks = (tiles.count + kBlock - 1) / kBlock;
  parallel(blocks, kBlock * in * out, [&](int64_t first, int64_t last) {
    // The last block has rows that no tile fills, and products of them that no tile takes.
    Scratch inputs(kPlanes * kBlock * in), products(kPlanes * kBlock * out);
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * kBlock, end = std::min(tiles.count, begin + kBlock);
      for (int64_t tile = begin; tile < end; ++tile) {
        TransformInputs(features + tiles.Image(tile) * shape.height * shape.width * in, shape, tiles.Top(tile),
                        tiles.Left(tile), inputs.data() + (tile - begin) * in);
      }
      MultiplyBlock(inputs.data(), kernels.data(), shape, end - begin, products.data());
      for (int64_t tile = begin; tile < end; ++tile) {
        TransformOutputs(products.data() + (tile - begin) * out, bias, shape, tiles.Top(tile), tiles.Left(tile), relu,
                         result + tiles.Image(tile) * shape.height * shape.width * out);
      }
    }
  });
}

}  // namespace awsdet
