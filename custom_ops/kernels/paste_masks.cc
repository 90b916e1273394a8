#include "kernels/paste_masks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

// Writes COCO's compressed run-length code. From the fourth on, a length is replaced by its difference to the length
// two before. The number is signed and written in groups of five bits, the lowest first. A sixth bit says whether more
// groups follow. Each group becomes one character: '0' plus its six bits.
class RunWriter {
 public:
  void Clear() { written_ = last_ = runs_ = 0; }

  // Makes room; must be called before so many changes.
  void Reserve(int64_t changes) {
    const size_t needed = written_ + changes * kMostCharacters;
    if (text_.size() < needed) text_.resize(std::max(needed, 2 * text_.size()));
  }

  // At this position the pixels change from zeros to ones or back. Positions must not decrease.
  void Change(int64_t position) {
    const int64_t length = position - last_;
    last_ = position;
    int64_t& before = lengths_[runs_ % 2];
    Write(runs_ > 2 ? length - before : length);
    before = length;
    ++runs_;
  }

  std::string_view Finish(int64_t total) {
    Reserve(1);
    if (runs_ == 0 || last_ < total) Change(total);
    return {text_.data(), written_};
  }

 private:
  static constexpr int kMostCharacters = 13;  // an int64 in groups of five bits

  void Write(int64_t value) {
    while (value < -16 || value > 15) {
      text_[written_++] = static_cast<char>('0' + ((value & 0x1f) | 0x20));
      value >>= 5;
    }
    text_[written_++] = static_cast<char>('0' + (value & 0x1f));
  }

  std::vector<char> text_;
  size_t written_ = 0;
  int64_t last_ = 0, runs_ = 0;
  int64_t lengths_[2] = {0, 0};
};

// One axis of a mask of `side` pixels that fills [low, high] of the image: where the centres of image pixels fall on
// it.
class MaskAxis {
 public:
  MaskAxis(float low, float high, int64_t side) : low_(low), extent_(high - low), side_(static_cast<float>(side)) {}

  float operator()(int64_t pixel) const {
    return (static_cast<float>(pixel) + 0.5f - low_) / extent_ * side_ - 0.5f;
  }

  // The image pixels [first, end) that see any of the mask: their coordinates are within (-1, side).
  std::pair<int64_t, int64_t> Touched(int64_t length) const {
    if (!(extent_ > 0 && std::isfinite(extent_))) return {0, 0};
    const int64_t first = FirstWhere(0, length, [](float at) { return at > -1; });
    return {first, FirstWhere(first, length, [this](float at) { return at >= side_; })};
  }

 private:
  // Coordinates do not decrease from one pixel to the next, even after rounding.
  template <typename Condition>
  int64_t FirstWhere(int64_t low, int64_t high, Condition condition) const {
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (condition((*this)(middle))) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  float low_, extent_, side_;
};

// The number of rows is a multiple of this, so that no loop has a rest that is done one by one. `rows -= rows %
// kVector` tells the compiler so.
constexpr int64_t kVector = 64;

// line[r] = the mask column, interpolated between its rows lower[r] and lower[r] + 1.
AWSDET_VECTOR_CLONES
void Interpolate(const float* column, const int32_t* lower, const float* weight, int64_t rows, float* __restrict line) {
  rows -= rows % kVector;
  for (int64_t r = 0; r < rows; ++r) {
    line[r] = column[lower[r]] * (1.0f - weight[r]) + column[lower[r] + 1] * weight[r];
  }
}

// inside[r] = whether the value interpolated between two lines reaches the threshold.
AWSDET_VECTOR_CLONES
void Threshold(const float* left, const float* right, float weight, float threshold, int64_t rows,
               uint8_t* __restrict inside) {
  const float other = 1.0f - weight;
  rows -= rows % kVector;
  for (int64_t r = 0; r < rows; ++r) inside[r] = left[r] * other + right[r] * weight >= threshold;
}

// Pastes one mask after another with the same memory.
class Paster {
 public:
  Paster(int64_t mask_rows, int64_t mask_columns, float threshold)
      : mask_rows_(mask_rows),
        mask_columns_(mask_columns),
        threshold_(threshold),
        mask_((mask_rows + 2) * (mask_columns + 2)) {}

  std::string_view Paste(const float* mask, const float* box, int64_t height, int64_t width) {
    writer_.Clear();
    const MaskAxis x(box[0], box[2], mask_columns_), y(box[1], box[3], mask_rows_);
    const auto [top, bottom] = y.Touched(height);
    const auto [left, right] = x.Touched(width);
    if (top < bottom && left < right) {
      TakeMask(mask);
      TakeRows(y, top, bottom - top);
      inside_[0] = 0;
      for (int64_t column = left; column < right; ++column) {
        FillColumn(x(column));
        writer_.Reserve(bottom - top + 1);
        WriteColumn(column * height + top, bottom - top);
        // The pixel after this column's last one is outside of the window, so the run ends here.
        if (bottom - top < height || column + 1 == right) EndColumn(column * height + bottom);
      }
    }
    return writer_.Finish(height * width);
  }

