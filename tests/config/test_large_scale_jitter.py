"""The recipe of Detectron2's new baselines against its own numbers and the layers of its models, listed by hand."""

import math
import pathlib

import numpy as np
import pytest

from awsdet import config as config_lib
from awsdet.data.reader import pipeline, plan
from awsdet.data.reader.builder import reader_options
from awsdet.models.builder import build
from awsdet.training.schedule import build_schedule
from awsdet.weights import formats, mmdet
from tests.data.reader.test_plan import make_manifest
from tests.weights.published import DEPTHS, bottlenecks, layer, norm

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def load(name="mask_rcnn_r50_fpn_lsj_100ep"):
    return config_lib.load(CONFIGS / f"{name}.py")


@pytest.fixture(scope="module")
def shapes():
    """mmdetection's name -> shape in mmdetection's layout, of the model at its real size."""
    return {key: array.shape for key, array in mmdet.export(build(load(), [str(i) for i in range(80)])).items()}


def detectron2():
    """Detectron2's name -> shape. A convolution has a bias or a norm."""
    found = {}

    def conv(path, *shape):
        found[f"{path}.weight"] = shape
        found.update(norm(f"{path}.norm", shape[0]))

    conv("backbone.bottom_up.stem.conv1", 64, 3, 7, 7)
    for stage, block, part, ins, outs, window, _ in bottlenecks(DEPTHS[50]):
        path = f"backbone.bottom_up.res{stage + 1}.{block}.{part.replace('downsample', 'shortcut')}"
        conv(path, outs, ins, window, window)
    for level, ins in zip(range(2, 6), (256, 512, 1024, 2048)):
        conv(f"backbone.fpn_lateral{level}", 256, ins, 1, 1)
        conv(f"backbone.fpn_output{level}", 256, 256, 3, 3)
    for index in range(2):
        found.update(layer(f"proposal_generator.rpn_head.conv.conv{index}", 256, 256, 3, 3))
    found.update(layer("proposal_generator.rpn_head.objectness_logits", 3, 256, 1, 1))
    found.update(layer("proposal_generator.rpn_head.anchor_deltas", 12, 256, 1, 1))
    for index in range(1, 5):
        conv(f"roi_heads.box_head.conv{index}", 256, 256, 3, 3)
        conv(f"roi_heads.mask_head.mask_fcn{index}", 256, 256, 3, 3)
    found.update(layer("roi_heads.box_head.fc1", 1024, 256 * 7 * 7))
    found.update(layer("roi_heads.box_predictor.cls_score", 81, 1024))
    found.update(layer("roi_heads.box_predictor.bbox_pred", 320, 1024))
    found.update(layer("roi_heads.mask_head.deconv", 256, 256, 2, 2))
    found.update(layer("roi_heads.mask_head.predictor", 80, 256, 1, 1))
    return found


def test_names_and_shapes_are_those_of_detectron2(shapes):
    theirs = detectron2()
    places = {source: target for source, target, _ in formats.detectron2(theirs.keys()) if source in theirs}
    assert places.keys() == theirs.keys()
    assert {places[source]: shape for source, shape in theirs.items()} == shapes


def test_numbers_of_parameters(shapes):
    """Counted by hand; and in torchvision's maskrcnn_resnet50_fpn_v2 and fasterrcnn_resnet50_fpn_v2, of one design."""

    def count(prefix):
        parameters = (shape for key, shape in shapes.items() if key.startswith(prefix) and "running" not in key)
        return sum(map(math.prod, parameters))

    with_norm = 256 * 256 * 9 + 2 * 256
    assert count("rpn_head.") == 2 * (256 * 256 * 9 + 256) + (256 * 3 + 3) + (256 * 12 + 12)
    dense = (12544 * 1024 + 1024) + (1024 * 81 + 81) + (1024 * 320 + 320)
    assert count("roi_head.bbox_head.") == 4 * with_norm + dense
    assert count("roi_head.mask_head.") == 4 * with_norm + (256 * 256 * 4 + 256) + (256 * 80 + 80)
    assert count("neck.") == 256 * (256 + 512 + 1024 + 2048) + 4 * 256 * 256 * 9 + 8 * 2 * 256
    assert count("backbone.") == 23_508_032
    # Theirs has 91 classes with the background, and boxes and masks for the background too.
    more = (91 - 81) * 1025 + (364 - 320) * 1025
    assert count("") + more + (91 - 80) * 257 == 46_359_409
    assert count("") - count("roi_head.mask_head.") + more == 43_712_278


@pytest.mark.parametrize("epochs", [100, 200, 400])
def test_learning_rates_are_those_of_detectron2(epochs):
    config, times = load(f"mask_rcnn_r50_fpn_lsj_{epochs}ep"), epochs // 100
    assert config.train.epochs == epochs and config.optimizer.base_batch == 64
    steps = 184_375 * times
    rate = build_schedule(config.schedule, config.optimizer.learning_rate, steps // epochs, steps)
    found = [float(rate(step)) for step in (0, 250 * times, 500 * times)]
    np.testing.assert_allclose(found, [0.0067, 0.05335, 0.1], rtol=1e-5)
    # The last step before each of its milestones and the first after, up to the rounding of the share.
    for milestone, before in ((163_889 * times, 0.1), (177_546 * times, 0.01)):
        found = [float(rate(milestone + step)) for step in (-3, 3)]
        np.testing.assert_allclose(found, [before, before / 10], rtol=1e-5)


def test_nothing_is_frozen_and_all_norms_are_live():
    model = load().model
    parts = (model.backbone, model.fpn, model.box_head, model.mask_head)
    assert {part.norm for part in parts} == {"sync_batch_norm"} and model.backbone.frozen_stages == -1


@pytest.mark.parametrize("world_size", [1, 4])
def test_all_batches_have_one_shape(world_size):
    """And images without objects are left out."""
    manifest, options = make_manifest(70, 43), reader_options(load().data)
    records = pipeline.trainable_records(manifest, options)
    assert 0 < len(records) < manifest.num_images and (manifest.num_objects[records] > 0).all()
    for rank in range(world_size):
        found = plan.train_epoch(manifest, records, options, 1, 0, rank, world_size)
        assert len(found.padded) == len(found.record) and (found.padded == 1024).all()
        assert (found.placement.window <= 1024).all() and (found.placement.window < 1024).any()
        assert (found.placement.size > 1024).any()
