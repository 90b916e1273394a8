"""Every variable of a new detector starts as the reference's rule for it says; docs/parity.md tells where each is from.

The rules are written here in PyTorch's terms, for arrays in its layout: (outputs, inputs, height, width), but (inputs,
outputs, height, width) for a transposed convolution. `fan_in` and `fan_out` are what PyTorch calls so. They must also
agree with what the reference's own classes drew (tests/fixtures/initial_values).
"""

import math
import pathlib
import re
from typing import NamedTuple

import numpy as np
import pytest

from awsdet import config as config_module
from awsdet.models.builder import build
from awsdet.weights import mmdet
from awsdet.weights.classes import COCO

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
DRAWN = pathlib.Path(__file__).parents[1] / "fixtures" / "initial_values" / "mmdetection.npz"
SIGMAS = 5  # of sampling error that a moment may be off; of 3,000 that are looked at, one in 600 runs would be


def fan_in(shape):
    return shape[1] * math.prod(shape[2:])


def fan_out(shape):
    return shape[0] * math.prod(shape[2:])


class Statistics(NamedTuple):
    """Mean, standard deviation and largest magnitude of an array."""

    shape: tuple
    mean: float
    std: float
    largest: float


def statistics_of(array):
    rows = array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
    mean = np.mean(array, dtype=np.float64)
    # Squares are added in float32 within a row, then in float64.
    square = np.sum(np.einsum("ij,ij->i", rows, rows), dtype=np.float64) / array.size
    return Statistics(array.shape, mean, math.sqrt(max(square - mean**2, 0)), np.abs(array).max())


class Constant(NamedTuple):
    value: float

    def faults(self, drawn):
        near = abs(drawn.mean - self.value) <= 1e-6 * abs(self.value) and drawn.std <= 1e-3 * abs(self.value)
        return [] if near and drawn.largest <= abs(self.value) * (1 + 1e-6) else [f"is not {self.value} throughout"]


class Normal(NamedTuple):
    """`std`: the standard deviation of an array, a function of its shape."""

    std: object

    def faults(self, drawn):
        wanted, count = self.std(drawn.shape), math.prod(drawn.shape)
        faults = _moments(drawn, wanted, std_error=math.sqrt(1 / (2 * count)))
        # Of 400 numbers or more, the largest is above 2.1 standard deviations but once in a million arrays.
        if count >= 400 and drawn.largest < 2.1 * wanted:
            faults.append(f"has nothing beyond {drawn.largest / wanted:.2f} standard deviations")
        return faults


class Uniform(NamedTuple):
    """`bound`: the largest magnitude in an array, a function of its shape."""

    bound: object

    def faults(self, drawn):
        bound, count = self.bound(drawn.shape), math.prod(drawn.shape)
        faults = _moments(drawn, bound / math.sqrt(3), std_error=math.sqrt(1 / (5 * count)))
        reached = drawn.largest / bound
        # The largest of `count` numbers is further from the bound than this once in exp(15) = 3 million arrays.
        if not 1 - 15 / count <= reached <= 1 + 1e-6:
            faults.append(f"reaches {reached:.6f} of its bound {bound:.6f}")
        return faults


def _moments(drawn, std, std_error):
    """`std_error`: the standard error of the standard deviation, as a share of it."""
    faults = []
    if abs(drawn.mean) > SIGMAS * std / math.sqrt(math.prod(drawn.shape)):
        faults.append(f"has mean {drawn.mean:.3e} and should have 0")
    if abs(drawn.std / std - 1) > SIGMAS * std_error:
        faults.append(f"has standard deviation {drawn.std:.6f} and should have {std:.6f}")
    return faults


KAIMING = Normal(lambda shape: math.sqrt(2 / fan_out(shape)))
XAVIER = Uniform(lambda shape: math.sqrt(6 / (fan_in(shape) + fan_out(shape))))
CAFFE2_XAVIER = Uniform(lambda shape: math.sqrt(3 / fan_in(shape)))
CLASS_NORMAL, BOX_NORMAL = Normal(lambda shape: 0.01), Normal(lambda shape: 0.001)
ZERO, ONE = Constant(0), Constant(1)
PRIOR = Constant(-math.log((1 - 0.01) / 0.01))  # a sigmoid makes it 0.01

