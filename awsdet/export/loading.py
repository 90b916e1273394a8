"""Loads the graph of a SavedModel."""

import pathlib

import tensorflow as tf

from awsdet.export import contract
from awsdet.ops import library
from awsdet.runtime.errors import UserError, first_line


def load_graph(folder: str | pathlib.Path):
    """What `tf.saved_model.load` gives of the numbered folder of an export.

    Raises UserError if TensorFlow cannot load it, it lacks a signature that is always there, or it needs the compiled
    operators and they are missing.
    """
    if contract.read_info(folder).get("operators") == "compiled":
        library.compiled()  # never the file beside the model, which may come from anywhere
    try:
        loaded = tf.saved_model.load(str(folder))
        missing = {contract.ENCODED, contract.PIXELS} - set(loaded.signatures)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # of damaged files and of operators that it does not know, TensorFlow raises many types
        cure = f"export the model again{_writer(folder)}"
        raise UserError(f"TensorFlow cannot load {folder} ({first_line(error)[:200]}); {cure}") from error
    if missing:
        raise UserError(f"{folder} has no signature {', '.join(sorted(missing))}; export the model again")
    return loaded


def _writer(folder):
    """Words that name the TensorFlow which wrote the model, if it is another than this."""
    versions = contract.read_info(folder).get("versions")
    version = versions.get("tensorflow") if isinstance(versions, dict) else None
    return "" if version in (None, tf.__version__) else f": TensorFlow {version} wrote it, and this is {tf.__version__}"
