#include "kernels/bitmap.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

namespace awsdet {
namespace {

// The value rounded up and clipped to [0, limit]; 0 for NaN.
int64_t Clip(float value, int64_t limit) {
  if (!(value > 0)) return 0;
  return value < static_cast<float>(limit) ? static_cast<int64_t>(std::ceil(value)) : limit;
}

// Places where pixel centres are at whole numbers.
float Centred(float coordinate) { return coordinate - 0.5f; }

// Of one polygon. A pixel more on each side, since the crossings of its edges are rounded.
Extent ReachOfPart(const float* points, int64_t count, const Window& window) {
  if (count < 3) return {};
  float low[] = {points[0], points[1]}, high[] = {points[0], points[1]};
  for (int64_t i = 0; i < 2 * count; ++i) {
    if (!std::isfinite(points[i])) return {};
    low[i % 2] = std::min(low[i % 2], points[i]);
    high[i % 2] = std::max(high[i % 2], points[i]);
  }
  return {Clip(Centred(low[1]) - 1, window.height), Clip(Centred(high[1]) + 1, window.height),
          Clip(Centred(low[0]) - 1, window.width), Clip(Centred(high[0]) + 1, window.width)};
}

Extent ReachOfRuns(const int32_t* runs, int64_t count, int64_t height) {
  Extent reach;
  int64_t begin = 0;
  for (int64_t i = 0; i < count; begin += runs[i++]) {
    if (i % 2 == 0 || runs[i] == 0) continue;
    const int64_t last = begin + runs[i] - 1, column = begin / height;
    if (last / height > column) {
      reach.Add({0, height, column, last / height + 1});
    } else {
      reach.Add({begin % height, last % height + 1, column, column + 1});
    }
  }
  return reach;
}

}  // namespace

void Extent::Add(const Extent& other) {
  if (other.IsEmpty()) return;
  if (IsEmpty()) {
    *this = other;
    return;
  }
  *this = {std::min(top, other.top), std::max(bottom, other.bottom), std::min(left, other.left),
           std::max(right, other.right)};
}

bool Extent::Overlaps(const Extent& other) const {
  return !IsEmpty() && !other.IsEmpty() && top < other.bottom && other.top < bottom && left < other.right &&
         other.left < right;
}

Extent Reach(const PlacedMask& mask, const Window& window) {
  Extent reach = ReachOfRuns(mask.runs, mask.num_runs, window.height);
  for (int64_t part = 0; part < mask.num_parts; ++part) {
    const int64_t begin = mask.part_begins[part];
    reach.Add(ReachOfPart(mask.points + begin, (mask.part_begins[part + 1] - begin) / 2, window));
  }
  return reach;
}

Bitmap::Bitmap(const PlacedMask& mask, const Window& window) : extent_(Reach(mask, window)) {
  if (extent_.IsEmpty()) {
    extent_ = {};
    return;
  }
  pixels_.assign(extent_.height() * extent_.width(), 0);
  AddRuns(mask.runs, mask.num_runs, window.height);
  for (int64_t part = 0; part < mask.num_parts; ++part) {
    const int64_t begin = mask.part_begins[part];
    const float* points = mask.points + begin;
    const int64_t count = (mask.part_begins[part + 1] - begin) / 2;
    if (!ReachOfPart(points, count, window).IsEmpty()) AddPart(points, count);
  }
}

// In every row that an edge crosses, the pixels to the right of the crossing change sides (even-odd rule). An edge
// crosses row r if one of its ends is <= r and the other is not.
void Bitmap::AddPart(const float* points, int64_t count) {
  // Each crossing's row, and first column to the right; how many crossings the rows before each have, after the loop.
  std::vector<std::pair<int32_t, int32_t>> crossings;
  std::vector<int32_t> begins(extent_.height() + 1);
  for (int64_t i = 0; i < count; ++i) {
    const float *from = points + 2 * i, *to = points + 2 * (i + 1 < count ? i + 1 : 0);
    const float x0 = Centred(from[0]), y0 = Centred(from[1]), x1 = Centred(to[0]), y1 = Centred(to[1]);
    const int64_t first = std::max(Clip(std::min(y0, y1), extent_.bottom), extent_.top);
    const int64_t last = Clip(std::max(y0, y1), extent_.bottom);
    if (first >= last) continue;
    const float slope = (x1 - x0) / (y1 - y0);
    for (int64_t row = first; row < last; ++row) {
      const int64_t column = Clip(x0 + (static_cast<float>(row) - y0) * slope, extent_.right);
      crossings.emplace_back(row - extent_.top, std::max(column, extent_.left) - extent_.left);
      ++begins[row - extent_.top + 1];
    }
  }
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<int32_t> columns(crossings.size()), next(begins);
  for (const auto& [row, column] : crossings) columns[next[row]++] = column;
  for (int64_t row = 0; row < extent_.height(); ++row) {
    std::sort(columns.begin() + begins[row], columns.begin() + begins[row + 1]);
    // A closed polygon crosses each row an even number of times.
    for (int32_t i = begins[row]; i < begins[row + 1]; i += 2) {
      std::memset(Row(extent_.top + row) + columns[i], 1, columns[i + 1] - columns[i]);
    }
  }
}

void Bitmap::AddRuns(const int32_t* runs, int64_t count, int64_t height) {
  int64_t position = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t end = position + runs[i];
    if (i % 2 == 0) position = end;
    while (position < end) {
      const int64_t column = position / height, stop = std::min(end, (column + 1) * height);
      for (; position < stop; ++position) Row(position - column * height)[column - extent_.left] = 1;
    }
  }
}

