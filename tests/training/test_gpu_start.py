"""What a run tells before it starts on a GPU, for GPUs that this machine does not have."""

import pytest

from awsdet import config as base
from awsdet.runtime.gpu_fit import Gpu
from awsdet.training import gpu_start

A100 = Gpu("NVIDIA A100", (8, 0), 40 * 2**30)


def advice(gpu, *changes):
    config = base.mask_rcnn()
    for change in changes:
        base.apply_override(config, change)
    return gpu_start.advice_for(config, gpu)


def test_a_config_that_suits_the_gpu_is_told_its_memory_only():
    (memory,) = advice(A100, "model.precision=mixed_bfloat16")
    assert memory.text.startswith("GPU memory: about 4.8 GB by estimate, for 2 image(s) of 800 x 1344")
    assert not memory.serious


def test_larger_detectors_need_more_than_the_estimate():
    for change in ("model.backbone.depth=101", "model.backbone.name=hrnet", "model.backbone.groups=32"):
        assert "more than" in advice(A100, "model.precision=mixed_bfloat16", change)[0].text
    assert "more than" in advice(A100, "model.precision=mixed_bfloat16", "model.detector=cascade_rcnn")[0].text


def test_an_h100_in_float32_is_told_all(monkeypatch):
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", "123")
    texts = [a.text for a in advice(Gpu("NVIDIA H100", (9, 0), 80 * 2**30))]
    assert len(texts) == 4 and "CUDA_CACHE_MAXSIZE is 123" in texts[0] and "TF32" in texts[2]


def test_a_gpu_of_which_nothing_is_known_is_told_nothing():
    assert advice(Gpu("GPU", ())) == []


@pytest.mark.parametrize(
    "changes, wanted",
    [
        ((), (800, 1344)),
        (("data.short_sides=640,672,704", "data.max_long_side=1200"), (704, 1216)),
        (("data.short_side_range=320,500",), (512, 1344)),
        (("data.short_sides=800", "data.max_long_side=600"), (608, 608)),
        (("data.canvas=1024",), (1024, 1024)),
        (("data.pad_multiple=128",), (896, 1408)),
    ],
    ids=str,
)
def test_the_size_is_that_of_the_largest_batches(changes, wanted):
    config = base.mask_rcnn()
    for change in changes:
        base.apply_override(config, change)
    assert gpu_start.largest_size(config.data) == wanted


def test_without_a_gpu_nothing_is_checked():
    gpu_start.check_gpu(base.mask_rcnn())
