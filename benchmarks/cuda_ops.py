"""Times CUDA launchers on one GPU: RoIAlign and NMS beside torchvision's, affine and decode_boxes beside PyTorch's.

    scripts/test_cuda.sh && python benchmarks/cuda_ops.py

Needs PyTorch and torchvision with CUDA (not TensorFlow): the launchers are called through ctypes on the memory of torch
tensors, on PyTorch's stream. Sizes are those of training: 1024 RoIs of 7 x 7 x 256 on P2-P5 of two images, 2000 boxes
on each of five levels, the features of layer2, and 1000 boxes of 80 classes for each of two images. Device events take
the times; the two sides run in turns and the median is reported. The maps of 512 x 512 fit the second-level cache of a
large GPU, those of 800 x 1344 do not. Without a GPU the program says so and exits with 0.
"""

import argparse
import ctypes
import pathlib
import statistics
import sys

import numpy as np

LIBRARY = pathlib.Path(__file__).parents[1] / "build" / "cuda" / "libawsdet_cuda.so"
MAX_LEVELS = 8
STRIDES = (4, 8, 16, 32)
TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}


class RoiAlignProblem(ctypes.Structure):
    """RoiAlignProblem of custom_ops/cuda/roi_align.h."""

    _fields_ = [
        ("rois", ctypes.c_int64),
        ("images", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("num_levels", ctypes.c_int32),
        ("output_size", ctypes.c_int32),
        ("sampling_ratio", ctypes.c_int32),
        ("aligned", ctypes.c_int32),
        ("finest_scale", ctypes.c_float),
        ("height", ctypes.c_int32 * MAX_LEVELS),
        ("width", ctypes.c_int32 * MAX_LEVELS),
        ("stride", ctypes.c_float * MAX_LEVELS),
    ]


class NmsProblem(ctypes.Structure):
    """NmsProblem of custom_ops/cuda/nms.h."""

    _fields_ = [
        ("images", ctypes.c_int64),
        ("count", ctypes.c_int64),
        ("max_output", ctypes.c_int64),
        ("method", ctypes.c_int32),
        ("iou_threshold", ctypes.c_float),
        ("score_threshold", ctypes.c_float),
        ("sigma", ctypes.c_float),
        ("in_order", ctypes.c_int32),
    ]


class DecodeSizes(ctypes.Structure):
    """DecodeSizes of custom_ops/kernels/decode_boxes.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("images", "boxes", "classes", "delta_classes")]


class BoxDecoding(ctypes.Structure):
    """BoxDecoding of custom_ops/kernels/box_rule.h."""

    _fields_ = [("stds", ctypes.c_float * 4), ("max_log_ratio", ctypes.c_float)]


class AffineSize(ctypes.Structure):
    """AffineSize of custom_ops/kernels/affine.h."""

    _fields_ = [("rows", ctypes.c_int64), ("channels", ctypes.c_int64)]


class AffineParameters(ctypes.Structure):
    """AffineParameters of custom_ops/kernels/affine_rule.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("gamma", "beta", "mean", "variance")),
        ("epsilon", ctypes.c_float),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    try:
        import torch
        import torchvision
    except ImportError as error:
        sys.exit(f"{error.name} is missing; this benchmark compares with PyTorch and torchvision")
    if not torch.cuda.is_available():
        print("no GPU: nothing was measured")
        return
    if not LIBRARY.is_file():
        sys.exit(f"{LIBRARY} is missing; build it with:  scripts/test_cuda.sh")
    library = ctypes.CDLL(str(LIBRARY))
    library.awsdet_roi_align_grad_workspace.restype = ctypes.c_size_t
    library.awsdet_affine_grad_workspace.restype = ctypes.c_size_t
    print(f"{torch.cuda.get_device_name()}; PyTorch {torch.__version__}, torchvision {torchvision.__version__}")
    print(f"copy on the device: {copy_bandwidth(torch, arguments.repeats):.0f} GB/s read and written")
    for size in ((512, 512), (800, 1344)):
        for name in TYPES:
            compare_roi_align(torch, torchvision, library, size, name, arguments.repeats)
    compare_nms(torch, torchvision, library, arguments.repeats)
    for name in TYPES:
        compare_affine(torch, library, name, arguments.repeats)
        compare_decode_boxes(torch, library, name, arguments.repeats)


