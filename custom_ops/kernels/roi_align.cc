#include "kernels/roi_align.h"

#include <algorithm>
#include <array>

#include "kernels/aligned.h"

namespace awsdet {
namespace {

constexpr int64_t kTile = 16;  // feature pixels

// Sorts the RoIs by level, image, and then row and column of the tile that contains the centre. So RoIs that read
// neighbouring pixels follow each other, and find these pixels in the cache.
std::vector<int64_t> LocalOrder(const std::vector<int64_t>& levels, const std::vector<float>& strides,
                                const Rois& rois) {
  std::vector<std::array<int64_t, 5>> keys(rois.count);
  for (int64_t i = 0; i < rois.count; ++i) {
    const float* box = rois.boxes + 4 * i;
    const float scale = 0.5f / (strides[levels[i]] * kTile);
    const auto tile = [scale](float low, float high) {
      const float centre = (low + high) * scale;
      return static_cast<int64_t>(centre > 0.0f ? std::min(centre, 1e6f) : 0.0f);  // 0 for NaN
    };
    keys[i] = {levels[i], rois.image[i], tile(box[1], box[3]), tile(box[0], box[2]), i};
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int64_t> order(rois.count);
  for (int64_t i = 0; i < rois.count; ++i) order[i] = keys[i].back();
  return order;
}

// The scratch memory of one thread.
struct Scratch {
  RoiAxis rows, columns;
  AlignedFloats line;    // [window, C], the sum of the feature rows of one row of bins
  AlignedFloats pooled;  // [P, C], one row of bins
};

template <typename T>
void PoolOne(const PyramidLevel<const T>& level, const float* box, int64_t image, int64_t channels,
             const RoiAlignSettings& settings, bool stream, Scratch* scratch, T* pooled) {
  const int64_t row_values = settings.output_size * channels;
  scratch->rows.Set(box[1], box[3], level.stride, level.height, settings);
  scratch->columns.Set(box[0], box[2], level.stride, level.width, settings);
  const RoiAxis &rows = scratch->rows, &columns = scratch->columns;
  if (rows.empty() || columns.empty()) {
    scratch->pooled.assign(row_values, 0.0f);
    for (int64_t bin = 0; bin < settings.output_size; ++bin) {
      Store(scratch->pooled.data(), row_values, stream, pooled + bin * row_values);
    }
    return;
  }
  const int64_t stride = level.width * channels, window = (columns.end() - columns.begin()) * channels;
  const T* corner = level.values + (image * level.height + rows.begin()) * stride + columns.begin() * channels;
  scratch->line.resize(window);
  scratch->pooled.resize(row_values);
  for (const Span& bin : rows.bins()) {
    WeightedSums(corner, stride, window, &bin, 1, scratch->line.data());
    WeightedSums(scratch->line.data(), channels, channels, columns.bins().data(), settings.output_size,
                 scratch->pooled.data());
    Store(scratch->pooled.data(), row_values, stream, pooled);
    pooled += row_values;
  }
}

}  // namespace

template <typename T>
void RoiAlign(const std::vector<PyramidLevel<const T>>& pyramid, int64_t channels, const Rois& rois,
              const RoiAlignSettings& settings, const ParallelFor& parallel, T* pooled) {
  std::vector<int64_t> levels(rois.count);
  for (int64_t i = 0; i < rois.count; ++i) {
    levels[i] = LevelOfBox(rois.boxes + 4 * i, settings.finest_scale, static_cast<int>(pyramid.size()));
  }
  std::vector<float> strides;
  for (const auto& level : pyramid) strides.push_back(level.stride);
  const std::vector<int64_t> order = LocalOrder(levels, strides, rois);
  const int64_t values = settings.output_size * settings.output_size * channels;
  const bool stream = ShouldStream(rois.count * values * sizeof(T));
  // A bin has about ten feature pixels, and six values take about a nanosecond.
  parallel(rois.count, 1000 + 2 * values, [&](int64_t begin, int64_t end) {
    Scratch scratch;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t roi = order[i];
      PoolOne(pyramid[levels[roi]], rois.boxes + 4 * roi, rois.image[roi], channels, settings, stream, &scratch,
              pooled + roi * values);
    }
    FinishStreaming();
  });
}

#define AWSDET_INSTANTIATE(T)                                                                             \
  template void RoiAlign(const std::vector<PyramidLevel<const T>>&, int64_t, const Rois&,                 \
                         const RoiAlignSettings&, const ParallelFor&, T*);
AWSDET_INSTANTIATE(float)
AWSDET_INSTANTIATE(Half)
AWSDET_INSTANTIATE(Bfloat16)
#undef AWSDET_INSTANTIATE

}  // namespace awsdet
