"""`awsdet.training.warm_child` on the hollow GPU, for `warm`: writes the names of the kernels that it launches."""

import json
import os
import pathlib
import sys

from awsdet.ops import library
from awsdet.training import warm_child
from tests.gpu_counts import count, counter


def main(path, images):
    """Returns the exit code of the child; images: per batch."""
    library.PATH = pathlib.Path(os.environ["AWSDET_OPERATORS"])
    hollow, codes = counter.Hollow(), []
    count.inject(hollow, "train", images)
    events = hollow.logged(lambda: codes.append(warm_child.main()))
    pathlib.Path(path).write_text(json.dumps(count.kernels(events)))
    return codes[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
