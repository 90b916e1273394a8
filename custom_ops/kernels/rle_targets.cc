#include "kernels/rle_targets.h"

#include <algorithm>
#include <vector>

#include "kernels/roi_align_samples.h"
#include "kernels/vector_clones.h"

namespace awsdet {
namespace {

// RoIAlign is separable: bin (p, q) is the sum over rows y and columns x of wy[p][y] * wx[q][x] * bitmap[y][x]. An axis
// holds the pixels that its samples read and their weights: wy for the rows, wx for the columns.
struct Axis {
  std::vector<int64_t> pixels;   // pixels that any sample reads, ascending
  std::vector<int64_t> first;    // [size] the pixels of a bin are pixels[first] to pixels[last - 1]
  std::vector<int64_t> last;     // [size]
  std::vector<int64_t> offset;   // [size] where the weights of a bin begin
  std::vector<double> weights;   // weights of the pixels of each bin, bin after bin

  void Build(float low, float high, int64_t extent, int64_t size);
  double Weight(int64_t bin, int64_t pixel) const { return weights[offset[bin] + pixel - first[bin]]; }
  int64_t count() const { return static_cast<int64_t>(pixels.size()); }

  // Returns how many of `pixels` are below `pixel`.
  int64_t Below(int64_t pixel) const {
    if (pixels.back() - pixels.front() + 1 == count()) {  // there are no gaps, except in huge RoIs
      return std::clamp<int64_t>(pixel - pixels.front(), 0, count());
    }
    return std::lower_bound(pixels.begin(), pixels.end(), pixel) - pixels.begin();
  }

 private:
  void AddSample(const BilinearSample& sample, int64_t bin);
  void AddWeight(int64_t index, int64_t bin, double weight);
};

void Axis::Build(float low, float high, int64_t extent, int64_t size) {
  pixels.clear();
  weights.clear();
  first.resize(size);
  last.resize(size);
  offset.resize(size);
  const SampleAxis axis =
      MakeSampleAxis(low, high, 1.0f, static_cast<int32_t>(extent), static_cast<int>(size), 0, true);
  for (int64_t bin = 0; bin < size; ++bin) {
    first[bin] = last[bin] = count();
    offset[bin] = static_cast<int64_t>(weights.size());
    for (int i = 0; i < axis.samples; ++i) {
      BilinearSample sample;
      if (MakeBilinearSample(axis, static_cast<int>(bin), i, &sample)) AddSample(sample, bin);
    }
    for (size_t i = offset[bin]; i < weights.size(); ++i) weights[i] /= axis.samples;
  }
}

// Positions do not decrease from one sample to the next, so a pixel is one of the last two or a new one.
void Axis::AddSample(const BilinearSample& sample, int64_t bin) {
  const auto [pixel, fraction] = sample;
  int64_t index = count();
  while (index > 0 && pixels[index - 1] >= pixel) --index;
  if (index == count()) pixels.push_back(pixel);
  AddWeight(index, bin, 1 - fraction);
  if (fraction > 0) {
    if (index + 1 == count()) pixels.push_back(pixel + 1);
    AddWeight(index + 1, bin, fraction);
  }
}

void Axis::AddWeight(int64_t index, int64_t bin, double weight) {
  if (last[bin] == first[bin]) first[bin] = last[bin] = index;
  if (index == last[bin]) {
    weights.push_back(0);
    ++last[bin];
  }
  weights[offset[bin] + index - first[bin]] += weight;
}

AWSDET_VECTOR_CLONES
void AddDifference(const double* high, const double* low, int64_t count, double* sum) {
  for (int64_t i = 0; i < count; ++i) sum[i] += high[i] - low[i];
}

AWSDET_VECTOR_CLONES
void AddScaled(const double* values, double factor, int64_t count, double* sum) {
  for (int64_t i = 0; i < count; ++i) sum[i] += values[i] * factor;
}

// Computes one RoI after another with the same memory.
class RoiAligner {
 public:
  explicit RoiAligner(int64_t size) : size_(size), column_(size), sums_(size * size) {}

