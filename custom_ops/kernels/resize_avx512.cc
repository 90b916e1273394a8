#include "kernels/resize_avx512.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

#include <algorithm>

#include "kernels/aligned.h"

// GCC 12 takes the vectors that the intrinsics leave undefined for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#define AWSDET_VBMI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,fma")))

namespace awsdet {
namespace {

constexpr int64_t kNumbers = 16;  // floats in a vector
constexpr int64_t kBytes = 64;    // bytes in a vector

// 16 numbers of a line: where they lie in the 64 bytes from `first` on.
struct alignas(kBytes) Group {
  float weights[kNumbers];
  uint8_t lower[kNumbers];
  uint64_t there;    // which of the 64 bytes belong to the row
  uint64_t numbers;  // a bit for the lowest byte of each number that is no padding; padding becomes zeros
  int64_t first;
};

bool HasInstructions() {
  static const bool has = __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
  return has;
}

using Groups = std::vector<Group, CacheLineAllocator<Group>>;

uint64_t LowBits(int64_t count) { return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1; }

// Of a row and its padding. Empty if one reads from more than 64 bytes.
Groups GroupsOf(const std::vector<Sample>& columns, int64_t old_width, int64_t canvas_width) {
  const int64_t numbers = static_cast<int64_t>(columns.size()) * kChannels;
  Groups groups((canvas_width * kChannels + kNumbers - 1) / kNumbers, Group());
  for (int64_t begin = 0; begin < numbers; begin += kNumbers) {
    const int64_t end = std::min(begin + kNumbers, numbers);
    const Sample &one = columns[begin / kChannels], &other = columns[(end - 1) / kChannels];
    const int64_t first = std::min({one.lower, one.upper, other.lower, other.upper});
    const int64_t last = std::max({one.lower, one.upper, other.lower, other.upper});
    if ((last + 1 - first) * kChannels > kBytes) return {};
    Group& group = groups[begin / kNumbers];
    group.first = first * kChannels;
    group.there = LowBits(old_width * kChannels - group.first);
    for (int64_t i = begin; i < end; ++i) {
      const Sample& sample = columns[i / kChannels];
      group.numbers |= uint64_t{1} << 4 * (i - begin);
      group.lower[i - begin] = static_cast<uint8_t>((sample.lower - first) * kChannels + i % kChannels);
      // Where both are one pixel it counts alone, whatever is read as the upper one.
      group.weights[i - begin] = sample.lower == sample.upper ? 0.0f : sample.weight;
    }
  }
  return groups;
}

// line = the row of the source at the groups' places; from a lower neighbour to its upper it is `step` bytes, to the
// next row `next`.
AWSDET_VBMI
void Interpolate(const uint8_t* row, const Groups& groups, int step, int64_t next, float* line) {
  const __m512i steps = _mm512_set1_epi32(step);
  for (const Group& group : groups) {
    // The image is seldom in a cache near by: it was decoded some images ago, or by another thread. After the last row
    // nothing is read: a prefetch beyond memory does nothing.
    _mm_prefetch(reinterpret_cast<const char*>(row) + group.first + next, _MM_HINT_T0);
    const __m512i window = _mm512_maskz_loadu_epi8(group.there, row + group.first);
    const __m512i at = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(group.lower)));
    const __m512i lower = _mm512_maskz_permutexvar_epi8(group.numbers, at, window);
    const __m512i upper = _mm512_maskz_permutexvar_epi8(group.numbers, _mm512_add_epi32(at, steps), window);
    const __m512 difference = _mm512_cvtepi32_ps(_mm512_sub_epi32(upper, lower));
    const __m512 product = _mm512_mul_ps(difference, _mm512_load_ps(group.weights));
    _mm512_store_ps(line, _mm512_add_ps(_mm512_cvtepi32_ps(lower), product));
    line += kNumbers;
  }
}

// 64 numbers of two lines, as the lower ones and what leads from them to the upper ones.
struct Block {
  __m512 lower[4], difference[4];
};

