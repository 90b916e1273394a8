#include "kernels/annotations.h"

#include <algorithm>
#include <cstring>

namespace awsdet {
namespace {

double DoubleAt(const char* stored, int64_t index) {
  double value;
  std::memcpy(&value, stored + index * sizeof(value), sizeof(value));
  return value;
}

// Pixel i of the resized axis shows pixel floor((i + 0.5) * old / new) of the original.
std::vector<int64_t> Nearest(int64_t length, int64_t old_length) {
  std::vector<int64_t> places(length);
  const double scale = static_cast<double>(old_length) / static_cast<double>(length);
  for (int64_t i = 0; i < length; ++i) {
    places[i] = std::min(static_cast<int64_t>((static_cast<double>(i) + 0.5) * scale), old_length - 1);
  }
  return places;
}

}  // namespace

void PlaceBoxes(const char* stored, int64_t count, const Placement& placement, float* boxes) {
  const double old_width = placement.old_width, old_height = placement.old_height, width = placement.width;
  const double scale_x = width / old_width, scale_y = placement.height / old_height;
  for (int64_t i = 0; i < count; ++i) {
    const double x = DoubleAt(stored, 4 * i), y = DoubleAt(stored, 4 * i + 1);
    const double right = x + DoubleAt(stored, 4 * i + 2), bottom = y + DoubleAt(stored, 4 * i + 3);
    const double x1 = std::clamp(x, 0.0, old_width) * scale_x, x2 = std::clamp(right, 0.0, old_width) * scale_x;
    float* box = boxes + 4 * i;
    box[0] = static_cast<float>(placement.flip ? width - x2 : x1);
    box[1] = static_cast<float>(std::clamp(y, 0.0, old_height) * scale_y);
    box[2] = static_cast<float>(placement.flip ? width - x1 : x2);
    box[3] = static_cast<float>(std::clamp(bottom, 0.0, old_height) * scale_y);
  }
}

void PlacePoints(const char* stored, int64_t count, const Placement& placement, float* points) {
  const double width = placement.width, scale_x = width / placement.old_width;
  const double scale_y = static_cast<double>(placement.height) / placement.old_height;
  for (int64_t i = 0; i < count; ++i) {
    const double x = DoubleAt(stored, 2 * i) * scale_x;
    points[2 * i] = static_cast<float>(placement.flip ? width - x : x);
    points[2 * i + 1] = static_cast<float>(DoubleAt(stored, 2 * i + 1) * scale_y);
  }
}

bool PlaceRuns(const int64_t* counts, int64_t num_counts, const Placement& placement, std::vector<int32_t>* result) {
  const int64_t cells = placement.old_height * placement.old_width;
  std::vector<int64_t> edges;  // where a run begins but the first; an odd number of them before a pixel: it is set
  for (int64_t i = 0, end = 0; i < num_counts; ++i) {
    if (counts[i] < 0) return false;
    if (i + 1 == num_counts) break;
    if (counts[i] > cells - end) return false;
    edges.push_back(end += counts[i]);
  }
  const std::vector<int64_t> rows = Nearest(placement.height, placement.old_height);
  const std::vector<int64_t> columns = Nearest(placement.width, placement.old_width);
  int64_t position = 0, last = 0;
  bool inside = false;
  for (int64_t j = 0; j < placement.width; ++j) {
    const int64_t begin = columns[placement.flip ? placement.width - 1 - j : j] * placement.old_height;
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
