"""Weights made from their names, and how other systems would store them: from mmdetection's names to theirs."""

import re

import numpy as np

from awsdet.weights import mmdet
from tests.models.named_weights import array_named


def arrays_for(detector):
    """An array for each weight of a detector: mmdetection's name -> array in mmdetection's layout."""
    shapes = {key: array.shape for key, array in mmdet.export(detector).items()}
    return {key: array_named(key, shape) for key, shape in shapes.items()}


def backbone_part(arrays):
    return {key: value for key, value in arrays.items() if key.startswith("backbone.")}


def background_first(rows):
    return np.concatenate([rows[-1:], rows[:-1]])


# ---------------------------------------------------------------------------------------------------------- tensorpack

_TENSORPACK_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "mean/EMA", "running_var": "variance/EMA"}


def tensorpack(arrays):
    """Names and layouts of tensorpack's examples/FasterRCNN, with a classifier and other variables of training."""
    found = {"linear/W": np.ones((2048, 1000)), "linear/b": np.ones(1000), "global_step": np.array(7)}
    for key, value in arrays.items():
        *path, kind = key.split(".")
        found.update(_tensorpack_backbone(path[1:], kind, value) if path[0] == "backbone" else {})
        found.update(_tensorpack_head(".".join(path), kind, value) if path[0] != "backbone" else {})
    return found


def _tensorpack_backbone(path, kind, value):
    if path[0].startswith("layer"):
        folder = f"group{int(path[0][5:]) - 1}/block{path[1]}/"
        layer = "convshortcut" if path[2] == "downsample" else f"conv{path[2][-1]}"
        is_norm = path[2].startswith("bn") or path[2:] == ["downsample", "1"]
    else:
        folder, layer, is_norm = "", "conv0", path[0] == "bn1"
    if is_norm:
        return {f"{folder}{layer}/bn/{_TENSORPACK_NORM[kind]}": value}
    return {f"{folder}{layer}/W": np.transpose(value, (2, 3, 1, 0))}


def _tensorpack_head(path, kind, value):
    names = {
        r"neck\.lateral_convs\.(\d)\.conv": lambda m: f"fpn/lateral_1x1_c{int(m[1]) + 2}",
        r"neck\.fpn_convs\.(\d)\.conv": lambda m: f"fpn/posthoc_3x3_p{int(m[1]) + 2}",
        r"rpn_head\.rpn_conv": lambda m: "rpn/conv0",
        r"rpn_head\.rpn_cls": lambda m: "rpn/class",
        r"rpn_head\.rpn_reg": lambda m: "rpn/box",
        r"roi_head\.bbox_head\.shared_fcs\.(\d)": lambda m: f"fastrcnn/fc{int(m[1]) + 6}",
        r"roi_head\.bbox_head\.(\d)\.shared_fcs\.(\d)": lambda m: (
            f"cascade_rcnn_stage{int(m[1]) + 1}/head/fc{int(m[2]) + 6}"
        ),
        r"roi_head\.bbox_head\.fc_(cls|reg)": lambda m: f"fastrcnn/outputs/{'class' if m[1] == 'cls' else 'box'}",
        r"roi_head\.bbox_head\.(\d)\.fc_(cls|reg)": lambda m: (
            f"cascade_rcnn_stage{int(m[1]) + 1}/outputs/{'class' if m[2] == 'cls' else 'box'}"
        ),
        r"roi_head\.mask_head\.(?:0\.)?convs\.(\d)\.conv": lambda m: f"maskrcnn/fcn{m[1]}",
        r"roi_head\.mask_head\.(?:0\.)?upsample": lambda m: "maskrcnn/deconv",
        r"roi_head\.mask_head\.(?:0\.)?conv_logits": lambda m: "maskrcnn/conv",
    }
    name = next((name(match) for p, name in names.items() if (match := re.fullmatch(p, path))), None)
    if name is None:
        return {}  # the second and third mask head of a cascade, which tensorpack lacks
    if path.endswith("fc_cls"):
        value = background_first(value)
    if path.endswith("fc_reg") and len(value) > 4:
        value = np.concatenate([np.full_like(value[:4], 9.0), value])  # boxes of the background, never used
    if kind == "bias":
        return {f"{name}/b": value}
    if "upsample" in path:  # (in, out, h, w) -> (h, w, out, in)
        return {f"{name}/W": np.transpose(value, (2, 3, 1, 0))}
    return {f"{name}/W": np.transpose(value, (2, 3, 1, 0) if value.ndim == 4 else (1, 0))}


