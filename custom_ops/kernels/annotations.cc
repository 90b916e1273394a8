#include "kernels/annotations.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace awsdet {
namespace {

constexpr double kMoved = 1e-6;      // px; a side that moves by less was not cut, but rounded
constexpr double kLeastArea = 1e-3;  // px²; a polygon of which less is left is empty

using Point = std::array<double, 2>;  // x, y

double DoubleAt(const char* stored, int64_t index) {
  double value;
  std::memcpy(&value, stored + index * sizeof(value), sizeof(value));
  return value;
}

// The pixels begin … begin + count - 1 of the resized axis: pixel i shows pixel floor((i + 0.5) * old / new) of the
// original.
std::vector<int64_t> Nearest(int64_t begin, int64_t count, int64_t length, int64_t old_length) {
  std::vector<int64_t> places(count);
  const double scale = static_cast<double>(old_length) / static_cast<double>(length);
  for (int64_t i = 0; i < count; ++i) {
    places[i] = std::min(static_cast<int64_t>((static_cast<double>(begin + i) + 0.5) * scale), old_length - 1);
  }
  return places;
}

bool IsInside(const Point& point, int axis, double limit, bool below) {
  return below ? point[axis] <= limit : point[axis] >= limit;
}

// What lies on one side of a line across the axis, the line included.
std::vector<Point> Cut(const std::vector<Point>& polygon, int axis, double limit, bool below) {
  std::vector<Point> left;
  left.reserve(polygon.size() + 4);
  for (size_t i = 0; i < polygon.size(); ++i) {
    const Point &from = polygon[i > 0 ? i - 1 : polygon.size() - 1], &to = polygon[i];
    const bool is_inside = IsInside(to, axis, limit, below);
    if (IsInside(from, axis, limit, below) != is_inside) {
      Point crossing;
      crossing[axis] = limit;
      const double share = (limit - from[axis]) / (to[axis] - from[axis]);
      crossing[1 - axis] = from[1 - axis] + share * (to[1 - axis] - from[1 - axis]);
      left.push_back(crossing);
    }
    if (is_inside) left.push_back(to);
  }
  return left;
}

double Area(const std::vector<Point>& polygon) {
  double twice = 0;
  for (size_t i = 0; i + 1 < polygon.size(); ++i) {
    const Point &origin = polygon[0], &one = polygon[i], &next = polygon[i + 1];
    twice += (one[0] - origin[0]) * (next[1] - origin[1]) - (next[0] - origin[0]) * (one[1] - origin[1]);
  }
  return std::abs(twice) * 0.5;
}

}  // namespace

bool AreNear(const char* stored, int64_t count) {
  bool near = true;
  for (int64_t i = 0; i < count; ++i) near &= std::abs(DoubleAt(stored, i)) <= kFarthest;  // false for NaN
  return near;
}

Visibility PlaceBox(const char* stored, const Placement& placement, double min_visible, float* box) {
  const double old_width = placement.old_width, old_height = placement.old_height, width = placement.width;
  const double scale_x = width / old_width, scale_y = placement.height / old_height;
  const double x = DoubleAt(stored, 0), y = DoubleAt(stored, 1);
  const double right = x + DoubleAt(stored, 2), bottom = y + DoubleAt(stored, 3);
  const double x1 = std::clamp(x, 0.0, old_width) * scale_x, x2 = std::clamp(right, 0.0, old_width) * scale_x;
  const double y1 = std::clamp(y, 0.0, old_height) * scale_y, y2 = std::clamp(bottom, 0.0, old_height) * scale_y;
  const double sides[] = {placement.flip ? width - x2 : x1, y1, placement.flip ? width - x1 : x2, y2};
  if (placement.IsWhole()) {
    for (int i = 0; i < 4; ++i) box[i] = static_cast<float>(sides[i]);
    return {false, true};
  }
  double seen[4];
  bool cut = false;
  for (int i = 0; i < 4; ++i) {
    const double moved = sides[i] - static_cast<double>(i % 2 ? placement.top : placement.left);
    seen[i] = std::clamp(moved, 0.0, static_cast<double>(i % 2 ? placement.window_height : placement.window_width));
    cut = cut || std::abs(seen[i] - moved) > kMoved;
    box[i] = static_cast<float>(seen[i]);
  }
  const double seen_width = seen[2] - seen[0], seen_height = seen[3] - seen[1];
  const double area = (sides[2] - sides[0]) * (sides[3] - sides[1]);
  const bool enough =
      seen_width >= kMinSide && seen_height >= kMinSide && seen_width * seen_height >= min_visible * area;
  return {cut, !cut || enough};
}

bool PlacePolygon(const char* stored, int64_t count, const Placement& placement, std::vector<float>* points) {
  const double width = placement.width, scale_x = width / placement.old_width;
  const double scale_y = static_cast<double>(placement.height) / placement.old_height;
  const double left = placement.left, top = placement.top;
  const double limits[] = {static_cast<double>(placement.window_width), static_cast<double>(placement.window_height)};
  std::vector<Point> polygon(count);
  bool is_cut = false;
  for (int64_t i = 0; i < count; ++i) {
    const double x = DoubleAt(stored, 2 * i) * scale_x;
    polygon[i] = {(placement.flip ? width - x : x) - left, DoubleAt(stored, 2 * i + 1) * scale_y - top};
    for (int axis = 0; axis < 2; ++axis) is_cut |= polygon[i][axis] < 0 || polygon[i][axis] > limits[axis];
  }
  if (is_cut && !placement.IsWhole()) {
    for (int axis = 0; axis < 2; ++axis) {
      polygon = Cut(polygon, axis, 0, false);
      polygon = Cut(polygon, axis, limits[axis], true);
    }
    if (Area(polygon) < kLeastArea) return false;
  }
  for (const Point& point : polygon) points->insert(points->end(), point.begin(), point.end());
  return true;
}

bool PlaceRuns(const int64_t* counts, int64_t num_counts, const Placement& placement, std::vector<int32_t>* result) {
  const int64_t cells = placement.old_height * placement.old_width, width = placement.window_width;
  std::vector<int64_t> edges;  // where each run but the first begins; a pixel is set if an odd number lie up to it
  for (int64_t i = 0, end = 0; i < num_counts; ++i) {
    if (counts[i] < 0) return false;
    if (i + 1 == num_counts) break;
    if (counts[i] > cells - end) return false;
    edges.push_back(end += counts[i]);
  }
  const std::vector<int64_t> rows =
      Nearest(placement.top, placement.window_height, placement.height, placement.old_height);
  const int64_t first = placement.flip ? placement.width - placement.left - width : placement.left;
  const std::vector<int64_t> columns = Nearest(first, width, placement.width, placement.old_width);
  int64_t position = 0, last = 0;
  bool inside = false;
  for (int64_t j = 0; j < width; ++j) {
    const int64_t begin = columns[placement.flip ? width - 1 - j : j] * placement.old_height;
    auto edge = std::upper_bound(edges.begin(), edges.end(), begin + rows[0]);
    for (int64_t row : rows) {
      while (edge != edges.end() && *edge <= begin + row) ++edge;
      if (((edge - edges.begin()) % 2 == 1) != inside) {
        inside = !inside;
        result->push_back(static_cast<int32_t>(position - last));
        last = position;
      }
      ++position;
    }
  }
  result->push_back(static_cast<int32_t>(position - last));
  return true;
}

}  // namespace awsdet