AWSDET_VBMI
inline Block Load(const float* lower, const float* upper) {
  Block block;
  for (int i = 0; i < 4; ++i) {
    block.lower[i] = _mm512_load_ps(lower + kNumbers * i);
    block.difference[i] = _mm512_sub_ps(_mm512_load_ps(upper + kNumbers * i), block.lower[i]);
  }
  return block;
}

// The block's 64 values between its lines, rounded.
AWSDET_VBMI
inline __m512i Blend(const Block& block, float weight) {
  const __m512 weights = _mm512_set1_ps(weight);
  __m512i rounded[4];
  for (int i = 0; i < 4; ++i) {
    const __m512 value = _mm512_add_ps(block.lower[i], _mm512_mul_ps(block.difference[i], weights));
    // value + 0.5, by the units that multiply: the others have more to do.
    rounded[i] = _mm512_cvttps_epi32(_mm512_fmadd_ps(value, _mm512_set1_ps(1.0f), _mm512_set1_ps(0.5f)));
  }
  const __m512i packed = _mm512_packus_epi16(_mm512_packus_epi32(rounded[0], rounded[1]),
                                             _mm512_packus_epi32(rounded[2], rounded[3]));
  // Packing works within each quarter of a vector; groups of four bytes are put in order again.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, packed);
}

// bytes [count, length] = rows that lie between two lines, rounded; the lines have room for whole blocks.
AWSDET_VBMI
void BlendRows(const float* lower, const float* upper, const Sample* rows, int64_t count, int64_t length,
               uint8_t* bytes) {
  // As in every batch whose width is a multiple of 32. Past the caches then: a batch is read long after it is written,
  // and memory need not be read before.
  const bool stream = reinterpret_cast<uintptr_t>(bytes) % 32 == 0 && length % 32 == 0;
  for (int64_t i = 0; i < length; i += kBytes) {
    const Block block = Load(lower + i, upper + i);
    const bool whole = i + kBytes <= length;
    for (int64_t y = 0; y < count; ++y) {
      const __m512i values = Blend(block, rows[y].weight);
      uint8_t* to = bytes + y * length + i;
      if (stream) {
        _mm256_stream_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(values));
        if (whole) _mm256_stream_si256(reinterpret_cast<__m256i*>(to) + 1, _mm512_extracti64x4_epi64(values, 1));
      } else {
        _mm512_mask_storeu_epi8(to, LowBits(length - i), values);
      }
    }
  }
}

}  // namespace

bool ResizeAvx512(const uint8_t* source, const Placement& placement, const Canvas& canvas,
                  const std::vector<Sample>& rows, const std::vector<Sample>& columns, uint8_t* result) {
  if (!HasInstructions()) return false;
  const Groups groups = GroupsOf(columns, placement.old_width, canvas.width);
  if (groups.empty()) return false;
  const int step = static_cast<int>(placement.flip ? -kChannels : kChannels);
  const int64_t old_length = placement.old_width * kChannels, length = canvas.width * kChannels;
  AlignedFloats lines[2];
  for (AlignedFloats& line : lines) line.resize((length + kBytes - 1) / kBytes * kBytes);
  int64_t held[2] = {-1, -1};  // rows of the source; two next to each other are never in each other's place
  const auto line = [&](int64_t row) {
    float* values = lines[row % 2].data();
    if (held[row % 2] != row) {
      held[row % 2] = row;
      Interpolate(source + row * old_length, groups, step, old_length, values);
    }
    return values;
  };
  const int64_t height = placement.window_height;
  for (int64_t y = 0, end; y < height; y = end) {
    const Sample& row = rows[y];
    for (end = y + 1; end < height && rows[end].lower == row.lower && rows[end].upper == row.upper; ++end) {
    }
    const float* lower = line(row.lower);
    BlendRows(lower, line(row.upper), &row, end - y, length, result + y * length);
  }
  _mm_sfence();
  return true;
}

}  // namespace awsdet

#else

namespace awsdet {

bool ResizeAvx512(const uint8_t*, const Placement&, const Canvas&, const std::vector<Sample>&,
                  const std::vector<Sample>&, uint8_t*) {
  return false;
}

}  // namespace awsdet

#endif
