// Compiles hot loops for several vector units; at run time the best one that the machine has is used.
#ifndef AWSDET_KERNELS_VECTOR_CLONES_H_
#define AWSDET_KERNELS_VECTOR_CLONES_H_

// Written before a function, it compiles the function for AVX-512, AVX2 and any x86-64, and the loader takes the best
// one that the machine has. All give the same numbers, unless multiplications and additions are fused. It is not used
// for loops with branches and scattered reads, which vector units do not make faster: polygon_targets, annotations,
// roi_align_axis, nms_candidates.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define AWSDET_HAS_VECTOR_CLONES
#define AWSDET_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define AWSDET_VECTOR_CLONES
#endif

#endif  // AWSDET_KERNELS_VECTOR_CLONES_H_
