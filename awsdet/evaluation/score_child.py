"""Computes a score from files, in a process of its own: `python -m awsdet.evaluation.score_child`.

`score_process` starts it, with {"folder": of the ScoreFiles, "output": path or null, "official": bool, "parent":
process number} as JSON on stdin. It imports no TensorFlow, gives way to training (nice 10), and uses one thread. The
signals that end a run reach it too, but how long it lives is for its parent to say.
"""

import gc
import json
import os
import signal
import sys

from absl import flags, logging

from awsdet.evaluation.score_files import ScoreFiles
from awsdet.launch.orphans import end_with_parent
from awsdet.runtime.errors import UserError

_NICE = 10


def main():
    """Does what stdin says. Returns the exit code, or in words why it cannot."""
    request = json.load(sys.stdin)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()()
    if os.getppid() != request["parent"]:
        return "the process that started this one has ended"
    os.nice(_NICE)
    gc.disable()  # it would visit the dicts of all detections again and again; there are no circles among them
    flags.FLAGS(sys.argv[:1])  # without flags, absl would begin with a warning
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(None)  # the parent says the rest
    files = ScoreFiles(request["folder"])
    try:
        files.write_metrics(files.score(request["output"], request["official"]))
    except (UserError, RuntimeError, OSError) as error:
        return str(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
