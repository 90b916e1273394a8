#include "kernels/cell_windows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/aligned.h"
#include "kernels/vector_clones.h"
#include "kernels/weighted_sum.h"

namespace awsdet {
namespace {

// The cells of a level of one image.
int64_t CellsOf(const CellGrid& grid, int level) {
  return static_cast<int64_t>(grid.height[level]) * grid.width[level];
}

// The part of a window that lies within its level: `rows` x `columns`, each from first to last of -1, 0, 1.
struct Inside {
  int64_t first_row, last_row, first_column, last_column;
};

Inside InsideOf(const CellGrid& grid, const Cell& cell) {
  return {cell.row > 0 ? -1 : 0, cell.row + 1 < grid.height[cell.level] ? 1 : 0, cell.column > 0 ? -1 : 0,
          cell.column + 1 < grid.width[cell.level] ? 1 : 0};
}

// A cell of one window, for sorting: cells that coincide follow each other, in the order of the samples.
struct Entry {
  int32_t level;
  int64_t cell;    // of its level, numbered through all images
  int64_t source;  // of all windows' cells
};

bool operator<(const Entry& a, const Entry& b) {
  if (a.level != b.level) return a.level < b.level;
  return a.cell != b.cell ? a.cell < b.cell : a.source < b.source;
}

bool Coincide(const Entry& a, const Entry& b) { return a.level == b.level && a.cell == b.cell; }

// Appends the cells of an image's windows, sorted.
void AppendEntries(const SampledAnchors& anchors, int64_t image, std::vector<Entry>* entries) {
  const int64_t begin = image * anchors.samples;
  for (int64_t sample = begin; sample < begin + anchors.samples; ++sample) {
    const Cell cell = CellOfAnchor(anchors.grid, anchors.index[sample]);
    const Inside inside = InsideOf(anchors.grid, cell);
    const int64_t first = image * CellsOf(anchors.grid, cell.level), width = anchors.grid.width[cell.level];
    for (int64_t dy = inside.first_row; dy <= inside.last_row; ++dy) {
      for (int64_t dx = inside.first_column; dx <= inside.last_column; ++dx) {
        entries->push_back({cell.level, first + (cell.row + dy) * width + cell.column + dx,
                            sample * kWindowCells + (dy + 1) * 3 + dx + 1});
      }
    }
  }
  std::sort(entries->begin(), entries->end());
}

template <typename T>
__attribute__((always_inline)) inline void AddAll(const T* values, int64_t count, float* sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += ToFloat(values[i]);
}
AWSDET_VECTOR_CLONES void Add(const float* values, int64_t count, float* sums) { AddAll(values, count, sums); }
AWSDET_VECTOR_CLONES void Add(const Half* values, int64_t count, float* sums) { AddAll(values, count, sums); }
AWSDET_VECTOR_CLONES void Add(const Bfloat16* values, int64_t count, float* sums) { AddAll(values, count, sums); }

// Writes the sums of one image's windows into the cells that they cover. `entries` is sorted.
template <typename T>
void WriteSums(const std::vector<Entry>& entries, const T* gradient, const std::vector<T*>& pyramid, int64_t channels) {
  AlignedFloats sums(channels);
  for (auto entry = entries.begin(); entry != entries.end();) {
    T* result = pyramid[entry->level] + entry->cell * channels;
    const auto next = std::find_if_not(entry + 1, entries.end(), [&](const Entry& e) { return Coincide(*entry, e); });
    const T* values = gradient + entry->source * channels;
    if (next == entry + 1) {
      std::memcpy(result, values, channels * sizeof(T));
    } else {
      for (int64_t c = 0; c < channels; ++c) sums[c] = ToFloat(values[c]);
      for (auto other = entry + 1; other != next; ++other) {
        Add(gradient + other->source * channels, channels, sums.data());
      }
      Store(sums.data(), channels, false, result);
    }
    entry = next;
  }
}

}  // namespace

void CellWindows(const std::vector<const void*>& pyramid, int64_t cell_bytes, const SampledAnchors& anchors,
                 const ParallelFor& parallel, void* windows, bool* chosen) {
  const CellGrid& grid = anchors.grid;
  // A cell lies in memory that nobody has read lately.
  parallel(anchors.images * anchors.samples, 200 + kWindowCells * cell_bytes / 2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Cell cell = CellOfAnchor(grid, anchors.index[i]);
      const Inside inside = InsideOf(grid, cell);
      const int64_t image = i / anchors.samples, width = grid.width[cell.level];
      const auto* map = static_cast<const char*>(pyramid[cell.level]) +
                        (image * CellsOf(grid, cell.level) + cell.row * width + cell.column) * cell_bytes;
      char* window = static_cast<char*>(windows) + i * kWindowCells * cell_bytes;
      const bool whole = inside.last_row - inside.first_row == 2 && inside.last_column - inside.first_column == 2;
      if (!whole) std::memset(window, 0, kWindowCells * cell_bytes);
      for (int64_t dy = inside.first_row; dy <= inside.last_row; ++dy) {
        std::memcpy(window + ((dy + 1) * 3 + inside.first_column + 1) * cell_bytes,
                    map + (dy * width + inside.first_column) * cell_bytes,
                    (inside.last_column - inside.first_column + 1) * cell_bytes);
      }
      for (int64_t a = 0; a < grid.anchors_per_cell; ++a) {
        chosen[i * grid.anchors_per_cell + a] = a == anchors.index[i] % grid.anchors_per_cell;
      }
    }
  });
}

template <typename T>
void CellWindowsGrad(const T* windows_gradient, const std::vector<T*>& pyramid, int64_t channels,
                     const SampledAnchors& anchors, const ParallelFor& parallel) {
  const CellGrid& grid = anchors.grid;
  int64_t bytes = 0;
  for (int level = 0; level < grid.levels; ++level) bytes += CellsOf(grid, level) * channels * sizeof(T);
  const bool stream = ShouldStream(anchors.images * bytes);
  // Zeros first: the windows cover few of the cells. In parts that divide the work evenly.
  constexpr int64_t kPart = 1 << 18;
  for (int level = 0; level < grid.levels; ++level) {
    const int64_t size = anchors.images * CellsOf(grid, level) * channels * sizeof(T);
    char* map = reinterpret_cast<char*>(pyramid[level]);
    parallel((size + kPart - 1) / kPart, kPart / 16, [&](int64_t begin, int64_t end) {
      StoreZeros(std::min(end * kPart, size) - begin * kPart, stream, map + begin * kPart);
      FinishStreaming();
    });
  }
  if (channels == 0) return;
  const int64_t cost = anchors.samples * kWindowCells * (200 + channels / 2);
  parallel(anchors.images, cost, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      std::vector<Entry> entries;
      AppendEntries(anchors, image, &entries);
      WriteSums(entries, windows_gradient, pyramid, channels);
    }
  });
}

#define AWSDET_INSTANTIATE(T)                                                                              \
  template void CellWindowsGrad(const T*, const std::vector<T*>&, int64_t, const SampledAnchors&,          \
                                const ParallelFor&);
AWSDET_INSTANTIATE(float)
AWSDET_INSTANTIATE(Half)
AWSDET_INSTANTIATE(Bfloat16)
#undef AWSDET_INSTANTIATE

}  // namespace awsdet
