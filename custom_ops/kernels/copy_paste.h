// Copy-paste (Ghiasi et al. 2021, arXiv:2012.07177): some objects of one image are pasted onto another, where they are.
#ifndef AWSDET_KERNELS_COPY_PASTE_H_
#define AWSDET_KERNELS_COPY_PASTE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/bitmap.h"

namespace awsdet {

// One object in its image's window.
struct PlacedObject {
  const float* box;  // x1, y1, x2, y2
  int32_t label;
  bool is_crowd;
  PlacedMask mask;
};

// An image's window and the objects in it.
struct Scene {
  Window window;
  std::vector<PlacedObject> objects;
};

// What copy-paste asks for.
struct PasteRules {
  int64_t most;           // objects that are pasted on one image
  float box_shift;        // px; see Paste
  int64_t least_pixels;
};

// The partner's objects that are drawn: rows, ascending. Drawn from are those that are no crowd and have a mask. Of N
// of these, floor(share * (min(N, most) + 1)) are drawn, 0 <= share < 1; namely those for which SplitMix64 of key + row
// is least.
std::vector<int64_t> DrawObjects(const Scene& partner, float share, uint64_t key, int64_t most);

// An object of the result.
struct PastedObject {
  const PlacedObject* object;
  bool box_is_new;  // else the object's own box
  bool mask_is_new;  // else the object's own polygons, if it has any
  float box[4];
  std::vector<int32_t> runs;  // of the frame
};

// Pastes `drawn` objects of the partner onto the base; calls store for each object of the result: those of the base in
// their order, then those that were pasted. Returns the frame: the window of the result, at the top left. It holds both
// windows or, if nothing is pasted, is that of the base.
//
// Pixels that a pasted object covers are copied from partner_pixels to pixels, both [rows of 3 * stride bytes]. They
// belong to no object of the base any more. An object of the base that lost pixels gets a mask of what is left, and the
// box around that. It is dropped if nothing is left; or if a side of its box moved by more than box_shift and
// at most least_pixels are left (as mmdetection's CopyPaste has it). Crowds and objects without a mask stay. A drawn
// object that covers no pixel's centre within its window is left out. Pasted objects do not hide one another.
Window Paste(const Scene& base, const Scene& partner, const std::vector<int64_t>& drawn, const PasteRules& rules,
             int64_t stride, const uint8_t* partner_pixels, uint8_t* pixels,
             const std::function<void(const PastedObject&)>& store);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_COPY_PASTE_H_
