// One block per image chooses the candidates with the smallest keys, positives and negatives at the same time.
//
//   1. A histogram of the highest digit of the keys tells in which bin the last key lies that is chosen.
//   2. If the keys up to the end of that bin fit into shared memory, they are collected there. Otherwise the next digit
//      of the keys in that bin is counted, and so on. After the last digit, of equal keys the first ones are taken.
//   3. What was collected is sorted by kind, key and index.
//   4. One thread per slot writes the sample and its targets.
#include "cuda/sample.h"

#include "cuda/block.h"
#include "cuda/launch.h"

namespace awsdet::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kUnroll = 8;  // candidates that a thread reads together, so that their reads overlap
constexpr int64_t kChunk = kThreads * kUnroll;
constexpr int kDigit = 10;  // bits
constexpr int kBins = 1 << kDigit;
constexpr int kSegments = 32;  // of the bins, each of 32
constexpr int kLeastRoom = 2048;
constexpr int kPositive = 0, kNegative = 1, kNeither = -1;

// Shared memory; arrays of two are for positives and negatives.
struct State {
  uint32_t histogram[2][kBins];
  uint32_t segment[2][kSegments];
  uint32_t bin[2];    // in which the last chosen key lies
  uint32_t before[2];  // keys counted in the bins before
  uint32_t inside[2];  // keys counted in that bin
  uint32_t limit[2];   // so many are chosen at most
  uint32_t collected[2];
  uint32_t used;       // places of the list
  int warp_counts[kThreads / 32];
};

// What is known of the last chosen key of each kind: its highest bits are `prefix`; `less` keys have lower ones.
struct Known {
  uint32_t prefix[2] = {0, 0};
  uint32_t less[2] = {0, 0};
};

// Calls visit(index, kind, rising key) for the thread's candidates of the chunk that begins at `base`.
template <typename Visit>
__device__ __forceinline__ void VisitChunk(const SampleInput& input, int64_t base, const Visit& visit) {
  const int64_t length = input.Length(), first = blockIdx.x * length;
  int kind[kUnroll];
  float key[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    const int64_t i = base + u * kThreads + threadIdx.x;
    const bool positive = i < length && input.positive[first + i], negative = i < length && input.negative[first + i];
    kind[u] = positive ? kPositive : negative ? kNegative : kNeither;
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    key[u] = kind[u] == kNeither ? 0.0f : input.keys[first + base + u * kThreads + threadIdx.x];
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    if (kind[u] != kNeither) visit(base + u * kThreads + threadIdx.x, kind[u], RisingKey(key[u]));
  }
}

// Finds bin, before and inside of both kinds from the histograms. `of_all`: the histograms are complete, so that it is
// known how many slots positives leave to negatives. All threads call it.
__device__ void FindBins(const SampleRule& rule, const Known& known, bool of_all, State* state) {
  const int thread = threadIdx.x;
  __syncthreads();
  if (thread < 2 * kSegments) {
    const int kind = thread / kSegments, segment = thread % kSegments;
    uint32_t sum = 0;
    // Each thread begins at another bin, so that they read different banks.
    for (int j = 0; j < 32; ++j) sum += state->histogram[kind][32 * segment + (segment + j) % 32];
    state->segment[kind][segment] = sum;
  }
  __syncthreads();
  if (thread == 0 && of_all) {
    uint32_t positives = 0;
    for (int s = 0; s < kSegments; ++s) positives += state->segment[kPositive][s];
    const uint32_t limit = state->limit[kPositive];
    state->limit[kNegative] = static_cast<uint32_t>(rule.size) - (positives < limit ? positives : limit);
  }
  __syncthreads();
  if (thread < 2) {
    const uint32_t limit = state->limit[thread], need = limit > known.less[thread] ? limit - known.less[thread] : 0;
    uint32_t before = 0;
    int s = 0;
    while (s < kSegments - 1 && before + state->segment[thread][s] < need) before += state->segment[thread][s++];
    int bin = 32 * s;
    while (bin < 32 * s + 31 && before + state->histogram[thread][bin] < need) before += state->histogram[thread][bin++];
    state->bin[thread] = bin;
    state->before[thread] = before;
    state->inside[thread] = state->histogram[thread][bin];
  }
  __syncthreads();
}

