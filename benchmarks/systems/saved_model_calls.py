"""Times a SavedModel that TensorFlow alone loads, and says what is inside; prints one line of JSON.

    python benchmarks/systems/saved_model_calls.py exported/1 photo.jpg [--signature=serving_default] [--steps 5]

The signature has one input: strings, which are encoded images, or pixels, uint8 [B, H, W, 3]. Those of strings are also
asked what they make of a JPEG that its EXIF block says is turned, and of two images of different sizes in one call.
"""

import argparse
import io
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from benchmarks import measure

WARMUP = 2
ORIENTATION, QUARTER_TURN = 0x0112, 6  # the EXIF tag and its value for "turn by 90 degrees to see it"
COUNTS = ("count", "num_detections")  # outputs that say how many objects were found: ours, Model Garden's
SIZES = {"image_size": lambda value: value[0], "image_info": lambda value: value[0, 0]}  # -> height, width


def main(flags):
    begin = time.perf_counter()
    model = tf.saved_model.load(flags.model)
    load_seconds = time.perf_counter() - begin
    call = model.signatures[flags.signature]
    (name, spec), *others = call.structured_input_signature[1].items()
    if others:
        sys.exit(f"{flags.signature} of {flags.model} has {1 + len(others)} inputs, not one")
    encoded = pathlib.Path(flags.image).read_bytes()
    strings = spec.dtype == tf.string
    images = [encoded] if strings else [np.asarray(Image.open(flags.image).convert("RGB"))]
    inputs = {name: tf.constant(images, spec.dtype)}
    outputs = call(**inputs)
    figures = measure.wall_and_processor_seconds(
        lambda: [output.numpy() for output in call(**inputs).values()], WARMUP, flags.steps
    )
    print(
        json.dumps(
            {
                "load_seconds": load_seconds,
                **figures,
                "peak_memory": measure.peak_memory(),
                "objects": int(next(outputs[count] for count in COUNTS if count in outputs)[0]),
                "nodes": nodes(pathlib.Path(flags.model)),
                "signatures": sorted(model.signatures),
                "outputs": {key: [*value.shape.as_list(), value.dtype.name] for key, value in outputs.items()},
                **(answers(lambda *given: call(**{name: tf.constant(given)}), encoded) if strings else {}),
            }
        )
    )


def nodes(folder):
    """The number of nodes of all graphs of a SavedModel, those of its functions included."""
    held = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graphs = [meta.graph_def for meta in held.meta_graphs]
    return sum(len(graph.node) + sum(len(each.node_def) for each in graph.library.function) for graph in graphs)


def answers(call, encoded):
    """What a model makes of encoded images: {"turns": whether it heeds EXIF, "mixes": whether it takes two sizes}."""
    upright = Image.open(io.BytesIO(encoded))
    turned, smaller = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    upright.save(turned, "JPEG", exif=exif)
    upright.resize((upright.width // 2, upright.height // 4)).save(smaller, "JPEG")
    try:
        call(encoded, smaller.getvalue())
        mixes = True
    except tf.errors.InvalidArgumentError:
        mixes = False
    seen = size_of(call(turned.getvalue()))
    return {"turns": None if seen is None else seen == [upright.width, upright.height], "mixes": mixes}


def size_of(outputs):
    """[height, width] of the first image as the model says; None if it does not say."""
    return next(
        (read(outputs[key].numpy()).astype(int).tolist() for key, read in SIZES.items() if key in outputs), None
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="the folder that holds saved_model.pb")
    parser.add_argument("image", help="a JPEG")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--steps", type=int, default=5)
    main(parser.parse_args())
