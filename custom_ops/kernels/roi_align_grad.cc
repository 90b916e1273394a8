// The gradient of RoIAlign: the transpose of the forward sums, tile by tile.
//
// A tile is a small square of one image's map at one level. A thread sums it in its own cache, from every RoI that
// touches it and in the order of the RoIs, and writes it once. No two threads add to the same value, so no atomic
// additions are needed, and the order of additions is the same for any number of threads.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>

#include "kernels/aligned.h"
#include "kernels/roi_align.h"

namespace awsdet {
namespace {

constexpr int64_t kTileValues = 1 << 16;  // about; a quarter of a megabyte of float32

// One axis of one RoI, transposed: for each feature pixel in [begin, end) the bins that read it.
struct RoiPixels {
  int64_t begin = 0, end = 0;
  const Span* spans = nullptr;  // one per pixel, from `begin` on
  size_t offset = 0;            // of `spans` in the memory that holds them
};

struct RoiWindow {
  int64_t level = 0;
  RoiPixels rows, columns;
};

// The spans and weights of many RoIs, in two arrays.
class PixelStore {
 public:
  void Append(const RoiAxis& axis, RoiPixels* pixels) {
    pixels->begin = axis.begin();
    pixels->end = axis.end();
    pixels->offset = spans_.size();
    spans_.resize(pixels->offset + axis.end() - axis.begin(), Span{0, 0, nullptr});
    Span* spans = spans_.data() + pixels->offset;
    const auto& bins = axis.bins();
    // Positions only rise or only fall from bin to bin, so the bins that read a pixel are consecutive.
    for (size_t bin = 0; bin < bins.size(); ++bin) {
      for (int64_t i = 0; i < bins[bin].count; ++i) {
        Span& span = spans[bins[bin].first + i];
        if (span.count == 0) span.first = bin;
        span.count = bin + 1 - span.first;
      }
    }
    offsets_.clear();
    for (; spans != spans_.data() + spans_.size(); ++spans) {
      offsets_.push_back(weights_.size() - spans->first);
      weights_.resize(weights_.size() + spans->count, 0.0f);
    }
    for (size_t bin = 0; bin < bins.size(); ++bin) {
      for (int64_t i = 0; i < bins[bin].count; ++i) {
        weights_[offsets_[bins[bin].first + i] + bin] = bins[bin].weights[i];
      }
    }
  }

  // Call it after all are appended, because appending moves the arrays.
  void Finish() {
    const float* weights = weights_.data();
    for (Span& span : spans_) {
      span.weights = weights;
      weights += span.count;
    }
  }

  const Span* At(size_t offset) const { return spans_.data() + offset; }