__device__ void ClearHistograms(State* state) {
  __syncthreads();
  for (int i = threadIdx.x; i < 2 * kBins; i += kThreads) state->histogram[i / kBins][i % kBins] = 0;
  __syncthreads();
}

// Counts the highest digit of all keys. Once enough keys are counted, larger ones are left out: most keys fall into a
// few bins, on which the threads would wait for each other.
__device__ void CountFirstDigit(const SampleInput& input, const SampleRule& rule, const Known& known, State* state) {
  const int64_t length = input.Length();
  uint32_t last[2] = {kBins - 1, kBins - 1};
  int64_t next = kChunk;
  for (int64_t base = 0; base < length; base += kChunk) {
    VisitChunk(input, base, [&](int64_t, int kind, uint32_t key) {
      const uint32_t bin = key >> (32 - kDigit);
      if (bin <= last[kind]) atomicAdd(&state->histogram[kind][bin], 1u);
    });
    if (base + kChunk == next && next < length) {
      FindBins(rule, known, false, state);
      last[kPositive] = state->bin[kPositive];
      last[kNegative] = state->bin[kNegative];
      next *= 2;
    }
  }
}

__device__ void CountDigit(const SampleInput& input, const Known& known, int shift, int bits, State* state) {
  for (int64_t base = 0; base < input.Length(); base += kChunk) {
    VisitChunk(input, base, [&](int64_t, int kind, uint32_t key) {
      if (key >> (shift + bits) != known.prefix[kind]) return;
      atomicAdd(&state->histogram[kind][key >> shift & ((1u << bits) - 1)], 1u);
    });
  }
}

__device__ __forceinline__ void Collect(int64_t index, int kind, uint32_t key, State* state, uint64_t* list) {
  atomicAdd(&state->collected[kind], 1u);
  const uint32_t place = atomicAdd(&state->used, 1u);
  list[place] = static_cast<uint64_t>(kind) << 63 | static_cast<uint64_t>(key) << 31 | static_cast<uint64_t>(index);
}

// Collects the keys that equal the last chosen one, in the order of their indices, until there are enough.
__device__ void CollectEqual(const SampleInput& input, const Known& known, State* state, uint64_t* list) {
  const int64_t length = input.Length(), first = blockIdx.x * length;
  int missing[2];
  for (int kind = 0; kind < 2; ++kind) {
    const uint32_t limit = state->limit[kind];
    missing[kind] = limit > known.less[kind] ? static_cast<int>(limit - known.less[kind]) : 0;
  }
  for (int64_t base = 0; base < length && (missing[0] > 0 || missing[1] > 0); base += kThreads) {
    const int64_t i = base + threadIdx.x;
    for (int kind = 0; kind < 2; ++kind) {
      const bool* const allowed = kind == kPositive ? input.positive : input.negative;
      const bool equal = i < length && allowed[first + i] && RisingKey(input.keys[first + i]) == known.prefix[kind];
      int total;
      const int rank = BlockRank(equal, threadIdx.x, kThreads, state->warp_counts, &total);
      if (equal && rank < missing[kind]) Collect(i, kind, known.prefix[kind], state, list);
      missing[kind] -= total < missing[kind] ? total : missing[kind];
    }
  }
}

// Collects all candidates that are chosen, and perhaps more, at most `room`.
__device__ void Select(const SampleInput& input, const SampleRule& rule, uint32_t room, State* state, uint64_t* list) {
  Known known;
  ClearHistograms(state);
  CountFirstDigit(input, rule, known, state);
  int shift = 32 - kDigit;
  bool exact = false;
  for (bool first = true;; first = false) {
    FindBins(rule, known, first, state);
    uint32_t total = 0;
    for (int kind = 0; kind < 2; ++kind) {
      known.less[kind] += state->before[kind];
      const int bits = shift == 0 ? 2 : kDigit;  // of the digit that was counted
      known.prefix[kind] = (first ? 0 : known.prefix[kind] << bits) | state->bin[kind];
      if (state->limit[kind] > 0) total += known.less[kind] + state->inside[kind];
    }
    exact = total > room;
    if (!exact || shift == 0) break;
    const int bits = shift < kDigit ? shift : kDigit;
    shift -= bits;
    ClearHistograms(state);
    CountDigit(input, known, shift, bits, state);
  }
  for (int64_t base = 0; base < input.Length(); base += kChunk) {
    VisitChunk(input, base, [&](int64_t index, int kind, uint32_t key) {
      const uint32_t digits = key >> shift;
      const bool taken = exact ? digits < known.prefix[kind] : digits <= known.prefix[kind];
      if (taken && state->limit[kind] > 0) Collect(index, kind, key, state, list);
    });
  }
  if (exact) CollectEqual(input, known, state, list);
  __syncthreads();
}

