#include "kernels/nms_grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kManyLanes = 64;
constexpr double kMostCells = 64;  // per axis
constexpr float kWidestReach = 2.0f;  // with a wider reach there is little to skip
constexpr float kSlack = 1e-4f;       // far more than the relative rounding error of an IoU, if:
constexpr float kLargest = 1e15f;     // coordinates are at most that, so that areas do not overflow,
constexpr float kSmallestArea = 1e-25f;  // and areas at least that, so that they keep all digits

float Centre(float low, float high) { return 0.5f * (low + high); }

struct Probe {
  Box box;
  float area;
  float threshold;
  float surely_below;  // an IoU that is less than this is not above the threshold, even after rounding
};

struct Lanes {
  const float *x1, *y1, *x2, *y2, *area;

  Box At(int64_t i) const { return {x1[i], y1[i], x2[i], y2[i]}; }
};

// The reference divides in float32 and compares. Here a product with a slightly smaller threshold decides nearly every
// pair without a division. If it cannot decide a pair, all pairs are divided, so that the answer is exactly that of
// Iou() (0 / 0 is not above any threshold).
template <int64_t size>
inline bool AnyAbove(const Probe& probe, const Lanes& lanes, int64_t begin) {
  int32_t close = 0;
  for (int64_t i = begin; i < begin + size; ++i) {
    const float common = CommonArea(probe.box, lanes.At(i));
    close |= common >= probe.surely_below * (probe.area + lanes.area[i] - common) ? 1 : 0;
  }
  if (!close) return false;
  int32_t above = 0;
  for (int64_t i = begin; i < begin + size; ++i) {
    const float common = CommonArea(probe.box, lanes.At(i));
    above |= common / (probe.area + lanes.area[i] - common) > probe.threshold ? 1 : 0;
  }
  return above;
}

// Looks at the cells [first, last] of some rows. The cells of the first row are at `begin` and `filled`, those of each
// next row `columns` later. Lanes between the cells are looked at too: they hold boxes of the same class, or no box.
AWSDET_VECTOR_CLONES
bool AnyAboveInRows(const Probe& probe, const Lanes& lanes, const int32_t* begin, const int32_t* filled, int32_t rows,
                    int32_t columns) {
  for (int32_t row = 0; row < rows; ++row, begin += columns, filled += columns) {
    int64_t i = *begin;
    const int64_t end = *filled;
    for (; i + kLanes < end; i += kManyLanes) {
      if (AnyAbove<kManyLanes>(probe, lanes, i)) return true;
    }
    if (i < end && AnyAbove<kLanes>(probe, lanes, i)) return true;
  }
  return false;
}

}  // namespace

int32_t KeptGrid::Axis::Cell(float at) const {
  return static_cast<int32_t>(std::min(std::max(0.0f, (at - first) * cells_per_pixel), cells - 1.0f));
}

KeptGrid::Axis KeptGrid::Divide(const std::vector<Box>& boxes, float Box::*low, float Box::*high, float reach) {
  float first = std::numeric_limits<float>::max(), last = -first, largest = 0.0f;
  double total = 0.0;
  for (const Box& box : boxes) {
    const float centre = Centre(box.*low, box.*high);
    first = std::min(first, centre);
    last = std::max(last, centre);
    largest = std::max({largest, std::abs(box.*low), std::abs(box.*high)});
    total += std::max(box.*high - box.*low, 0.0f);
  }
  // Not more cells than boxes: for a few boxes that are far apart, many cells would cost more than they save.
  const double most = std::min(kMostCells, std::sqrt(static_cast<double>(boxes.size())));
  // A cell is as long as a usual box reaches to both sides, so that most boxes look into one or two cells.
  const double length = std::max(total / boxes.size() * 2 * reach, (static_cast<double>(last) - first) / most);
  Axis axis;
  if (!(reach <= kWidestReach && largest <= kLargest && last > first && length > 0)) return axis;
  axis.first = first;
  axis.cells_per_pixel = static_cast<float>(1.0 / length);
  axis.cells = std::max(1, static_cast<int32_t>(std::min((last - first) / length + 1, most)));
  return axis;
}

int32_t KeptGrid::CellOf(const Box& box) const {
  return rows_.Cell(Centre(box.y1, box.y2)) * columns_.cells + columns_.Cell(Centre(box.x1, box.x2));
}

void KeptGrid::Reset(const std::vector<Box>& boxes, float iou_threshold, bool spread) {
  iou_threshold_ = iou_threshold;
  const float at_least = iou_threshold * (1.0f - kSlack);
  reach_ = (1.0f - at_least) / (2.0f * at_least);  // infinite if the threshold is 0
  columns_ = spread ? Divide(boxes, &Box::x1, &Box::x2, reach_) : Axis();
  rows_ = spread ? Divide(boxes, &Box::y1, &Box::y2, reach_) : Axis();
  begin_.assign(columns_.cells * rows_.cells + 1, 0);
  for (const Box& box : boxes) ++begin_[CellOf(box) + 1];
  for (size_t cell = 1; cell < begin_.size(); ++cell) begin_[cell] += begin_[cell - 1];
  filled_.assign(begin_.begin(), begin_.end() - 1);
  // Lanes without a box hold an inverted box, which overlaps nothing.
  stride_ = boxes.size() + kManyLanes;
  lanes_.assign(5 * stride_, 0.0f);
  std::fill_n(lanes_.begin(), 2 * stride_, std::numeric_limits<float>::max());
  std::fill_n(lanes_.begin() + 2 * stride_, 2 * stride_, std::numeric_limits<float>::lowest());
}

void KeptGrid::Insert(const Box& box) {
  float* lane = lanes_.data() + filled_[CellOf(box)]++;
  for (const float value : {box.x1, box.y1, box.x2, box.y2, Area(box)}) {
    *lane = value;
    lane += stride_;
  }
}

bool KeptGrid::Suppresses(const Box& box) const {
  const float width = box.x2 - box.x1, height = box.y2 - box.y1;
  const Probe probe{box, width * height, iou_threshold_, iou_threshold_ * (1.0f - 1e-5f)};
  const float* data = lanes_.data();
  const Lanes lanes{data, data + stride_, data + 2 * stride_, data + 3 * stride_, data + 4 * stride_};
  int32_t left = 0, right = columns_.cells - 1, top = 0, bottom = rows_.cells - 1;
  const bool divided = begin_.size() > 2;  // there is more than one cell
  if (divided && probe.area > kSmallestArea && width > 0.0f) {
    const float x = Centre(box.x1, box.x2), y = Centre(box.y1, box.y2);
    const float dx = reach_ * width, dy = reach_ * height;
    // Bounds of the rounding errors of the centres and of the sums below.
    const float rounding_x = 1e-6f * (std::abs(x) + dx + width), rounding_y = 1e-6f * (std::abs(y) + dy + height);
    left = columns_.Cell(x - dx - rounding_x);
    right = columns_.Cell(x + dx + rounding_x);
    top = rows_.Cell(y - dy - rounding_y);
    bottom = rows_.Cell(y + dy + rounding_y);
  }
  const int32_t first = top * columns_.cells;
  return AnyAboveInRows(probe, lanes, begin_.data() + first + left, filled_.data() + first + right, bottom - top + 1,
                        columns_.cells);
}

}  // namespace awsdet
