// The pixels of one object's mask, as far as they lie in a window.
#ifndef AWSDET_KERNELS_BITMAP_H_
#define AWSDET_KERNELS_BITMAP_H_

#include <cstdint>
#include <vector>

namespace awsdet {

// Height and width of a window, px.
struct Window {
  int64_t height, width;
};

// Rows [top, bottom) and columns [left, right) of a window; nothing if one of them is empty.
struct Extent {
  int64_t top = 0, bottom = 0, left = 0, right = 0;

  int64_t height() const { return bottom - top; }
  int64_t width() const { return right - left; }
  bool IsEmpty() const { return bottom <= top || right <= left; }
  // Makes it large enough for `other` too.
  void Add(const Extent& other);
  bool Overlaps(const Extent& other) const;
};

// The mask of one object as AwsdetAnnotations places it: polygons or run lengths, or neither.
struct PlacedMask {
  const int64_t* part_begins;  // [num_parts + 1], in `points`; the numbers of a part are x0 y0 x1 y1 …
  int64_t num_parts;
  const float* points;
  const int32_t* runs;  // column-major over the whole window, zeros first
  int64_t num_runs;

  bool exists() const { return num_parts > 0 || num_runs > 1; }
};

// A rectangle of a window that holds all pixels that are set.
class Bitmap {
 public:
  // A pixel is set if its centre lies in one of the polygons (even-odd within each; the float32 operations of
  // PolygonTargets), or in a run of ones. Runs must add up to the window.
  Bitmap(const PlacedMask& mask, const Window& window);

  const Extent& extent() const { return extent_; }
  uint8_t* Row(int64_t y) { return pixels_.data() + (y - extent_.top) * extent_.width(); }
  const uint8_t* Row(int64_t y) const { return pixels_.data() + (y - extent_.top) * extent_.width(); }

  int64_t Count() const;
  bool IsEmpty() const;
  // The smallest extent that holds the pixels that are set; empty if none is.
  Extent Tight() const;
  // Appends COCO's run lengths of a window of this size, which holds the extent.
  void AppendRuns(const Window& window, std::vector<int32_t>* runs) const;

 private:
  void AddPart(const float* points, int64_t count);
  void AddRuns(const int32_t* runs, int64_t count, int64_t height);
  // Of each column of the extent, the rows that begin a run of ones, or of zeros after it, in turns.
  std::vector<std::vector<int32_t>> Changes() const;

  Extent extent_;
  std::vector<uint8_t> pixels_;  // 0 or 1, row by row
};

// Where pixels of a mask may be set, without looking at each: all of them lie within.
Extent Reach(const PlacedMask& mask, const Window& window);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_BITMAP_H_
