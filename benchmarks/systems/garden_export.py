"""Exports a detector of TensorFlow Model Garden by its own exporter; prints one line of JSON.

    .venv-peers/bin/python benchmarks/systems/garden_export.py RetinaNet exported --sides 512 640 --classes=80

It is the published ResNet-50-FPN config for COCO with the initial weights that it draws, in float32. The number of
images per call is left open, as Model Garden's export script does without flags.
"""

import argparse
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import tensorflow as tf
from official.core import exp_factory
from official.vision import registry_imports  # noqa: F401
from official.vision.serving import export_saved_model_lib
from official.vision.serving.detection import DetectionModule

from benchmarks import measure

CONFIGS = {"Mask R-CNN": "maskrcnn_resnetfpn_coco", "RetinaNet": "retinanet_resnetfpn_coco"}


def main(flags):
    tf.random.set_seed(5)
    config = exp_factory.get_exp_config(CONFIGS[flags.detector])
    config.task.model.num_classes = flags.classes + 1  # includes the background
    config.task.model.input_size = [*flags.sides, 3]
    config.task.model.detection_generator.pre_nms_score_threshold = flags.score_threshold
    module = DetectionModule(
        params=config, batch_size=None, input_image_size=flags.sides, input_type=flags.input, num_channels=3
    )
    begin = time.perf_counter()
    export_saved_model_lib.export_inference_graph(
        input_type=flags.input,
        batch_size=None,
        input_image_size=flags.sides,
        params=config,
        checkpoint_path=None,
        export_dir=flags.output,
        export_module=module,
    )
    print(json.dumps({"export_seconds": time.perf_counter() - begin, "export_peak_memory": measure.peak_memory()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=list(CONFIGS))
    parser.add_argument("output", help="folder of the SavedModel")
    parser.add_argument("--sides", nargs=2, type=int, required=True, help="px, height and width of all images inside")
    parser.add_argument("--classes", type=int, required=True, help="without the background")
    parser.add_argument("--score-threshold", type=float, default=0.05, help="objects below it are left out")
    parser.add_argument("--input", choices=("image_bytes", "image_tensor"), default="image_bytes")
    main(parser.parse_args())
