"""The process of the model: `python -m awsdet.serve.worker FOLDER DESCRIPTOR PARENT`.

It loads the exported model of FOLDER, runs it once, and says over the socket DESCRIPTOR that it is ready. Then it runs
what it is told until the socket is closed. The signals that end a server reach it too, but how long it lives is for the
server, process PARENT, to say.

    it sends       ready   folder, info (awsdet.json), signatures (TensorFlow's SignatureDefs as JSON), or
                   failed  line, code: why it cannot start, and the exit code for that
    it is sent     run     signature, and the inputs as arrays
    it sends       done    the outputs as arrays, or
                   refused line, index: the inputs cannot be used; index of the first image at fault, or -1, or
                   broken  line: it failed, through no fault of the inputs
"""

import io
import os
import signal
import socket
import sys

import tensorflow as tf
from absl import flags, logging
from google.protobuf import json_format
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from awsdet.data.coco.decoding import decoder_words
from awsdet.export.contract import ENCODED, read_info
from awsdet.export.loading import load_graph
from awsdet.launch.orphans import end_with_parent
from awsdet.runtime.errors import UserError
from awsdet.serve import messages
from awsdet.serve.full_masks import run_lengths

_WARM_SIZE = 64  # pixels, of the image that is searched at the start


def main(folder: str, descriptor: int, parent: int) -> None:
    """Runs until the other side closes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()()
    if os.getppid() != parent:
        return
    flags.FLAGS(sys.argv[:1])  # without flags, absl would begin with a warning
    logging.use_absl_handler()
    with socket.socket(fileno=descriptor) as sock:
        try:
            _one_gpu()
            model = _Model(folder)
        except (UserError, OSError, ValueError, tf.errors.OpError) as error:
            messages.send(sock, "failed", line=_words(error), code=2 if isinstance(error, UserError) else 1)
            return
        messages.send(sock, "ready", **model.description)
        while True:
            try:
                _, content, arrays = messages.receive(sock)
            except EOFError:
                return
            kind, answer, outputs = model.answer(content["signature"], arrays)
            messages.send(sock, kind, outputs, **answer)


def _one_gpu():
    """Takes the first GPU, and memory on it as it is needed; CUDA_VISIBLE_DEVICES chooses another one."""
    gpus = tf.config.list_physical_devices("GPU")[:1]
    tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


class _Model:
    """A loaded model, which has run once."""

    def __init__(self, folder):
        loaded = load_graph(folder)
        self._loaded, self._signatures = loaded, loaded.signatures
        self.description = {"folder": folder, "info": read_info(folder), "signatures": _definitions(folder)}
        picture = io.BytesIO()
        Image.new("RGB", (_WARM_SIZE, _WARM_SIZE), (128, 128, 128)).save(picture, "PNG")
        self._signatures[ENCODED](image_bytes=tf.constant([picture.getvalue()]))

    def answer(self, signature, inputs):
        """(kind, content, arrays) of the answer; see the head of this file."""
        try:
            return "done", {}, self._run(signature, inputs)
        except tf.errors.InvalidArgumentError as error:
            return "refused", {"line": _words(error), "index": self._at_fault(signature, inputs)}, None
        except (tf.errors.ResourceExhaustedError, MemoryError):
            return "broken", {"line": "there is not enough memory for this; send fewer or smaller images"}, None
        except Exception as error:  # whatever it is, the server must hear of it
            logging.exception("a call of the model failed")
            return "broken", {"line": _words(error)}, None

    def _run(self, signature, inputs):
        outputs = self._signatures[signature](**{name: tf.constant(array) for name, array in inputs.items()})
        return run_lengths({name: output.numpy() for name, output in outputs.items()})

    def _at_fault(self, signature, inputs):
        """The index of the first image that is refused when it is alone; -1 if none is."""
        count = len(next(iter(inputs.values())))
        if count == 1:
            return 0
        for index in range(count):
            try:
                self._run(signature, {name: array[index : index + 1] for name, array in inputs.items()})
            except tf.errors.InvalidArgumentError:
                return index
            except Exception:
                return -1
        return -1


def _definitions(folder):
    """Name -> SignatureDef as JSON, as TensorFlow Serving shows them."""
    saved = saved_model_pb2.SavedModel()
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        saved.ParseFromString(file.read())
    return {
        name: json_format.MessageToDict(
            definition, including_default_value_fields=True, preserving_proto_field_name=True
        )
        for name, definition in sorted(saved.meta_graphs[0].signature_def.items())
        if not name.startswith("__")
    }


def _words(error):
    """An error in one line."""
    text = decoder_words(_reason(error.message)) if isinstance(error, tf.errors.OpError) else str(error)
    return " ".join(text.split())[:500] or type(error).__name__


def _reason(message):
    """What TensorFlow says of the operation that failed, which it may put behind the Python lines that made it."""
    lines = [line for line in message.splitlines() if line.strip()]
    nodes = [index for index, line in enumerate(lines) if index and line.strip().startswith("[[{{node")]
    return lines[nodes[0] - 1] if nodes else message


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
