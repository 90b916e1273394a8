// The best boxes of each level of a dense head on an NVIDIA GPU: launchers that take device pointers and a stream.
//
// The rules are those of kernels/top_boxes.h, with the same arithmetic, so results are equal to the last bit. These
// functions do not wait for the GPU.
#ifndef AWSDET_CUDA_TOP_BOXES_H_
#define AWSDET_CUDA_TOP_BOXES_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "cuda/data_type.h"
#include "kernels/top_boxes_rule.h"

namespace awsdet::cuda {

constexpr int kMaxScoredLevels = 8;

struct TopBoxesProblem {
  int64_t images;
  int64_t classes;
  int32_t num_levels;
  int64_t anchors[kMaxScoredLevels];  // of each level; times classes below 2^31
  TopBoxesRule rule;
  int64_t chunk;  // about how many logits one block looks at; 0: as many as are thought best
};

// The inputs. logits[level] [images, anchors, classes] and deltas[level] [images, anchors, 4] have the data type; the
// pointers are device memory, the two lists are not.
struct TopBoxesInputs {
  const void* const* logits;
  const void* const* deltas;
  const float* anchors;       // [anchors of all levels, 4]
  const int32_t* image_size;  // [images, 2], height and width
};

// Computes how many bytes of device memory TopBoxes needs as its workspace. Returns cudaErrorInvalidValue if a size is
// negative or above the limits.
cudaError_t TopBoxesWorkspaceSize(const TopBoxesProblem& problem, size_t* bytes);

// The workspace has the size that TopBoxesWorkspaceSize says and is aligned to 256 bytes.
cudaError_t TopBoxes(DataType type, const TopBoxesProblem& problem, const TopBoxesInputs& inputs, void* workspace,
                     size_t workspace_bytes, const TopBoxesResult& result, cudaStream_t stream);

}  // namespace awsdet::cuda

#endif  // AWSDET_CUDA_TOP_BOXES_H_
