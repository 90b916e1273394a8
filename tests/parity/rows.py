"""One line of the comparison with reference numbers."""

from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One comparison; it holds where error <= tolerance."""

    name: str
    error: float
    tolerance: float

    @property
    def holds(self):
        return bool(self.error <= self.tolerance)


def relative_max(ours, theirs):
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())
