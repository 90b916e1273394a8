"""What each rank of the part `ranks` does; rank 0 writes the result, a dict, to a JSON file.

    horovodrun -np 2 python -m tests.gpu.rank_program result.json

weights: a digest of every rank's weights after updates with images of its own. apart: how far the update that the
ranks make together, an image each, is from that of one process with all the images, as a share of its norm;
weights_apart: the same as a share of the norm of the weights; own: as apart, but of the update that a rank makes alone
with its image. transport: what carried the gradients.
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf

from awsdet.runtime import processes
from awsdet.training.optimizer import SGD
from tests.gpu.scene import SMALL, Scene, repeated

SCENE = Scene(height=320, width=448)
SHORT_RATE = 1e-3  # of the updates after which the weights must be equal


def main(flags):
    world = processes.start()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    scene = SMALL if flags.small else SCENE
    both = scene.batch(world.size)
    mine = tf.nest.map_structure(lambda value: value[world.rank : world.rank + 1], both)
    together = Trainer(scene, world, flags.small)
    shared = together.update(mine)
    alone = Trainer(scene, None, flags.small)
    expected, own = alone.update(both), alone.update(mine)
    batch = scene.batch(1, seed=1 + world.rank)
    digests = world.gather_objects(together.digest_after(batch, 3))
    result = {
        "transport": world.transport,
        "ranks": world.size,
        "weights": digests,
        "apart": max(world.gather_objects(difference(shared, expected) / norm(expected))),
        "weights_apart": max(world.gather_objects(difference(shared, expected) / norm(alone.weights()))),
        "own": min(world.gather_objects(difference(own, expected) / norm(expected))),
    }
    if world.is_chief:
        pathlib.Path(flags.result).write_text(json.dumps(result))
    world.barrier()
    world.close()


class Trainer:
    """A detector that makes updates, from the same weights each time.

    world: None for one process. eagerly: saves the time to trace a step, most of what a small detector takes.
    """

    def __init__(self, scene, world, eagerly):
        self._detector = scene.detector()
        optimizer = SGD(1.0, momentum=0.0, weight_decay=0.0)
        self._detector.compile(optimizer, world=world, loss_normalizer="global", run_eagerly=eagerly)
        self._detector.sampling_keys = _keys
        self._weights = self._detector.get_weights()

    def update(self, batch):
        """The change of all trainable variables by one update: list of arrays."""
        self._detector.set_weights(self._weights)
        before = self.weights()
        self._fit(batch, 1)
        return [after - value for after, value in zip(self.weights(), before)]

    def weights(self):
        """The trainable variables: list of arrays."""
        return [variable.numpy() for variable in self._detector.trainable_variables]

    def digest_after(self, batch, steps):
        """A digest of the trainable variables after some small updates."""
        self._detector.set_weights(self._weights)
        self._detector.optimizer.learning_rate = SHORT_RATE
        self._fit(batch, steps)
        content = b"".join(value.tobytes() for value in self.weights())
        return hashlib.sha256(content).hexdigest()

    def _fit(self, batch, steps):
        self._detector.fit(repeated(batch), steps_per_epoch=steps, verbose=0)


def _keys(name, shape):
    """Sampling keys that are the same for every image, wherever it is in a batch."""
    with tf.device("CPU:0"):
        keys = tf.random.stateless_uniform([1, shape[1]], (5, sum(map(ord, name))))
    return tf.broadcast_to(keys, shape)


def norm(arrays):
    """The L2 norm of all numbers in a list of arrays."""
    return float(np.sqrt(sum(np.sum(np.square(array.astype(np.float64))) for array in arrays)))


def difference(ours, theirs):
    """The L2 norm of the difference of two lists of arrays."""
    return norm([mine.astype(np.float64) - other for mine, other in zip(ours, theirs)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result")
    parser.add_argument("--small", action="store_true")
    main(parser.parse_args())