# Pattern of names of variables -> rule. A name must match exactly one pattern of its detector.
NORMS = {r".*\.beta": ZERO, r".*\.mean": ZERO, r".*\.variance": ONE}
RESNET = {r"backbone\..*\.kernel": KAIMING, r"backbone\.(?!layer\d\.\d+\.conv3).*\.gamma": ONE}
LAST_OF_BLOCK = r"backbone\.layer\d\.\d+\.conv3\.gamma"
HRNET = {r"backbone\..*\.kernel": KAIMING, r"backbone\..*\.gamma": ONE}
NECK = {r"neck\..*\.bias": ZERO, r"neck\..*\.gamma": ONE}
FPN = {**NECK, r"neck\..*\.kernel": XAVIER}
HRFPN = {
    **NECK,
    r"neck\.reduction_conv\.conv\.kernel": KAIMING,
    r"neck\.fpn_convs\.\d\.conv\.kernel": CAFFE2_XAVIER,
}
RPN = {
    r"rpn_head\.rpn_(conv|conv\.\d\.conv|cls|reg)\.kernel": CLASS_NORMAL,
    r"rpn_head\.rpn_(conv|conv\.\d\.conv|cls|reg)\.bias": ZERO,
}
BOX_HEAD = {
    r"roi_head\.bbox_head(\.\d)?\.shared_convs\.\d\.conv\.kernel": KAIMING,
    r"roi_head\.bbox_head(\.\d)?\.shared_fcs\.\d\.kernel": XAVIER,
    r"roi_head\.bbox_head(\.\d)?\.fc_cls\.kernel": CLASS_NORMAL,
    r"roi_head\.bbox_head(\.\d)?\.fc_reg\.kernel": BOX_NORMAL,
}
MASK_HEAD = {
    r"roi_head\.mask_head(\.\d)?\.convs\.\d\.conv\.kernel": KAIMING,
    r"roi_head\.mask_head(\.\d)?\.upsample\.kernel": KAIMING,
    r"roi_head\.mask_head(\.\d)?\.conv_logits\.kernel": KAIMING,
}
MASK_IOU_HEAD = {
    r"roi_head\.mask_iou_head\.convs\.\d\.kernel": KAIMING,
    r"roi_head\.mask_iou_head\.fcs\.\d\.kernel": CAFFE2_XAVIER,
    r"roi_head\.mask_iou_head\.fc_mask_iou\.kernel": CLASS_NORMAL,
}
ROI_HEADS = {**BOX_HEAD, **MASK_HEAD, **MASK_IOU_HEAD, r"roi_head\..*\.bias": ZERO, r"roi_head\..*\.gamma": ONE}
RETINA_HEAD = {
    r"bbox_head\.(cls|reg)_convs\.\d\.conv\.kernel": CLASS_NORMAL,
    r"bbox_head\.retina_(cls|reg)\.kernel": CLASS_NORMAL,
    r"bbox_head\.(?!retina_cls).*\.bias": ZERO,
    r"bbox_head\.retina_cls\.bias": PRIOR,
}
STATES = {"step": ZERO, "positives": Constant(100)}  # Detectron2's first normaliser of RetinaNet's loss


def rules_of(model):
    """The patterns and rules of a detector that config.model describes."""
    if model.backbone.name == "hrnet":
        backbone = HRNET
    else:
        # A block whose last gamma was fixed at 0 would never add anything, so then we differ from the reference.
        zero = model.backbone.norm_affine_trainable and model.backbone.groups == 1
        backbone = {**RESNET, LAST_OF_BLOCK: ZERO if zero else ONE}
    neck = HRFPN if model.fpn.name == "hrfpn" else FPN
    heads = RETINA_HEAD if model.detector == "retinanet" else {**RPN, **ROI_HEADS}
    return {**NORMS, **backbone, **neck, **heads, **STATES}