  // ends, num_runs: the runs of the object, which must have at least one pixel.
  void Align(const int64_t* ends, int64_t num_runs, int64_t height, int64_t width, const float* roi, float* target) {
    rows_.Build(roi[1], roi[3], height, size_);
    columns_.Build(roi[0], roi[2], width, size_);
    std::fill(sums_.begin(), sums_.end(), 0);
    if (rows_.count() && columns_.count()) {
      SumRowWeights();
      AddColumns(ends, num_runs, height);
    }
    for (int64_t p = 0; p < size_; ++p) {
      for (int64_t q = 0; q < size_; ++q) {
        // As float, so that 0.5 is recognised even if the sum differs from it in its last bits.
        target[p * size_ + q] = static_cast<float>(sums_[q * size_ + p]) >= 0.5f ? 1.0f : 0.0f;
      }
    }
  }

 private:
  // below_[k * size + p]: the weight of the first k rows in row bin p. So the weight of a run of rows is one
  // subtraction.
  void SumRowWeights() {
    below_.assign((rows_.count() + 1) * size_, 0);
    for (int64_t p = 0; p < size_; ++p) {
      for (int64_t k = rows_.first[p]; k < rows_.last[p]; ++k) below_[(k + 1) * size_ + p] = rows_.Weight(p, k);
    }
    for (int64_t i = size_; i < static_cast<int64_t>(below_.size()); ++i) below_[i] += below_[i - size_];
  }

  void AddColumns(const int64_t* ends, int64_t num_runs, int64_t height) {
    int64_t run = 0, bin = 0;
    for (int64_t j = 0; j < columns_.count(); ++j) {
      const int64_t begin = columns_.pixels[j] * height;
      const bool next = j > 0 && columns_.pixels[j] == columns_.pixels[j - 1] + 1;
      if (!next) run = std::upper_bound(ends + run, ends + num_runs, begin) - ends;
      if (!SumColumn(ends, begin, height, &run)) continue;
      while (columns_.last[bin] <= j) ++bin;
      for (int64_t q = bin; q < size_ && columns_.first[q] <= j; ++q) {
        AddScaled(column_.data(), columns_.Weight(q, j), size_, sums_.data() + q * size_);
      }
    }
  }

  // Sums the row weights of the column's ones in column_. Returns false if the column has no ones. *run: on entry a run
  // that ends after the column's begin, or the last one before; on return the run that contains the column's end.
  bool SumColumn(const int64_t* ends, int64_t begin, int64_t height, int64_t* run) {
    bool any = false;
    for (int64_t position = begin, end = begin + height; position < end;) {
      while (ends[*run] <= position) ++*run;
      const int64_t stop = std::min(ends[*run], end);
      if (*run % 2) {
        const int64_t low = rows_.Below(position - begin), high = rows_.Below(stop - begin);
        if (low < high) {
          if (!any) std::fill(column_.begin(), column_.end(), 0);
          any = true;
          AddDifference(below_.data() + high * size_, below_.data() + low * size_, size_, column_.data());
        }
      }
      position = stop;
    }
    return any;
  }

  int64_t size_;
  Axis rows_, columns_;
  std::vector<double> below_;   // [rows + 1, size]
  std::vector<double> column_;  // [size] row bins of one column of the bitmap
  std::vector<double> sums_;    // [size, size] bins; the column bin is the first index
};

}  // namespace

bool RunEnds(const int32_t* runs, const int64_t* splits, int64_t num_objects, int64_t* run_ends) {
  int32_t lowest = 0;
  for (int64_t n = 0; n < num_objects; ++n) {
    int64_t sum = 0;
    for (int64_t i = splits[n]; i < splits[n + 1]; ++i) {
      lowest = std::min(lowest, runs[i]);
      run_ends[i] = sum += runs[i];
    }
  }
  return lowest == 0;
}

void RleTargets(const RunLengthCodes& codes, const int32_t* object_index, const float* rois, int64_t num_rois,
                int64_t size, float* targets, const ParallelFor& parallel_for) {
  const int64_t pixels = size * size;
  const int64_t cost = 10 * pixels + 100 * size;
  parallel_for(num_rois, cost, [&](int64_t begin, int64_t end) {
    RoiAligner aligner(size);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t object = object_index[r];
      const int64_t from = codes.splits[object], to = codes.splits[object + 1];
      const int64_t height = codes.image_size[2 * object], width = codes.image_size[2 * object + 1];
      float* target = targets + r * pixels;
      if (from == to || height == 0 || width == 0) {
        std::fill(target, target + pixels, 0.0f);
      } else {
        aligner.Align(codes.run_ends + from, to - from, height, width, rois + 4 * r, target);
      }
    }
  });
}

}  // namespace awsdet
