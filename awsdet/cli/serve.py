"""Answers requests over HTTP with an exported detector: on a desk, for a test, or as a SageMaker endpoint.

The server takes the requests of TensorFlow Serving (POST /v1/models/NAME:predict) and of SageMaker (POST /invocations),
and has a page at / that shows what is found in an image you drop on it. It listens only on this machine unless
--host says otherwise. Ctrl-C or SIGTERM ends it, after the requests that run.
"""

import os
import sys

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError
from awsdet.serve.limits import Limits

_DEFAULTS = Limits()
_SAGEMAKER_MODEL = "/opt/ml/model"
_SAGEMAKER_PORT = 8080


def define(flag_values):
    """Adds the flags of `awsdet serve`."""
    define_path("model", "", "an exported model: what awsdet export wrote, or one of its versions", flag_values)
    flags.DEFINE_string(
        "name", "", "name of the model in addresses; empty: the one it was exported under", flag_values=flag_values
    )
    flags.DEFINE_string(
        "host", "127.0.0.1", "address to listen at; 0.0.0.0: at all addresses of this machine", flag_values=flag_values
    )
    _integer("port", 8501, "port to listen at; 0: any that is free", flag_values, 0, 65535)
    flags.DEFINE_bool(
        "sagemaker",
        False,
        f"serve as a SageMaker endpoint must: --host=0.0.0.0, port {_SAGEMAKER_PORT} (or SAGEMAKER_BIND_TO_PORT), "
        f"the model in {_SAGEMAKER_MODEL} unless --model names another",
        flag_values=flag_values,
    )
    _integer("max_body_bytes", _DEFAULTS.body_bytes, "longest body of a request, in bytes", flag_values, 1)
    _integer("max_image_bytes", _DEFAULTS.image_bytes, "largest encoded image, in bytes", flag_values, 1)
    flags.DEFINE_float(
        "max_megapixels",
        _DEFAULTS.pixels / 1e6,
        "largest image, in millions of pixels; checked before it is decoded",
        flag_values=flag_values,
    )
    _integer("max_images", _DEFAULTS.images, "most images of a request", flag_values, 1)
    _integer(
        "max_mask_bytes",
        _DEFAULTS.mask_bytes,
        "most bytes of the masks of a request, for models exported with --masks=full; the model takes 3 times it",
        flag_values,
        1,
    )
    _integer("max_waiting", _DEFAULTS.waiting, "most requests that wait or run; more are turned away", flag_values, 1)
    flags.DEFINE_float(
        "timeout",
        _DEFAULTS.seconds,
        "seconds from a request to its answer, at most",
        flag_values=flag_values,
        lower_bound=0.001,
        upper_bound=86_400,
    )


def run(flag_values, overrides):
    """Returns the exit code."""
    from awsdet.data.coco.opening import check_megapixels, settle_pillow
    from awsdet.export.contract import find_whole, is_name
    from awsdet.serve.server import serve

    name = flag_values["name"].value
    if name and not is_name(name):
        raise UserError(f"--name={name} cannot stand in an address; leave out its slashes and colons")
    model, host, port = flag_values.model, flag_values.host, flag_values.port
    if flag_values.sagemaker:
        model = model or _SAGEMAKER_MODEL
        host = host if flag_values["host"].present else "0.0.0.0"
        port = port if flag_values["port"].present else _sagemaker_port()
    if not model:
        raise UserError("serve needs --model=DIR, a folder that awsdet export wrote")
    limits = Limits(
        body_bytes=flag_values.max_body_bytes,
        image_bytes=flag_values.max_image_bytes,
        pixels=check_megapixels(flag_values.max_megapixels),
        images=flag_values.max_images,
        mask_bytes=flag_values.max_mask_bytes,
        waiting=flag_values.max_waiting,
        seconds=flag_values.timeout,
    )
    settle_pillow()
    return serve(str(find_whole(model, "savedmodel")), name, host, port, limits, _tell)


def _tell(line):
    print(f"awsdet serve: {line}", file=sys.stderr, flush=True)


def _sagemaker_port():
    value = os.environ.get("SAGEMAKER_BIND_TO_PORT") or str(_SAGEMAKER_PORT)
    if not value.isdecimal() or int(value) > 65535:
        raise UserError(f"SAGEMAKER_BIND_TO_PORT={value} is no port; it must be a number up to 65535")
    return int(value)


def _integer(name, default, text, flag_values, least, most=None):
    flags.DEFINE_integer(name, default, text, flag_values=flag_values, lower_bound=least, upper_bound=most)
