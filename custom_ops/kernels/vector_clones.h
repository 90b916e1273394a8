// Hot loops for the vector units that the machine has.
#ifndef AWSDET_KERNELS_VECTOR_CLONES_H_
#define AWSDET_KERNELS_VECTOR_CLONES_H_

// Before a function: it is compiled for AVX-512, for AVX2 and for any x86-64, and the loader takes the best that the
// machine has. The numbers are the same in all of them as long as multiplications and additions are not contracted.
// Not for loops of branches and scattered reads, which no vector unit helps: polygon_targets, annotations,
// roi_align_axis, nms_candidates.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define AWSDET_HAS_VECTOR_CLONES
#define AWSDET_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define AWSDET_VECTOR_CLONES
#endif

#endif  // AWSDET_KERNELS_VECTOR_CLONES_H_
