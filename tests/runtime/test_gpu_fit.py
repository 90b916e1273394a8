"""What suits a GPU, for GPUs that this machine does not have."""

import pytest

from awsdet.runtime import gpu_fit
from awsdet.runtime.gpu_fit import Gpu

V100, T4 = Gpu("Tesla V100-SXM2-16GB", (7, 0), 16 * 2**30), Gpu("Tesla T4", (7, 5), 15 * 2**30)
A100, A10G = Gpu("NVIDIA A100", (8, 0), 40 * 2**30), Gpu("NVIDIA A10G", (8, 6), 22 * 2**30)
H100 = Gpu("NVIDIA H100 80GB HBM3", (9, 0), 80 * 2**30)
CUDA_12 = "CPU and CUDA 12.2.140 (sm_70 sm_75 sm_80 sm_86 sm_89 sm_90 and PTX of compute_90)"
CUDA_13 = "CPU and CUDA 13.0.88 (sm_75 sm_80 sm_86 sm_89 sm_90 and PTX of compute_90)"


@pytest.mark.parametrize(
    "built_for, capability, runs",
    [
        (CUDA_12, (7, 0), True),
        (CUDA_13, (7, 0), False),
        (CUDA_13, (7, 5), True),
        (CUDA_12, (6, 1), False),
        (CUDA_12, (10, 0), True),  # by PTX
        ("CPU and CUDA 12.2 (sm_80 and PTX of compute_80)", (8, 6), True),
        ("CPU and CUDA 12.2 (sm_86 and PTX of compute_86)", (8, 0), False),  # newer code does not run on older GPUs
        ("CPU and CUDA 12.2 (sm_80)", (9, 0), False),  # machine code stays within a major number
        ("CPU and CUDA 12.2 (PTX of compute_75)", (8, 0), True),
        ("CPU", (8, 0), False),
    ],
)
def test_code_runs_where_cuda_lets_it(built_for, capability, runs):
    assert gpu_fit.has_code(built_for, capability) is runs


def test_gpus_without_code_are_named_once():
    text = gpu_fit.missing_code(CUDA_13, [V100, V100, A100])
    assert text.count("Tesla V100-SXM2-16GB (compute capability 7.0)") == 1 and "A100" not in text and CUDA_13 in text
    assert gpu_fit.missing_code(CUDA_12, [V100, H100]) == "" and gpu_fit.missing_code(CUDA_13, []) == ""
    assert gpu_fit.missing_code(CUDA_13, [Gpu("GPU", ())]) == ""  # nothing is known of it
    assert gpu_fit.missing_code("CPU", [A100]) == ""  # they run on the host


@pytest.mark.parametrize(
    "gpu, best",
    [
        (V100, "mixed_float16"),
        (T4, "mixed_float16"),
        (A100, "mixed_bfloat16"),
        (A10G, "mixed_bfloat16"),
        (H100, "mixed_bfloat16"),
        (Gpu("Tesla P100", (6, 0)), "float32"),
    ],
)
def test_the_best_precision_is_the_one_that_needs_no_advice(gpu, best):
    assert gpu_fit.best_precision(gpu.capability) == best
    assert gpu_fit.precision_advice(gpu, best, tf32=True) == []


def test_other_precisions_are_told_what_suits_the_gpu():
    (slow,) = gpu_fit.precision_advice(V100, "mixed_bfloat16", tf32=True)
    assert slow.serious and "no tensor cores for bfloat16" in slow.text and "precision=mixed_float16" in slow.text
    (half,) = gpu_fit.precision_advice(V100, "float32", tf32=True)
    assert not half.serious and "precision=mixed_float16" in half.text
    half, tf32 = gpu_fit.precision_advice(A100, "float32", tf32=True)
    assert "precision=mixed_bfloat16" in half.text and "NVIDIA_TF32_OVERRIDE=0" in tf32.text
    assert len(gpu_fit.precision_advice(A100, "float32", tf32=False)) == 1
    (other,) = gpu_fit.precision_advice(H100, "mixed_float16", tf32=True)
    assert "no loss scaling" in other.text and not other.serious


def test_only_gpus_newer_than_tensorflow_compile():
    (advice,) = gpu_fit.compile_advice(H100, "4294967296")
    assert advice.serious and "9.0" in advice.text and "CUDA_CACHE_MAXSIZE is 4294967296" in advice.text
    assert not any(gpu_fit.compile_advice(gpu, "") for gpu in (V100, A100, A10G, Gpu("L4", (8, 9))))
    assert [gpu_fit.compiles_first(capability) for capability in ((7, 0), (8, 9), [9, 0], (10, 0))] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "precision, images, size, wanted",
    [
        ("float32", 2, (800, 1344), 7.1),
        ("mixed_bfloat16", 4, (800, 1344), 7.1),
        ("mixed_float16", 8, (800, 1344), 11.7),
        ("mixed_bfloat16", 4, (400, 672), 2.5 + 1.15),
        ("float32", 1, (1344, 800), 4.8),
    ],
)
def test_memory_goes_with_precision_images_and_pixels(precision, images, size, wanted):
    assert gpu_fit.memory_needed(precision, images, *size) == pytest.approx(wanted)


def test_what_will_not_fit_is_told_with_the_cures():
    (advice,) = gpu_fit.memory_advice(A10G, "float32", 10, (800, 1344), larger=False)
    assert advice.serious and "about 25.5 GB" in advice.text and "has 23.6 GB" in advice.text
    for cure in ("data.batch_size=5", "model.precision=mixed_bfloat16", "data.short_sides"):
        assert cure in advice.text
    (advice,) = gpu_fit.memory_advice(V100, "mixed_float16", 1, (4000, 6000), larger=True)
    assert advice.serious and "more than" in advice.text and "batch_size" not in advice.text
    assert "precision=" not in advice.text
    (advice,) = gpu_fit.memory_advice(V100, "mixed_float16", 4, (800, 1344), larger=False)
    assert not advice.serious and "7.1 GB by estimate, for 4 image(s) of 800 x 1344" in advice.text
    (unknown,) = gpu_fit.memory_advice(V100._replace(memory=0), "float32", 99, (800, 1344), larger=False)
    assert not unknown.serious


def test_unknown_details_are_left_open():
    assert gpu_fit.details({}, None) == Gpu("GPU", (), 0)
    assert gpu_fit.details({"device_name": "NVIDIA A10G", "compute_capability": (8, 6)}, 22 * 2**30) == A10G