# Configs that have all kinds of parts between them, at ResNet-50's depth, and changes that spare other cases. A Mask
# Scoring R-CNN has the heads of a Mask R-CNN too, and that has those of a Faster R-CNN.
CASES = {
    "mask_scoring_rcnn_r50_fpn_1x": (),
    "cascade_mask_rcnn_r50_fpn_1x": (),
    "retinanet_r50_caffe_fpn_1x": (),
    "mask_rcnn_r50_fpn_gn_2x": (),
    "mask_rcnn_r50_v1d_fpn_1x": ("model.detector=faster_rcnn", "model.fpn.norm=sync_batch_norm"),
    "mask_rcnn_x50_32x4d_fpn_1x": ("model.detector=faster_rcnn",),
    "faster_rcnn_hrnetv2p_w32_1x": (),
    "shapes_mask_rcnn": (),
    "mask_rcnn_r50_fpn_lsj_100ep": (),
    "cascade_mask_rcnn_r50_fpn_lsj_100ep": (),
}
# Which parts of DRAWN are those of a case; what lacks there is as in "r50".
# The last three have no part there: the first has other widths, the others have other RPNs.
DRAWN_AS = dict(zip(CASES, ("r50", "cascade", "retina", "gn", "v1d", "x50", "hrnet")))
INCLUDED = {
    "mask_scoring_rcnn": ("mask_rcnn", "faster_rcnn"),
    "mask_rcnn": ("faster_rcnn",),
    "cascade_mask_rcnn": ("cascade_rcnn",),
}


def config_of(name, changes=()):
    return config_module.load(CONFIGS / f"{name}.py", ["model.backbone.depth=50", *changes])


def parts_of(model):
    """What decides on the variables of a detector apart from depth and number of groups: (part, settings) of each."""

    def settings(section, *keys):  # all kinds of batch norm have the same variables
        return tuple(re.sub("(frozen|sync)_batch", "batch", str(model[section][key])) for key in keys)

    backbone = ("name", "base_width", "branch_width", "norm", "norm_affine_trainable")
    parts = {
        ("backbone", *settings("backbone", *backbone), model.backbone.groups > 1),
        ("neck", *settings("fpn", "name", "channels", "norm", "extra_convs")),
    }
    if model.detector == "retinanet":
        return parts | {("head", model.detector, *settings("retina_head", "convs", "channels"))}
    box = settings("box_head", "name", "convs", "norm", "channels", "class_agnostic", "pool_size")
    mask = settings("mask_head", "convs", "norm", "channels", "class_agnostic")
    for detector in (model.detector, *INCLUDED.get(model.detector, ())):
        parts.add(("box head", detector, *box))
        parts.update([("mask head", detector, *mask)] if "mask" in detector else [])
    return parts


class New(NamedTuple):
    """A new detector: its case, its config.model, and name of each variable -> array in PyTorch's layout and key."""

    case: str
    model: object
    arrays: dict
    keys: dict


@pytest.fixture(scope="module", params=CASES)
def new(request):
    config = config_of(request.param, CASES[request.param])
    detector = build(config, COCO)
    windows, arrays, keys = mmdet.windows(detector), {}, {}
    names = {variable.name.partition(":")[0]: variable for variable in detector.variables}
    assert len(names) == len(detector.variables)
    for name, variable in names.items():
        array = variable.numpy()
        keys[name] = None if name in STATES else mmdet.source_key(name, names)
        arrays[name] = mmdet.to_source(keys[name], array, windows) if array.ndim > 1 else array
    return New(request.param, config.model, arrays, keys)


@pytest.fixture(scope="module")
def drawn():
    """Name of a parameter of the reference, after that of its part -> Statistics of its initial values."""
    with np.load(DRAWN) as file:
        rows = zip(file["names"], file["shapes"], file["statistics"])
        return {str(name): Statistics(tuple(shape[shape > 0]), *numbers) for name, shape, numbers in rows}


def rule_of(name, rules):
    patterns = [pattern for pattern in rules if re.fullmatch(pattern, name)]
    assert len(patterns) == 1, f"{name} has {len(patterns)} rules: {patterns}"
    return rules[patterns[0]]


def test_every_variable_starts_as_its_rule_says(new):
    rules, faults = rules_of(new.model), []
    for name, array in new.arrays.items():
        found = rule_of(name, rules).faults(statistics_of(array))
        faults += [f"{name} {list(array.shape)} {fault}" for fault in found]
    assert not faults, "\n".join(faults)


