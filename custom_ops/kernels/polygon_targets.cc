#include "kernels/polygon_targets.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace awsdet {
namespace {

struct Point {
  float x, y;
};

// Converts image pixels to target pixels, whose centres are at whole numbers.
class RoiFrame {
 public:
  RoiFrame(const float* roi, int64_t size)
      : x_(roi[0]), y_(roi[1]), scale_x_(Scale(roi[0], roi[2], size)), scale_y_(Scale(roi[1], roi[3], size)) {}

  Point operator()(const float* point) const {
    return {(point[0] - x_) * scale_x_ - 0.5f, (point[1] - y_) * scale_y_ - 0.5f};
  }

 private:
  static float Scale(float low, float high, int64_t size) {
    return static_cast<float>(size) / std::max(high - low, 1e-6f);
  }

  float x_, y_, scale_x_, scale_y_;
};

bool IsFinite(const Point& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

// The target of one RoI while it is drawn, with one bit per pixel.
class Raster {
 public:
  explicit Raster(int64_t size)
      : size_(size), words_((size + 63) / 64), part_(size * words_), object_(size * words_) {}

  void Clear() { std::fill(object_.begin(), object_.end(), 0); }

  // Adds the part whose corners are `count` points of the image. Adds nothing if one of them is not finite.
  void AddPart(const float* points, int64_t count, const RoiFrame& frame) {
    if (count < 3) return;
    std::fill(part_.begin(), part_.end(), 0);
    Point start = frame(points);
    const Point first = start;
    for (int64_t i = 1; i <= count; ++i) {
      if (!IsFinite(start)) return;
      const Point end = i < count ? frame(points + 2 * i) : first;
      AddEdge(start, end);
      start = end;
    }
    for (size_t i = 0; i < object_.size(); ++i) object_[i] |= part_[i];
  }

  void Write(float* target) const {
    for (int64_t row = 0; row < size_; ++row, target += size_) {
      for (int64_t column = 0; column < size_; ++column) {
        target[column] = static_cast<float>(object_[row * words_ + column / 64] >> (column % 64) & 1);
      }
    }
  }

 private:
  // In every row that the edge crosses, toggles the pixels to the right of the crossing. After all edges of a part, the
  // pixels inside are set (even-odd rule). An edge crosses row r if one of its ends is <= r and the other is not.
  void AddEdge(const Point& start, const Point& end) {
    const int64_t first = Clip(std::min(start.y, end.y)), last = Clip(std::max(start.y, end.y));
    if (first >= last) return;
    const float slope = (end.x - start.x) / (end.y - start.y);
    for (int64_t row = first; row < last; ++row) {
      ToggleFrom(row, Clip(start.x + (static_cast<float>(row) - start.y) * slope));
    }
  }

  // The value rounded up and clipped to [0, size]; 0 for NaN, which a slope that overflows gives.
  int64_t Clip(float value) const {
    if (!(value > 0)) return 0;
    return value < static_cast<float>(size_) ? static_cast<int64_t>(std::ceil(value)) : size_;
  }

  void ToggleFrom(int64_t row, int64_t column) {
    uint64_t* bits = part_.data() + row * words_;
    int64_t word = column / 64;
    if (word >= words_) return;
    bits[word] ^= ~uint64_t{0} << (column % 64);
    while (++word < words_) bits[word] ^= ~uint64_t{0};
  }

  int64_t size_, words_;
  std::vector<uint64_t> part_, object_;
};

}  // namespace

void PolygonTargets(const Polygons& polygons, const int32_t* object_index, const float* rois, int64_t num_rois,
                    int64_t size, float* targets, const ParallelFor& parallel_for) {
  const int64_t pixels = size * size;
  const int64_t cost = 2 * pixels + 2000;  // for an object of a few hundred points
  parallel_for(num_rois, cost, [&](int64_t begin, int64_t end) {
    Raster raster(size);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t* parts = polygons.object_splits + object_index[r];
      const RoiFrame frame(rois + 4 * r, size);
      raster.Clear();
      for (int64_t part = parts[0]; part < parts[1]; ++part) {
        const int64_t from = polygons.part_splits[part], to = polygons.part_splits[part + 1];
        raster.AddPart(polygons.coordinates + from, (to - from) / 2, frame);
      }
      raster.Write(targets + r * pixels);
    }
  });
}

}  // namespace awsdet
