"""What suits a GPU: code of the operators, precision, memory. Pure functions of what the GPU and the build say.

A compute capability is a pair, as in (8, 0) for an A100.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

TENSORFLOW_NEWEST = (8, 9)  # the newest capability that the kernels of TensorFlow 2.15's wheel have machine code for
CACHE_BYTES = 4 * 2**30  # of CUDA's cache of compiled kernels; by default it keeps 1 GiB, less than TensorFlow's need
REBUILD = "rm -rf build/ops && CUDA_HOME=/usr/local/cuda-12.2 make ops   (with a CUDA 12 toolkit there)"

_AMPERE, _VOLTA = (8, 0), (7, 0)
# An estimate: measured allocations of parts of the training step of Mask R-CNN R50-FPN, added up (docs/gpu.md).
_FIXED_GB, _HALF_GB, _FLOAT_GB = 2.5, 1.15, 2.3  # per run; per image of 800 x 1344 in half precision and in float32
_PIXELS = 800 * 1344


class Gpu(NamedTuple):
    """A GPU. name: as the driver says; capability: pair, () if unknown; memory: bytes, 0 if unknown."""

    name: str
    capability: tuple
    memory: int = 0


class Advice(NamedTuple):
    """What to tell the user. serious: whether a run will probably fail or be far slower than it could be."""

    text: str
    serious: bool = False


def has_code(built_for: str, capability: Sequence[int]) -> bool:
    """Whether a GPU can run what was `built_for` it, in the words of `ops.library.built_for`.

    Machine code runs on GPUs of its own major number and of no smaller minor number; PTX on its own capability and on
    all later ones.
    """
    wanted = tuple(capability)
    machine = [divmod(int(number), 10) for number in re.findall(r"sm_(\d+)", built_for)]
    portable = [divmod(int(number), 10) for number in re.findall(r"compute_(\d+)", built_for)]
    return any(code[0] == wanted[0] and code <= wanted for code in machine) or any(code <= wanted for code in portable)


def missing_code(built_for: str, gpus: Sequence[Gpu]) -> str:
    """Which of the GPUs the operators cannot run on, in words; empty if none.

    Without any CUDA code they run on the host, which is slow but works; with CUDA code of other GPUs alone, they fail.
    """
    without = [gpu for gpu in gpus if gpu.capability and not has_code(built_for, gpu.capability)]
    if not without or "CUDA" not in built_for:
        return ""
    names = " and ".join(sorted({f"{gpu.name} (compute capability {dotted(gpu.capability)})" for gpu in without}))
    return f"the operators are built for {built_for}, which has no code for {names}"


def best_precision(capability: Sequence[int]) -> str:
    """The value of model.precision that a GPU's tensor cores are made for; float32 if it has none."""
    if tuple(capability) >= _AMPERE:
        return "mixed_bfloat16"
    return "mixed_float16" if tuple(capability) >= _VOLTA else "float32"


def precision_advice(gpu: Gpu, precision: str, tf32: bool) -> list[Advice]:
    """What to know of `precision`, that of the config, on a GPU. tf32: whether TensorFlow may compute in TF32."""
    best, place = best_precision(gpu.capability), f"{gpu.name} (compute capability {dotted(gpu.capability)})"
    change, found = f"--config.model.precision={best}", []
    if precision == "mixed_bfloat16" and best != precision:
        text = f"{place} has no tensor cores for bfloat16, so mixed_bfloat16 is slow on it; {best} suits it: {change}"
        found.append(Advice(text, serious=True))
    elif precision == "float32" and best != precision:
        text = f"model.precision is float32; {best} suits {place}, and needs about half the memory per image: {change}"
        found.append(Advice(text))
    elif precision == "mixed_float16" and best == "mixed_bfloat16":
        found.append(Advice(f"mixed_bfloat16 suits {place} too, and needs no loss scaling: {change}"))
    if precision == "float32" and tf32 and tuple(gpu.capability) >= _AMPERE:
        text = "float32 products are computed in TF32 (numbers of 10 bits), as is TensorFlow's default on this GPU"
        found.append(Advice(f"{text}; NVIDIA_TF32_OVERRIDE=0 turns that off"))
    return found


def compiles_first(capability: Sequence[int]) -> bool:
    """Whether the driver compiles TensorFlow's kernels at their first use, for want of machine code for a GPU."""
    return tuple(capability) > TENSORFLOW_NEWEST


def compile_advice(gpu: Gpu, cache: str) -> list[Advice]:
    """What to know of the first start on a GPU that is newer than TensorFlow's kernels. cache: CUDA_CACHE_MAXSIZE."""
    if not compiles_first(gpu.capability):
        return []
    text = (
        f"TensorFlow 2.15 has no machine code for compute capability {dotted(gpu.capability)}, so the first start "
        "compiles its kernels, for 30 minutes or longer; later ones find them in CUDA's cache (CUDA_CACHE_PATH, ~/.nv/"
        f"ComputeCache by default; CUDA_CACHE_MAXSIZE is {cache}). See docs/gpu.md"
    )
    return [Advice(text, serious=True)]


def memory_needed(precision: str, images: int, height: int, width: int) -> float:
    """About how many GB (10^9 bytes) a training step takes, an estimate for Mask R-CNN R50-FPN.

    images: per process; height, width: px, of a batch with its padding.
    """
    per_image = _FLOAT_GB if precision == "float32" else _HALF_GB
    return _FIXED_GB + per_image * images * height * width / _PIXELS


def memory_advice(gpu: Gpu, precision: str, images: int, size: tuple[int, int], larger: bool) -> list[Advice]:
    """The memory that a config will need, beside what the GPU has. larger: whether the detector exceeds an R50-FPN."""
    needed = memory_needed(precision, images, *size)
    about = "more than " if larger else "about "
    text = (
        f"GPU memory: {about}{needed:.1f} GB by estimate, for {images} image(s) of {size[0]} x {size[1]} in {precision}"
    )
    if not gpu.memory:
        return [Advice(text)]
    have = gpu.memory / 1e9
    text += f"; {gpu.name} has {have:.1f} GB"
    if needed < 0.92 * have:  # TensorFlow cannot have all of it
        return [Advice(text)]
    cures = [f"--config.data.batch_size={images // 2}"] if images > 1 else []
    best = best_precision(gpu.capability)
    cures += [f"--config.model.precision={best}"] if precision == "float32" and best != precision else []
    cures += ["smaller --config.data.short_sides and max_long_side"]
    return [Advice(f"{text}, so it will probably not fit; try {', or '.join(cures)}", serious=True)]


def details(raw: dict[str, Any], memory: int | None) -> Gpu:
    """A Gpu from TensorFlow's details of a device and the driver's bytes of memory, either of which may be unknown."""
    return Gpu(raw.get("device_name", "GPU"), tuple(raw.get("compute_capability", ())), memory or 0)


def dotted(capability: Sequence[int]) -> str:
    """A compute capability in NVIDIA's notation, such as 9.0."""
    return ".".join(map(str, capability))