def random_boxes(random, count, height, width):
    """float32 [count, 4]; sides are log-uniform from 10 pixels to the image's side."""
    side = np.exp(random.uniform(np.log(10), np.log(min(height, width)), (count, 1)))
    ratio = np.exp(random.uniform(-0.7, 0.7, (count, 1)))
    half = np.concatenate([side * ratio, side / ratio], axis=1) / 2
    centre = random.uniform(0, 1, (count, 2)) * [width, height]
    limit = [width, height, width, height]
    return np.clip(np.concatenate([centre - half, centre + half], axis=1), 0, limit).astype(np.float32)


def medians(torch, functions, repeats):
    """Milliseconds of each function by device events: the median over runs that alternate between the functions."""
    times = {name: [] for name in functions}
    for run in range(repeats + 3):
        for name, function in functions.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            function()
            end.record()
            end.synchronize()
            if run >= 3:
                times[name].append(begin.elapsed_time(end))
    return {name: statistics.median(values) for name, values in times.items()}


def copy_bandwidth(torch, repeats):
    source = torch.rand(2**28, device="cuda")
    target = torch.empty_like(source)
    time = medians(torch, {"copy": lambda: target.copy_(source)}, repeats)["copy"]
    return 2 * source.numel() * 4 / time / 1e6