# ----------------------------------------------------------------------------------------------------------- Detectron

_BRANCHES = {"1": "2a", "2": "2b", "3": "2c"}
_LAST_BLOCK = {"0": "res2_2", "1": "res3_3", "2": "res4_5", "3": "res5_2"}  # of ResNet-50


def detectron(arrays, affine=True):
    """Names and layouts of Caffe2's Detectron. `affine`: BatchNorm has only scale and offset; else statistics too."""
    kinds = {"weight": "s", "bias": "b"} if affine else {"weight": "gamma", "bias": "beta"}
    if not affine:
        kinds.update(running_mean="running_mean", running_var="running_var")
    found = {"fc1000_w": np.ones((1000, 2048)), "lr": np.float32(0.1)}
    for key, value in arrays.items():
        *path, kind = key.split(".")
        if path[0] == "backbone":
            name, is_norm = _detectron_place(path[1:])
            if is_norm and kind in kinds:
                found[f"{name}_bn_{kinds[kind]}"] = value
            elif not is_norm:
                found[f"{name}_w"] = value
        else:
            is_norm = path[-1] == "gn"
            name, value = _detectron_head(".".join([*path[:-1], "conv"] if is_norm else path), value)
            name += f"_gn_{'s' if kind == 'weight' else 'b'}" if is_norm else f"_{kind[0]}"
            found[name], found[f"{name}_momentum"] = value, np.zeros_like(value)
    return found


def _detectron_place(path):
    if not path[0].startswith("layer"):
        return ("res_conv1", True) if path[0] == "bn1" else ("conv1", False)
    folder = f"res{int(path[0][5:]) + 1}_{path[1]}_branch"
    if path[2] == "downsample":
        return f"{folder}1", path[3] == "1"
    return f"{folder}{_BRANCHES[path[2][-1]]}", path[2].startswith("bn")


def _detectron_head(path, value):
    level = path.split(".")[2] if path.startswith("neck") else ""
    if "lateral" in path:
        return f"fpn_inner_{_LAST_BLOCK[level]}_sum" + ("" if level == "3" else "_lateral"), value
    if "fpn_convs" in path:
        return f"fpn_{_LAST_BLOCK[level]}_sum", value
    conv = re.fullmatch(r"roi_head\.(?:mask_head|bbox_head)\.(?:shared_)?convs\.(\d)\.conv", path)
    if conv:
        return f"{'_[mask]_fcn' if 'mask' in path else 'head_conv'}{int(conv[1]) + 1}", value
    name = {
        "rpn_head.rpn_conv": "conv_rpn_fpn2",
        "rpn_head.rpn_cls": "rpn_cls_logits_fpn2",
        "rpn_head.rpn_reg": "rpn_bbox_pred_fpn2",
        "roi_head.bbox_head.shared_fcs.0": "fc6",
        "roi_head.bbox_head.shared_fcs.1": "fc7",
        "roi_head.bbox_head.fc_cls": "cls_score",
        "roi_head.bbox_head.fc_reg": "bbox_pred",
        "roi_head.mask_head.upsample": "conv5_mask",
        "roi_head.mask_head.conv_logits": "mask_fcn_logits",
    }[path]
    if name == "cls_score":
        value = background_first(value)
    if name in ("bbox_pred", "mask_fcn_logits"):  # rows of the background, never used
        value = np.concatenate([np.full_like(value[: 4 if name == "bbox_pred" else 1], 9.0), value])
    return name, value


# ---------------------------------------------------------------------------------------------------------- Detectron2


