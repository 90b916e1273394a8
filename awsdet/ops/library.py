"""The shared library of compiled operators; it is loaded by the first call of one of them."""

import contextlib
import contextvars
import ctypes
import functools
import pathlib

import tensorflow as tf

from awsdet.runtime.errors import UserError, first_line

PATH = pathlib.Path(__file__).with_name("libawsdet_ops.so")
BUILD_COMMAND = "make ops"

# What `load` returns instead, while `replaced` is active in this thread.
_REPLACEMENT = contextvars.ContextVar("operators", default=None)


def load():
    """The module with one Python function an operator.

    Raises UserError where the library is missing or was built for another TensorFlow.
    """
    return _REPLACEMENT.get() or compiled()


@contextlib.contextmanager
def replaced(functions):
    """A context in which graphs are made of other operators. `functions`: a module with functions named as the
    operators, `awsdet_nms` and so on, that take the same arguments by name and return the same."""
    token = _REPLACEMENT.set(functions)
    try:
        yield
    finally:
        _REPLACEMENT.reset(token)


@functools.cache
def compiled():
    """As `load`, also while the operators are replaced. Kept: the library is loaded once."""
    if not PATH.is_file():
        raise UserError(f"the compiled operators are missing ({PATH}); build them with:  {BUILD_COMMAND}")
    try:
        return tf.load_op_library(str(PATH))
    except (tf.errors.OpError, OSError) as error:
        cure = f"build them anew with:  {BUILD_COMMAND}"
        raise UserError(f"the compiled operators do not load ({first_line(error)}); {cure}") from error


def built_for():
    """What the library's kernels run on, in its build's words: "CPU", or "CPU and CUDA 12.2 (sm_80 .. and PTX ..)".

    Raises UserError as load() does.
    """
    compiled()
    words = ctypes.CDLL(str(PATH)).awsdet_built_for
    words.restype = ctypes.c_char_p
    return words().decode()
