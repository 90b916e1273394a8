"""Takes batches from an iterator one ahead of the step, and sends their images to the GPU while that step runs.

Without it, a step begins by waiting until the GPU has finished the step before, since TensorFlow's copies to a GPU wait
for all that was given to it earlier; and then for the copy of 3 to 26 MB of pixels. Only `image` is sent: what else is
in a batch is small, or is needed on the host.
"""

import concurrent.futures
import time
import weakref

import tensorflow as tf

_IMAGES = tf.TensorSpec([None, None, None, 3], tf.uint8)


class ReadAhead:
    """The batches of one iterator at a time, one read ahead of the other by a thread.

    Args:
        device: name of the GPU that images are sent to.
    """

    def __init__(self, device):
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "awsdet-read-ahead")
        self._iterator, self._next = lambda: None, None

        @tf.function(input_signature=[_IMAGES], autograph=False)
        def send(images):
            with tf.device("CPU:0"):
                # The copy is in memory that the GPU reads by itself, because it is for a GPU. The reader's is not, and
                # sending from there would hold up this thread and the GPU's driver.
                ours = tf.raw_ops.DeepCopy(x=images)
            with tf.device(device):
                return tf.identity(ours)

        self._send = send

    def take(self, iterator):
        """(the next batch of `iterator`, the seconds that the reader was waited for).

        Raises what `next(iterator)` raises, in the turn of the batch that it was to give.
        """
        start = time.perf_counter()
        if self._iterator() is not iterator:
            self._next = None  # of an iterator that nobody reads on from
            self._iterator = weakref.ref(iterator, self._forget)
            self._read(iterator)
        batch, read = self._next.result()  # if this raises, it does so again at the next call
        self._read(iterator)
        return batch, max(0.0, read - start)  # the rest is the copy, which waits for the GPU, not for data

    def _read(self, iterator):
        self._next = self._thread.submit(self._read_and_send, iterator)

    def _read_and_send(self, iterator):
        batch, read = next(iterator), time.perf_counter()
        if not isinstance(batch, dict) or not _IMAGES.is_compatible_with(batch.get("image")):
            return batch, read  # the check of the batch says what is wrong
        return {**batch, "image": self._send(batch["image"])}, read

    def _forget(self, reference):
        if self._iterator is reference:
            self._iterator, self._next = lambda: None, None