def detectron2(arrays, prefix="backbone.bottom_up."):
    """Names and layouts of Detectron2."""
    found = {"proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4))}
    first = 2 if "neck.lateral_convs.3.conv.weight" in arrays else 3
    for key, value in arrays.items():
        *path, kind = key.split(".")
        if path[0] == "backbone":
            found[f"{prefix}{_detectron2_place(path[1:])}.{kind}"] = value
        elif path[0] == "neck":
            level = int(path[2]) + first
            name = {"lateral_convs": "fpn_lateral", "fpn_convs": "fpn_output"}[path[1]]
            norm = "norm." if path[3] in ("bn", "gn") else ""
            name = f"top_block.p{level}" if level > 5 else f"{name}{level}"
            found[f"backbone.{name}.{norm}{kind}"] = value
        else:
            name = _detectron2_head(".".join(path))
            if name in ("head.cls_score", "head.bbox_pred"):  # by size, ratio; mmdetection's are by ratio, size
                value = np.concatenate(
                    [value.reshape(3, 3, -1, *value.shape[1:])[ratio, size] for size in range(3) for ratio in range(3)]
                )
            if name:
                found[f"{name}.{kind}"] = value
    return found


def _detectron2_place(path):
    if not path[0].startswith("layer"):
        return "stem.conv1" + (".norm" if path[0] in ("bn1", "gn1") else "")
    layer = "shortcut" if path[2] == "downsample" else f"conv{path[2][-1]}"
    is_norm = path[2][:2] in ("bn", "gn") or path[2:] == ["downsample", "1"]
    return f"res{int(path[0][5:]) + 1}.{path[1]}.{layer}" + (".norm" if is_norm else "")


def _detectron2_head(path):
    names = {
        r"rpn_head\.rpn_conv": r"proposal_generator.rpn_head.conv",
        r"rpn_head\.rpn_conv\.(\d)\.conv": r"proposal_generator.rpn_head.conv.conv\1",
        r"rpn_head\.rpn_cls": r"proposal_generator.rpn_head.objectness_logits",
        r"rpn_head\.rpn_reg": r"proposal_generator.rpn_head.anchor_deltas",
        r"roi_head\.bbox_head\.((?:\d\.)?)fc_cls": r"roi_heads.box_predictor.\1cls_score",
        r"roi_head\.bbox_head\.((?:\d\.)?)fc_reg": r"roi_heads.box_predictor.\1bbox_pred",
        r"roi_head\.mask_head\.(?:0\.)?upsample": r"roi_heads.mask_head.deconv",
        r"roi_head\.mask_head\.(?:0\.)?conv_logits": r"roi_heads.mask_head.predictor",
        r"bbox_head\.retina_cls": r"head.cls_score",
        r"bbox_head\.retina_reg": r"head.bbox_pred",
    }
    for ours, theirs in names.items():
        if re.fullmatch(ours, path):
            return re.sub(ours, theirs, path)
    numbered = {
        r"roi_head\.bbox_head\.((?:\d\.)?)shared_fcs\.(\d)": lambda m: f"roi_heads.box_head.{m[1]}fc{int(m[2]) + 1}",
        r"roi_head\.bbox_head\.shared_convs\.(\d)\.(conv|bn|gn)": lambda m: (
            f"roi_heads.box_head.conv{int(m[1]) + 1}{'' if m[2] == 'conv' else '.norm'}"
        ),
        r"roi_head\.mask_head\.(?:0\.)?convs\.(\d)\.(conv|bn|gn)": lambda m: (
            f"roi_heads.mask_head.mask_fcn{int(m[1]) + 1}{'' if m[2] == 'conv' else '.norm'}"
        ),
        r"bbox_head\.(cls|reg)_convs\.(\d)\.conv": lambda m: (
            f"head.{'cls' if m[1] == 'cls' else 'bbox'}_subnet.{2 * int(m[2])}"
        ),
    }
    return next((name(match) for p, name in numbered.items() if (match := re.fullmatch(p, path))), None)
