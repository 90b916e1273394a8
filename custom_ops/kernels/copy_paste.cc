#include "kernels/copy_paste.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace awsdet {
namespace {

constexpr int64_t kChannels = 3;

// Steele, Lea and Flood 2014.
uint64_t SplitMix64(uint64_t state) {
  state += 0x9e3779b97f4a7c15u;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebu;
  return state ^ (state >> 31);
}

// The first byte of this value, else `end`.
const uint8_t* Find(const uint8_t* begin, const uint8_t* end, int value) {
  const void* found = std::memchr(begin, value, end - begin);
  return found == nullptr ? end : static_cast<const uint8_t*>(found);
}

// Which pixels of the frame the pasted objects cover.
class Cover {
 public:
  explicit Cover(const std::vector<Bitmap>& bitmaps) {
    for (const Bitmap& bitmap : bitmaps) extent_.Add(bitmap.extent());
    if (extent_.IsEmpty()) return;
    pixels_.assign(extent_.height() * extent_.width(), 0);
    for (const Bitmap& bitmap : bitmaps) {
      const Extent& part = bitmap.extent();
      for (int64_t y = part.top; y < part.bottom; ++y) {
        uint8_t* covered = Row(y) + part.left - extent_.left;
        const uint8_t* set = bitmap.Row(y);
        for (int64_t x = 0; x < part.width(); ++x) covered[x] |= set[x];
      }
    }
  }

  const Extent& extent() const { return extent_; }

  void Copy(const uint8_t* source, int64_t stride, uint8_t* result) {
    for (int64_t y = extent_.top; y < extent_.bottom; ++y) {
      const uint8_t *begin = Row(y), *end = begin + extent_.width();
      const int64_t offset = kChannels * (y * stride + extent_.left);
      for (const uint8_t* at = Find(begin, end, 1); at != end;) {
        const uint8_t* stop = Find(at, end, 0);
        const int64_t place = offset + kChannels * (at - begin);
        std::memcpy(result + place, source + place, kChannels * (stop - at));
        at = Find(stop, end, 1);
      }
    }
  }

  // Clears what is covered. Returns how many pixels were set there.
  int64_t Hide(Bitmap* bitmap) {
    const Extent& part = bitmap->extent();
    const int64_t left = std::max(part.left, extent_.left), right = std::min(part.right, extent_.right);
    int64_t hidden = 0;
    for (int64_t y = std::max(part.top, extent_.top); y < std::min(part.bottom, extent_.bottom); ++y) {
      uint8_t* set = bitmap->Row(y) + left - part.left;
      const uint8_t* covered = Row(y) + left - extent_.left;
      uint32_t in_row = 0;
      for (int64_t x = 0; x < right - left; ++x) {
        in_row += set[x] & covered[x];
        set[x] &= covered[x] ^ 1;
      }
      hidden += in_row;
    }
    return hidden;
  }

 private:
  uint8_t* Row(int64_t y) { return pixels_.data() + (y - extent_.top) * extent_.width(); }

  Extent extent_;
  std::vector<uint8_t> pixels_;
};

// The smallest window that holds two, which lie at the top left.
Window Both(const Window& one, const Window& other) {
  return {std::max(one.height, other.height), std::max(one.width, other.width)};
}

// Whether a polygon reaches out of the window to where the frame has pixels.
bool ReachesOut(const PlacedMask& mask, const Window& window, const Window& frame) {
  const bool wider = frame.width > window.width, higher = frame.height > window.height;
  if (!wider && !higher) return false;
  for (int64_t i = mask.part_begins[0]; i < mask.part_begins[mask.num_parts]; i += 2) {
    if (wider && mask.points[i] > static_cast<float>(window.width)) return true;
    if (higher && mask.points[i + 1] > static_cast<float>(window.height)) return true;
  }
  return false;
}

// An object that lost nothing. Run lengths are of a window, so another frame needs others.
PastedObject Kept(const PlacedObject& object, const Window& window, const Window& frame) {
  PastedObject kept{&object, false, false, {}, {}};
  const bool same = window.height == frame.height && window.width == frame.width;
  if (object.mask.num_runs > 0 || (object.mask.num_parts > 0 && ReachesOut(object.mask, window, frame))) {
    kept.mask_is_new = true;
    if (same) {
      kept.runs.assign(object.mask.runs, object.mask.runs + object.mask.num_runs);
    } else {
      Bitmap(object.mask, window).AppendRuns(frame, &kept.runs);
    }
  }
  return kept;
}

// What is left of an object of the base that lost pixels. Returns false if it is to be dropped.
bool Occluded(const PlacedObject& object, const Bitmap& left, const Window& frame, const PasteRules& rules,
              PastedObject* result) {
  const Extent tight = left.Tight();
  if (tight.IsEmpty()) return false;
  *result = {&object, true, true, {}, {}};
  const int64_t sides[] = {tight.left, tight.top, tight.right, tight.bottom};
  bool moved = false;
  for (int i = 0; i < 4; ++i) {
    result->box[i] = static_cast<float>(sides[i]);
    moved = moved || std::abs(result->box[i] - object.box[i]) > rules.box_shift;
  }
  if (moved && left.Count() <= rules.least_pixels) return false;
  left.AppendRuns(frame, &result->runs);
  return true;
}

}  // namespace

std::vector<int64_t> DrawObjects(const Scene& partner, float share, uint64_t key, int64_t most) {
  std::vector<std::pair<uint64_t, int64_t>> order;
  for (size_t row = 0; row < partner.objects.size(); ++row) {
    const PlacedObject& object = partner.objects[row];
    if (!object.is_crowd && object.mask.exists()) order.emplace_back(SplitMix64(key + row), row);
  }
  const int64_t limit = std::min(static_cast<int64_t>(order.size()), most);
  const auto count = std::min(static_cast<int64_t>(share * static_cast<float>(limit + 1)), limit);
  std::sort(order.begin(), order.end());
  std::vector<int64_t> rows(count);
  for (int64_t i = 0; i < count; ++i) rows[i] = order[i].second;
  std::sort(rows.begin(), rows.end());
  return rows;
}

Window Paste(const Scene& base, const Scene& partner, const std::vector<int64_t>& drawn, const PasteRules& rules,
             int64_t stride, const uint8_t* partner_pixels, uint8_t* pixels,
             const std::function<void(const PastedObject&)>& store) {
  std::vector<const PlacedObject*> pasted;
  std::vector<Bitmap> bitmaps;
  for (int64_t row : drawn) {
    bitmaps.emplace_back(partner.objects[row].mask, partner.window);
    if (bitmaps.back().IsEmpty()) {
      bitmaps.pop_back();
    } else {
      pasted.push_back(&partner.objects[row]);
    }
  }
  const Window frame = pasted.empty() ? base.window : Both(base.window, partner.window);
  Cover cover(bitmaps);
  cover.Copy(partner_pixels, stride, pixels);
  for (const PlacedObject& object : base.objects) {
    if (cover.extent().Overlaps(Reach(object.mask, base.window))) {
      Bitmap bitmap(object.mask, base.window);
      if (cover.Hide(&bitmap) > 0) {
        PastedObject left;
        if (Occluded(object, bitmap, frame, rules, &left)) store(left);
        continue;
      }
    }
    store(Kept(object, base.window, frame));
  }
  for (const PlacedObject* object : pasted) store(Kept(*object, partner.window, frame));
  return frame;
}

}  // namespace awsdet