 private:
  // Copies the mask column by column, with a frame of zeros.
  void TakeMask(const float* mask) {
    for (int64_t j = 0; j < mask_columns_; ++j) {
      float* column = mask_.data() + (j + 1) * (mask_rows_ + 2) + 1;
      for (int64_t i = 0; i < mask_rows_; ++i) column[i] = mask[i * mask_columns_ + j];
    }
  }

  void TakeRows(const MaskAxis& y, int64_t top, int64_t rows) {
    rows_ = (rows + kVector - 1) / kVector * kVector;
    if (static_cast<int64_t>(lower_.size()) < rows_) {
      lower_.resize(rows_);
      weight_.resize(rows_);
      lines_[0].resize(rows_);
      lines_[1].resize(rows_);
      inside_.resize(rows_ + 1);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const float at = y(top + r), floor = std::floor(at);
      lower_[r] = static_cast<int32_t>(floor) + 1;
      weight_[r] = at - floor;
    }
    std::fill(lower_.begin() + rows, lower_.begin() + rows_, 0);
    std::fill(weight_.begin() + rows, weight_.begin() + rows_, 0.0f);
    line_index_[0] = line_index_[1] = -1;
  }

  // Computes inside_ from 1 on for the image column that is at `at` on the mask's axis.
  void FillColumn(float at) {
    const float floor = std::floor(at);
    const int64_t lower = static_cast<int64_t>(floor) + 1;
    const float* left = Line(lower);
    Threshold(left, Line(lower + 1), at - floor, threshold_, rows_, inside_.data() + 1);
  }

  // The mask's column `index`, interpolated at the image's rows. Image columns go from left to right, so two are kept.
  const float* Line(int64_t index) {
    const int slot = index % 2;
    if (line_index_[slot] != index) {
      line_index_[slot] = index;
      Interpolate(mask_.data() + index * (mask_rows_ + 2), lower_.data(), weight_.data(), rows_, lines_[slot].data());
    }
    return lines_[slot].data();
  }

  // Writes the changes within the column, whose first pixel is at `begin`, and the one from inside_[0], the pixel
  // before.
  void WriteColumn(int64_t begin, int64_t rows) {
    const uint8_t* inside = inside_.data() + 1;
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) {
      uint64_t here, before;
      std::memcpy(&here, inside + r, 8);
      std::memcpy(&before, inside + r - 1, 8);
      // The bytes are 0 or 1, so each change is one bit. The machine is little-endian, so the lowest byte is first.
      for (uint64_t changes = here ^ before; changes; changes &= changes - 1) {
        writer_.Change(begin + r + __builtin_ctzll(changes) / 8);
      }
    }
    for (; r < rows; ++r) {
      if (inside[r] != inside[r - 1]) writer_.Change(begin + r);
    }
    inside_[0] = inside[rows - 1];
  }

  void EndColumn(int64_t position) {
    if (inside_[0]) writer_.Change(position);
    inside_[0] = 0;
  }

  int64_t mask_rows_, mask_columns_;
  float threshold_;
  RunWriter writer_;
  std::vector<float> mask_;
  int64_t rows_ = 0;              // rows of the window, rounded up to whole vectors
  std::vector<int32_t> lower_;    // [rows] row of the framed mask above the centre of each image row
  std::vector<float> weight_;     // [rows] weight of the mask row below
  std::vector<float> lines_[2];   // [rows] mask columns, interpolated at the image's rows
  int64_t line_index_[2];
  std::vector<uint8_t> inside_;   // [1 + rows] the pixel before the column, then the column
};

}  // namespace

void PasteMasks(const BoxMasks& masks, int64_t num_masks, float threshold,
                const std::function<void(int64_t, std::string_view)>& store, const ParallelFor& parallel_for) {
  const int64_t pixels = masks.rows * masks.columns;
  const int64_t cost = 10000 + 2 * pixels;  // for a box of about 100 x 100 pixels
  parallel_for(num_masks, cost, [&](int64_t begin, int64_t end) {
    Paster paster(masks.rows, masks.columns, threshold);
    for (int64_t n = begin; n < end; ++n) {
      const int32_t* size = masks.image_size + 2 * n;
      store(n, paster.Paste(masks.probabilities + n * pixels, masks.boxes + 4 * n, size[0], size[1]));
    }
  });
}

}  // namespace awsdet