 private:
  std::vector<Span> spans_;
  std::vector<float> weights_;
  std::vector<int64_t> offsets_;  // of the RoI that is being appended: for each pixel the place of bin 0
};

struct Windows {
  std::vector<RoiWindow> rois;
  std::vector<std::unique_ptr<PixelStore>> stores;
};

template <typename T>
Windows FindWindows(const std::vector<PyramidLevel<T>>& pyramid, const Rois& rois, const RoiAlignSettings& settings,
                    const ParallelFor& parallel) {
  Windows windows;
  windows.rois.resize(rois.count);
  std::mutex mutex;
  parallel(rois.count, 200 * settings.output_size, [&](int64_t begin, int64_t end) {
    auto store = std::make_unique<PixelStore>();
    RoiAxis axis;
    for (int64_t i = begin; i < end; ++i) {
      const float* box = rois.boxes + 4 * i;
      RoiWindow& window = windows.rois[i];
      window.level = LevelOfBox(box, settings.finest_scale, static_cast<int>(pyramid.size()));
      const PyramidLevel<T>& level = pyramid[window.level];
      axis.Set(box[1], box[3], level.stride, level.height, settings);
      store->Append(axis, &window.rows);
      axis.Set(box[0], box[2], level.stride, level.width, settings);
      store->Append(axis, &window.columns);
    }
    store->Finish();
    for (int64_t i = begin; i < end; ++i) {
      for (RoiPixels* pixels : {&windows.rois[i].rows, &windows.rois[i].columns}) {
        pixels->spans = store->At(pixels->offset);
      }
    }
    const std::lock_guard<std::mutex> lock(mutex);
    windows.stores.push_back(std::move(store));
  });
  return windows;
}

// The pixels [top, bottom) x [left, right) of an image's map, and the RoIs that touch them.
struct Tile {
  int64_t level, image, top, bottom, left, right;
  std::vector<int64_t> rois;
};

// The tiles of one level: per image `rows` x `columns` tiles of `height` x `width` pixels; the last ones may be
// smaller.
struct Grid {
  int64_t first;  // first tile of image 0
  int64_t height, width, rows, columns;
};

// Appends the tiles of all images of a level, row by row.
Grid AppendTiles(int64_t level, int64_t height, int64_t width, int64_t batch, int64_t side, std::vector<Tile>* tiles) {
  Grid grid;
  grid.first = tiles->size();
  grid.rows = (height + side - 1) / side;
  grid.columns = (width + side - 1) / side;
  grid.height = (height + grid.rows - 1) / std::max<int64_t>(grid.rows, 1);
  grid.width = (width + grid.columns - 1) / std::max<int64_t>(grid.columns, 1);
  for (int64_t image = 0; image < batch; ++image) {
    for (int64_t row = 0; row < grid.rows; ++row) {
      for (int64_t column = 0; column < grid.columns; ++column) {
        const int64_t top = std::min(row * grid.height, height), left = std::min(column * grid.width, width);
        tiles->push_back(
            {level, image, top, std::min(top + grid.height, height), left, std::min(left + grid.width, width), {}});
      }
    }
  }
  return grid;
}

template <typename T>
std::vector<Tile> MakeTiles(const std::vector<PyramidLevel<T>>& pyramid, int64_t batch, int64_t channels,
                            const Rois& rois, const Windows& windows) {
  const int64_t side = std::max<int64_t>(1, std::sqrt(static_cast<double>(kTileValues) / channels));
  std::vector<Tile> tiles;
  std::vector<Grid> grids;
  for (size_t level = 0; level < pyramid.size(); ++level) {
    grids.push_back(AppendTiles(level, pyramid[level].height, pyramid[level].width, batch, side, &tiles));
  }
  for (int64_t i = 0; i < rois.count; ++i) {
    const RoiPixels &rows = windows.rois[i].rows, &columns = windows.rois[i].columns;
    if (rows.begin == rows.end || columns.begin == columns.end) continue;
    const Grid& grid = grids[windows.rois[i].level];
    for (int64_t row = rows.begin / grid.height; row <= (rows.end - 1) / grid.height; ++row) {
      for (int64_t column = columns.begin / grid.width; column <= (columns.end - 1) / grid.width; ++column) {
        tiles[grid.first + (rois.image[i] * grid.rows + row) * grid.columns + column].rois.push_back(i);
      }
    }
  }
  return tiles;
}

// Adds one RoI's part to the sums [bottom - top, right - left, C] of a tile. `line` is scratch memory for [P, C].
template <typename T>
void AddRoi(const Tile& tile, const RoiWindow& window, const T* gradient, int64_t size, int64_t channels, float* line,
            float* sums) {
  const RoiPixels &rows = window.rows, &columns = window.columns;
  const int64_t left = std::max(tile.left, columns.begin), right = std::min(tile.right, columns.end);
  const Span *first = columns.spans + (left - columns.begin), *last = first + (right - left);
  int64_t bin_begin = size, bin_end = 0;
  for (const Span* span = first; span != last; ++span) {
    if (span->count == 0) continue;
    bin_begin = std::min(bin_begin, span->first);
    bin_end = std::max(bin_end, span->first + span->count);
  }
  if (bin_begin >= bin_end) return;
  const int64_t tile_row = (tile.right - tile.left) * channels, offset = bin_begin * channels;
  const int64_t row_end = std::min(tile.bottom, rows.end);
  for (int64_t row = std::max(tile.top, rows.begin); row < row_end; ++row) {
    const Span& bins = rows.spans[row - rows.begin];
    if (bins.count == 0) continue;
    WeightedSums(gradient + offset, size * channels, (bin_end - bin_begin) * channels, &bins, 1, line + offset);
    AddWeightedSums(line, channels, channels, first, right - left,
                    sums + (row - tile.top) * tile_row + (left - tile.left) * channels);
  }
}

}  // namespace

template <typename T>
void RoiAlignGrad(const T* pooled_gradient, const std::vector<PyramidLevel<T>>& pyramid, int64_t batch,
                  int64_t channels, const Rois& rois, const RoiAlignSettings& settings, const ParallelFor& parallel) {
  if (channels == 0) return;
  const Windows windows = FindWindows(pyramid, rois, settings, parallel);
  const std::vector<Tile> tiles = MakeTiles(pyramid, batch, channels, rois, windows);
  int64_t visits = 0, values = 0;
  for (const Tile& tile : tiles) {
    visits += tile.rois.size();
    values += (tile.bottom - tile.top) * (tile.right - tile.left) * channels;
  }
  const bool stream = ShouldStream(values * sizeof(T));
  const int64_t count = tiles.size(), size = settings.output_size;
  // A RoI covers about a quarter of a tile, and six values take about a nanosecond.
  const int64_t cost = count > 0 ? (visits * kTileValues / 24 + values) / count : 0;
  // Threads take one tile after the other, the most expensive ones first, which are those of the coarsest level. So the
  // threads end at about the same time. Neighbouring tiles of a level follow each other, so that the gradients of their
  // RoIs are still in the cache.
  std::atomic<int64_t> left{count};
  parallel(count, cost, [&](int64_t begin, int64_t end) {
    AlignedFloats sums, line(size * channels);  // sums: all zeros between two tiles
    for (int64_t i = begin; i < end; ++i) {
      const Tile& tile = tiles[--left];
      const PyramidLevel<T>& level = pyramid[tile.level];
      const int64_t row_values = (tile.right - tile.left) * channels;
      sums.resize(std::max<size_t>(sums.size(), (tile.bottom - tile.top) * row_values), 0.0f);
      for (const int64_t roi : tile.rois) {
        AddRoi(tile, windows.rois[roi], pooled_gradient + roi * size * size * channels, size, channels, line.data(),
               sums.data());
      }
      for (int64_t row = tile.top; row < tile.bottom; ++row) {
        float* values = sums.data() + (row - tile.top) * row_values;
        Store(values, row_values, stream,
              level.values + ((tile.image * level.height + row) * level.width + tile.left) * channels);
        std::fill_n(values, row_values, 0.0f);  // now, while the row is in the first-level cache
      }
    }
    FinishStreaming();
  });
}

#define AWSDET_INSTANTIATE(T)                                                                                   \
  template void RoiAlignGrad(const T*, const std::vector<PyramidLevel<T>>&, int64_t, int64_t, const Rois&,      \
                             const RoiAlignSettings&, const ParallelFor&);
AWSDET_INSTANTIATE(float)
AWSDET_INSTANTIATE(Half)
AWSDET_INSTANTIATE(Bfloat16)
#undef AWSDET_INSTANTIATE

}  // namespace awsdet
