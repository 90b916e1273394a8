"""Reads all records, compares them with their manifest and shows what is in them.

Prints how many objects each class has, the sizes of images and objects, and what was wrong in the annotations when the
records were written. The exit code is 2 if a shard is missing or broken.
"""

import contextlib

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError


def define(flag_values):
    """Adds the flags of `awsdet inspect`."""
    define_path("records", None, "folder with the records", flag_values)
    flags.DEFINE_string("split", "", "split to read; empty: all of them", flag_values=flag_values)


def run(flag_values, overrides):
    """Prints a report per split. Returns the exit code. Raises UserError if a split is broken."""
    del overrides
    if not flag_values.records:
        raise UserError("--records is missing (see awsdet inspect --help)")
    import tensorflow as tf

    from awsdet.data.records import inspection

    with contextlib.suppress(RuntimeError):  # raised if TensorFlow is already in use
        tf.config.set_visible_devices([], "GPU")  # reading needs no GPU, and a training may be running on it
    found = inspection.inspect(flag_values.records, flag_values.split)
    print("\n\n".join(map(inspection.report, found)))
    faults = [fault for one in found for fault in one.faults]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise UserError(f"{faults[0]}{more}; run awsdet convert again")
    return 0