def pointers(tensors):
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def address(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


def check(error):
    if error:
        sys.exit(f"a CUDA launcher failed with error {error}")


def compare_roi_align(torch, torchvision, library, size, name, repeats):
    """Forward and gradient against one torchvision roi_align per level, whose RoIs are sorted by level beforehand."""
    random = np.random.default_rng(0)
    dtype, images, channels, rois, pool = getattr(torch, name), 2, 256, 1024, 7
    shapes = [(images, -(-size[0] // s), -(-size[1] // s), channels) for s in STRIDES]
    pyramid = [torch.randn(shape, device="cuda").to(dtype) for shape in shapes]
    boxes = torch.from_numpy(random_boxes(random, rois, *size)).cuda()
    index = torch.arange(rois, device="cuda", dtype=torch.int32) % images
    pooled = torch.empty((rois, pool, pool, channels), device="cuda", dtype=dtype)
    gradient = torch.randn_like(pooled)
    gradients = [torch.empty_like(features) for features in pyramid]
    problem = RoiAlignProblem(rois, images, channels, len(STRIDES), pool, 0, 1, 56.0)
    for level, shape in enumerate(shapes):
        problem.height[level], problem.width[level], problem.stride[level] = shape[1], shape[2], STRIDES[level]
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    kind, reference = TYPES[name], ctypes.byref(problem)

    def forward():
        inputs = (pointers(pyramid), address(boxes), address(index), address(pooled), stream)
        check(library.awsdet_roi_align(kind, reference, *inputs))

    def backward(deterministic):
        bytes_ = library.awsdet_roi_align_grad_workspace(kind, reference, deterministic)
        workspace = torch.empty(max(bytes_, 16), device="cuda", dtype=torch.uint8)
        inputs = (address(gradient), address(boxes), address(index), pointers(gradients), address(workspace))
        check(library.awsdet_roi_align_grad(kind, reference, *inputs, deterministic, stream))

    # torchvision takes NCHW maps and one level per call; it has no bfloat16.
    size_of = torch.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    levels = torch.floor(torch.log2(size_of / 56 + 1e-6)).clamp(0, len(STRIDES) - 1)
    rows = [torch.where(levels == level)[0] for level in range(len(STRIDES))]
    maps = [features.permute(0, 3, 1, 2).contiguous().requires_grad_() for features in pyramid]
    with_image = torch.cat([index[:, None].to(dtype), boxes.to(dtype)], dim=1)

    def theirs():
        return [
            torchvision.ops.roi_align(maps[i], with_image[rows[i]], pool, 1 / STRIDES[i], -1, aligned=True)
            for i in range(len(STRIDES))
        ]

    functions = {"ours": forward, "ours, gradient": lambda: backward(0), "ours, deterministic": lambda: backward(1)}
    if name != "bfloat16":
        outputs = theirs()
        theirs_gradient = [gradient[row].permute(0, 3, 1, 2).contiguous() for row in rows]
        functions["torchvision"] = theirs
        functions["torchvision, gradient"] = lambda: torch.autograd.grad(
            outputs, maps, theirs_gradient, retain_graph=True
        )
    if name == "float32":
        compare_numbers(torch, forward, backward, theirs, pooled, gradients, rows, maps, gradient)
    report(
        f"roi_align {rois} x {pool}^2 x {channels}, P2-P5 of {size[0]} x {size[1]}, {name}",
        medians(torch, functions, repeats),
    )


def compare_numbers(torch, forward, backward, theirs, pooled, gradients, rows, maps, gradient):
    """Ends the program if ours and torchvision's numbers differ by more than 1e-4 of the largest."""
    forward()
    outputs = theirs()
    expected = torch.cat([output.permute(0, 2, 3, 1) for output in outputs])
    wanted = torch.autograd.grad(outputs, maps, [gradient[row].permute(0, 3, 1, 2) for row in rows])
    pairs = [(pooled[torch.cat(rows)], expected)]
    for deterministic in (0, 1):
        backward(deterministic)
        pairs += [(ours.clone(), their.permute(0, 2, 3, 1)) for ours, their in zip(gradients, wanted)]
    worst = max(((ours - their).abs().max() / their.abs().max().clamp(min=1e-30)).item() for ours, their in pairs)
    print(f"largest difference from torchvision, of the largest number: {worst:.1e}")
    if not worst < 1e-4:
        sys.exit("the numbers differ from torchvision's")


def compare_nms(torch, torchvision, library, repeats):
    """Ten lists (two images of five levels) in one call, against one batched_nms per image."""
    random = np.random.default_rng(0)
    images, levels, each, keep = 2, 5, 2000, 1000
    count = levels * each
    boxes = torch.from_numpy(random_boxes(random, images * count, 800, 1344)).cuda().view(images, count, 4)
    # No two scores are equal, since torchvision does not define the order of equal ones.
    scores = torch.stack([torch.randperm(count, device="cuda") for _ in range(images)]).float() / count
    classes = (torch.arange(count, device="cuda") // each).to(torch.int32).expand(images, count).contiguous()
    problem = NmsProblem(images, count, keep, 0, 0.7, -1.0, 0.5, 0)
    size = ctypes.c_size_t()
    check(library.awsdet_nms_workspace(ctypes.byref(problem), ctypes.byref(size)))
    workspace = torch.empty(size.value, device="cuda", dtype=torch.uint8)
    indices = torch.empty((images, keep), device="cuda", dtype=torch.int32)
    kept_scores = torch.empty((images, keep), device="cuda")
    kept_count = torch.empty(images, device="cuda", dtype=torch.int32)
    kept_boxes = torch.empty((images, keep, 4), device="cuda")
    kept_classes = torch.empty((images, keep), device="cuda", dtype=torch.int32)
    valid = torch.empty((images, keep), device="cuda", dtype=torch.bool)
    outputs = (indices, kept_scores, kept_count, kept_boxes, kept_classes, valid)
    kept = (ctypes.c_void_p * len(outputs))(*(address(output) for output in outputs))  # KeptBoxes of nms_rule.h
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)

    def ours():
        inputs = (address(boxes), address(scores), address(classes), address(workspace), size)
        check(library.awsdet_nms(ctypes.byref(problem), *inputs, kept, stream))

    def theirs():
        return [torchvision.ops.batched_nms(boxes[i], scores[i], classes[i], 0.7)[:keep] for i in range(images)]

    ours()
    equal = all(torch.equal(indices[i, : kept_count[i]].long(), kept) for i, kept in enumerate(theirs()))
    print(f"nms: the same boxes as torchvision's: {'yes' if equal else 'NO'}")
    report(f"nms of {images * levels} lists of {each}", medians(torch, {"ours": ours, "torchvision": theirs}, repeats))


def compare_affine(torch, library, name, repeats):
    """Batch norm with stored statistics, residual and ReLU of layer2's output, and all gradients but the residual's."""
    dtype, shape, kind = getattr(torch, name), (2, 100, 168, 512), TYPES[name]
    features, residual, upstream = (torch.randn(shape, device="cuda").to(dtype) for _ in range(3))
    gamma, beta, mean, variance = (torch.rand(shape[-1], device="cuda") + 0.5 for _ in range(4))
    outputs, gradient, own_residual = (torch.empty_like(features) for _ in range(3))
    sums = [torch.empty_like(gamma) for _ in range(2)]
    size = AffineSize(features.numel() // shape[-1], shape[-1])
    parameters = AffineParameters(*(tensor.data_ptr() for tensor in (gamma, beta, mean, variance)), 1e-5)
    bytes_ = library.awsdet_affine_grad_workspace(ctypes.byref(size), 1)
    workspace = torch.empty(max(bytes_, 16), device="cuda", dtype=torch.uint8)
    written = pointers([upstream, outputs, features, gradient, own_residual, *sums])  # AffineGradientPointers
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    common = (kind, ctypes.byref(size), ctypes.byref(parameters))

    def forward():
        check(library.awsdet_affine(*common, address(features), address(residual), 1, address(outputs), stream))

    def backward():
        check(library.awsdet_affine_grad(*common, written, address(workspace), stream))

    trained = [tensor.clone().requires_grad_() for tensor in (features, gamma, beta)]

    def theirs():
        scale = trained[1] / torch.sqrt(variance + 1e-5)
        return torch.relu(trained[0] * scale + (trained[2] - mean * scale) + residual)

    forward()
    backward()
    expected = theirs()
    upper = upstream.to(expected.dtype)
    wanted = torch.autograd.grad(expected, trained, upper, retain_graph=True)
    # Low precision rounds once here and, in PyTorch, where its types say; sums are over 33,600 rows.
    require_close([outputs, gradient, *sums], [expected, *wanted], 1e-4 if name == "float32" else 2e-2)
    functions = {"ours": forward, "ours, gradient": backward, "PyTorch": theirs}
    functions["PyTorch, gradient"] = lambda: torch.autograd.grad(expected, trained, upper, retain_graph=True)
    report(f"affine {shape}, norm, residual, ReLU, {name}", medians(torch, functions, repeats))


def compare_decode_boxes(torch, library, name, repeats):
    """The boxes of 80 classes for 1000 RoIs of each of two images."""
    dtype, images, count, classes = getattr(torch, name), 2, 1000, 80
    random = np.random.default_rng(0)
    deltas = torch.randn((images, count, classes, 4), device="cuda").to(dtype)
    boxes = torch.from_numpy(random_boxes(random, images * count, 800, 1344)).cuda().view(images, count, 4)
    image_size = torch.tensor([[800, 1344]] * images, device="cuda", dtype=torch.int32)
    decoded = torch.empty((images, count, classes, 4), device="cuda")
    labels = torch.empty((images, count, classes), device="cuda", dtype=torch.int32)
    stds, limit = (0.1, 0.1, 0.2, 0.2), 4.135166556742356
    sizes, rule = DecodeSizes(images, count, classes, classes), BoxDecoding((ctypes.c_float * 4)(*stds), limit)
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    factors, bounds = torch.tensor(stds, device="cuda"), torch.tensor([1344.0, 800.0], device="cuda")

    def ours():
        inputs = (address(deltas), address(boxes), address(image_size), address(decoded), address(labels))
        check(library.awsdet_decode_boxes(TYPES[name], ctypes.byref(sizes), ctypes.byref(rule), *inputs, stream))

    def theirs():
        moves = deltas.float() * factors
        extent = (boxes[..., 2:] - boxes[..., :2]).unsqueeze(2)
        centre = (boxes[..., 2:] + boxes[..., :2]).unsqueeze(2) / 2 + moves[..., :2] * extent
        half = extent * torch.exp(moves[..., 2:].clamp(-limit, limit)) / 2
        corners = torch.stack([centre - half, centre + half], dim=-2)
        return torch.minimum(corners.clamp(min=0), bounds).flatten(-2)

    ours()
    require_close([decoded, labels.float()], [theirs(), torch.arange(80.0, device="cuda").expand(labels.shape)], 1e-5)
    report(
        f"decode_boxes {images} x {count} x {classes}, {name}",
        medians(torch, {"ours": ours, "PyTorch": theirs}, repeats),
    )


def require_close(ours, theirs, tolerance):
    """Ends the program if two tensors of the lists differ by more than `tolerance` of the largest number."""
    for mine, other in zip(ours, theirs):
        mine, other = mine.float(), other.float()
        apart = ((mine - other).abs().max() / other.abs().max()).item()
        if not apart <= tolerance:
            sys.exit(f"the numbers differ from PyTorch's by {apart:.1e} of the largest")


def report(title, times):
    print(title)
    for name, time in times.items():
        print(f"  {name:<24} {time:8.3f} ms")


if __name__ == "__main__":
    main()