def test_every_rule_is_that_of_the_reference(new, drawn):
    if new.case not in DRAWN_AS:
        pytest.skip("the reference's statistics have no such model")
    rules, faults = rules_of(new.model), []
    for name, key in new.keys.items():
        if key is None:
            continue
        if not new.model.backbone.norm_affine_trainable and re.fullmatch(LAST_OF_BLOCK, name):
            assert not ZERO.faults(drawn[f"caffe/{key}"]), "the deviation that docs/parity.md states"
            continue
        theirs = drawn.get(f"{DRAWN_AS[new.case]}/{key}") or drawn[f"r50/{key}"]
        assert theirs.shape == new.arrays[name].shape, name
        faults += [f"{key} of the reference {fault}" for fault in rule_of(name, rules).faults(theirs)]
    assert not faults, "\n".join(faults)


def test_every_kernel_is_drawn_by_itself(new):
    kernels = {name: array.ravel()[:8] for name, array in new.arrays.items() if array.ndim > 1}
    # Scaled, since layers of one shape and of different stages may draw the same numbers only times a factor.
    first = {tuple(np.round(numbers / numbers[0], 4)) for numbers in kernels.values()}
    assert len(first) == len(kernels) > 50


def test_every_config_has_only_parts_of_the_cases():
    covered = set().union(*(parts_of(config_of(name, changes).model) for name, changes in CASES.items()))
    files = sorted(path.stem for path in CONFIGS.glob("*.py"))
    assert len(files) > 20
    for name in files:
        assert parts_of(config_of(name).model) <= covered, f"{name}: {parts_of(config_of(name).model) - covered}"


@pytest.mark.parametrize(
    ("rule", "draw", "said"),
    [
        (CLASS_NORMAL, lambda random, size: random.normal(0, 0.0102, size), "standard deviation"),
        (CLASS_NORMAL, lambda random, size: random.normal(0.0003, 0.01, size), "mean"),
        (CLASS_NORMAL, lambda random, size: random.uniform(-(0.0003**0.5), 0.0003**0.5, size), "nothing beyond 1.73"),
        (CLASS_NORMAL, lambda random, size: np.clip(random.normal(0, 0.01, size), -0.02, 0.02), "nothing beyond 2.00"),
        (XAVIER, lambda random, size: random.normal(0, (6 / 65536 / 3) ** 0.5, size), "of its bound"),
        (XAVIER, lambda random, size: random.uniform(-0.00974, 0.00974, size), "standard deviation"),
        (XAVIER, lambda random, size: random.uniform(-0.0095677, 0.0095677, size).clip(-0.00956, 0.00956), "its bound"),
        (ZERO, lambda random, size: np.eye(*size), "is not 0"),
        (PRIOR, lambda random, size: np.full(size, -4.595), "is not"),
        (ONE, lambda random, size: np.where(random.random(size) < 1e-4, 1.001, 1.0), "is not 1"),
    ],
)
def test_a_wrong_start_is_noticed(rule, draw, said):
    """Means off by 3 % of the deviation, deviations and bounds by 2 %, and distributions of another form."""
    array = draw(np.random.default_rng(3), (256, 256)).astype(np.float32)
    assert any(said in fault for fault in rule.faults(statistics_of(array)))


@pytest.mark.parametrize(
    ("rule", "draw"),
    [
        (CLASS_NORMAL, lambda random: random.normal(0, 0.01, (64, 64, 3, 3))),
        (KAIMING, lambda random: random.normal(0, (2 / (64 * 9)) ** 0.5, (64, 32, 3, 3))),
        (XAVIER, lambda random: random.uniform(-((6 / 288) ** 0.5), (6 / 288) ** 0.5, (32, 256))),
        (CAFFE2_XAVIER, lambda random: random.uniform(-((3 / 256) ** 0.5), (3 / 256) ** 0.5, (32, 256))),
    ],
)
def test_a_right_start_is_not(rule, draw):
    for seed in range(20):
        assert not rule.faults(statistics_of(draw(np.random.default_rng(seed)).astype(np.float32)))
