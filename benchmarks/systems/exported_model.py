"""Times an exported model that is called in this process, image after image; prints one line of JSON.

    python benchmarks/systems/exported_model.py --model=exported --image=photo.jpg --request=encoded

It is what benchmarks/serving.py compares the server with.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import tensorflow as tf
from PIL import Image

from awsdet.export.contract import ENCODED, PIXELS, find_whole
from awsdet.export.loading import load_graph
from benchmarks import measure

WARMUP = 5


def main(flags):
    model = load_graph(find_whole(flags.model, "savedmodel"))
    if flags.request == "encoded":
        signature, images = ENCODED, {"image_bytes": tf.constant([pathlib.Path(flags.image).read_bytes()])}
    else:
        signature, images = PIXELS, {"image": tf.constant(np.asarray(Image.open(flags.image).convert("RGB"))[None])}
    images = {name: tf.repeat(image, flags.batch, axis=0) for name, image in images.items()}
    call = model.signatures[signature]
    objects = int(call(**images)["count"][0])

    def detect():
        return [output.numpy() for output in call(**images).values()]

    figures = measure.wall_and_processor_seconds(detect, WARMUP, flags.steps)
    print(json.dumps({**figures, "objects": objects}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--request", choices=("encoded", "pixels"), required=True)
    parser.add_argument("--batch", type=int, default=1, help="the image so many times per call")
    parser.add_argument("--steps", type=int, default=50)
    main(parser.parse_args())
