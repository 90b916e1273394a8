"""The parts of detectors and their sizes."""

import pytest

from awsdet.models import builder
from awsdet.training.parameters import Part, part_of, parts_of
from tests.training.tiny_run import load_config


def test_every_parameter_is_counted_once(config_file):
    detector = builder.build(
        load_config(config_file, "model.backbone.frozen_stages=2", "model.backbone.norm=frozen_batch_norm"),
        ["one"],
    )
    parts = {part.name: part for part in parts_of(detector)}
    names = ["stem", "layer1", "layer2", "layer3", "layer4", "FPN", "RPN", "box head", "mask head"]
    assert list(parts) == names
    assert parts["stem"] == Part("stem", 0, 7 * 7 * 3 * 4 + 2 * 4)  # the kernel, gamma and beta; not the statistics
    assert [bool(part.trained) for part in parts.values()] == [False] * 3 + [True] * 6
    assert not any(part.frozen for part in list(parts.values())[3:])
    trained = sum(int(variable.shape.num_elements()) for variable in detector.trainable_variables)
    assert sum(part.trained for part in parts.values()) == trained


@pytest.mark.parametrize(
    "name, part",
    [
        ("backbone.conv1.kernel", "stem"),
        ("backbone.stem.3.gamma", "stem"),
        ("backbone.stage2.0.branches.1", "stage2"),
        ("roi_head.mask_iou_head.fcs.0.bias", "mask IoU head"),
        ("bbox_head.retina_cls", "head"),
        ("theirs.conv.kernel", "theirs"),
    ],
)
def test_names(name, part):
    assert part_of(name) == part