// Bitonic sort of the first `count` numbers; the list has room for the next power of two.
__device__ void Sort(uint64_t* list, uint32_t count) {
  uint32_t size = 1;
  while (size < count) size *= 2;
  for (uint32_t i = count + threadIdx.x; i < size; i += kThreads) list[i] = ~uint64_t{0};
  __syncthreads();
  for (uint32_t run = 2; run <= size; run *= 2) {
    for (uint32_t distance = run / 2; distance > 0; distance /= 2) {
      for (uint32_t i = threadIdx.x; i < size; i += kThreads) {
        const uint32_t other = i ^ distance;
        if (other < i) continue;
        const uint64_t low = list[i], high = list[other];
        if ((low > high) == ((i & run) == 0)) {
          list[i] = high;
          list[other] = low;
        }
      }
      __syncthreads();
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    SampleKernel(const __grid_constant__ SampleInput input, const __grid_constant__ SampleRule rule, uint32_t room,
                 const __grid_constant__ Samples samples) {
  AWSDET_DYNAMIC_SHARED(uint64_t, list);
  __shared__ State state;
  const int64_t image = blockIdx.x;
  if (threadIdx.x == 0) {
    const int64_t limit = rule.positive_limit < rule.size ? rule.positive_limit : rule.size;
    state.limit[kPositive] = static_cast<uint32_t>(limit);
    state.limit[kNegative] = static_cast<uint32_t>(rule.size);
    state.collected[kPositive] = state.collected[kNegative] = state.used = 0;
  }
  Select(input, rule, room, &state, list);
  Sort(list, state.used);
  const uint32_t size = static_cast<uint32_t>(rule.size), collected = state.collected[kPositive];
  const uint32_t positives = collected < state.limit[kPositive] ? collected : state.limit[kPositive];
  const uint32_t left = size - positives;
  const uint32_t negatives = state.collected[kNegative] < left ? state.collected[kNegative] : left;
  for (uint32_t slot = threadIdx.x; slot < size; slot += kThreads) {
    const bool positive = slot < positives, valid = slot < positives + negatives;
    const uint32_t place = positive ? slot : collected + slot - positives;
    const int64_t index = valid ? static_cast<int64_t>(list[place] & 0x7fffffffu) : -1;
    WriteSample(input, rule, samples, image, slot, index, positive);
  }
  if (threadIdx.x == 0) {
    samples.counts[2 * image] = static_cast<float>(positives);
    samples.counts[2 * image + 1] = static_cast<float>(negatives);
  }
}

}  // namespace

cudaError_t Sample(const SampleInput& input, const SampleRule& rule, const Samples& samples, cudaStream_t stream) {
  if (input.images < 0 || input.count < 0 || input.objects < 0 || rule.positive_limit < 0) return cudaErrorInvalidValue;
  if (rule.size < 0 || rule.size > kMaxSampleSize) return cudaErrorInvalidValue;
  if (input.images > INT32_MAX || input.count + input.objects > INT32_MAX) return cudaErrorInvalidValue;
  if (input.images == 0) return cudaSuccess;
  const int64_t room = rule.size > kLeastRoom ? kMaxSampleSize : kLeastRoom;
  return Launch(SampleKernel, dim3(static_cast<unsigned>(input.images)), dim3(kThreads), room * sizeof(uint64_t),
                stream, input, rule, static_cast<uint32_t>(room), samples);
}

}  // namespace awsdet::cuda