int64_t Bitmap::Count() const { return std::accumulate(pixels_.begin(), pixels_.end(), int64_t{0}); }

bool Bitmap::IsEmpty() const { return pixels_.empty() || std::memchr(pixels_.data(), 1, pixels_.size()) == nullptr; }

Extent Bitmap::Tight() const {
  Extent tight;
  const int64_t width = extent_.width();
  for (int64_t y = extent_.top; y < extent_.bottom; ++y) {
    const uint8_t* row = Row(y);
    const void* first = std::memchr(row, 1, width);
    if (first == nullptr) continue;
    int64_t end = width;
    while (row[end - 1] == 0) --end;
    tight.Add({y, y + 1, extent_.left + (static_cast<const uint8_t*>(first) - row), extent_.left + end});
  }
  return tight;
}

std::vector<std::vector<int32_t>> Bitmap::Changes() const {
  const int64_t width = extent_.width();
  std::vector<std::vector<int32_t>> changes(width);
  const std::vector<uint8_t> nothing(width);
  const auto compare = [&](const uint8_t* above, const uint8_t* row, int64_t y) {
    for (int64_t x = 0; x < width;) {
      uint64_t one, other;
      if (x + 8 <= width) {  // most pixels are like the one above: eight are compared at once
        std::memcpy(&one, above + x, 8);
        std::memcpy(&other, row + x, 8);
        if (one == other) {
          x += 8;
          continue;
        }
      }
      const int64_t stop = std::min(x + 8, width);
      for (; x < stop; ++x) {
        if (above[x] != row[x]) changes[x].push_back(static_cast<int32_t>(y));
      }
    }
  };
  const uint8_t* above = nothing.data();
  for (int64_t y = extent_.top; y < extent_.bottom; ++y) {
    compare(above, Row(y), y);
    above = Row(y);
  }
  compare(above, nothing.data(), extent_.bottom);
  return changes;
}

void Bitmap::AppendRuns(const Window& window, std::vector<int32_t>* runs) const {
  int64_t last = 0, end = -1;  // where the run begins that is not written yet, and where ones ended
  const auto write = [&](int64_t position) {
    runs->push_back(static_cast<int32_t>(position - last));
    last = position;
  };
  const std::vector<std::vector<int32_t>> changes = Changes();
  for (int64_t x = 0; x < extent_.width(); ++x) {
    const int64_t begin = (extent_.left + x) * window.height;
    for (size_t i = 0; i < changes[x].size(); i += 2) {  // ones begin, ones end
      const int64_t first = begin + changes[x][i];
      if (first != end) {
        if (end >= 0) write(end);
        write(first);
      }
      end = begin + changes[x][i + 1];
    }
  }
  if (end >= 0 && end < window.height * window.width) write(end);
  write(window.height * window.width);
}

}  // namespace awsdet
