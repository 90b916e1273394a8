"""Translates a YAML config of MindSpore's Mask Scoring R-CNN, and of its relatives with the same keys, into ours.

`reading` reads the file, `keys` has a rule per key, `translation` applies them, `writing` makes a config file of it.
"""

from awsdet.config.mindspore.translation import Kind, Row, Translation, translate
from awsdet.config.mindspore.writing import as_python

__all__ = ["Kind", "Row", "Translation", "as_python", "translate"]
