// Resize's loops for machines that pick 64 bytes from a vector in one instruction (AVX-512 VBMI).
#ifndef AWSDET_KERNELS_RESIZE_AVX512_H_
#define AWSDET_KERNELS_RESIZE_AVX512_H_

#include <cstdint>
#include <vector>

#include "kernels/resize.h"

namespace awsdet {

// Writes the rows of the window, each with the padding to its right, in the float32 operations of resize.cc. Returns
// false, and writes nothing, if the machine lacks the instructions or rows shrink too much for them (more than threefold
// or so).
bool ResizeAvx512(const uint8_t* source, const Placement& placement, const Canvas& canvas,
                  const std::vector<Sample>& rows, const std::vector<Sample>& columns, uint8_t* result);

}  // namespace awsdet

#endif  // AWSDET_KERNELS_RESIZE_AVX512_H_
