"""Makes a config file of a translation."""

from awsdet.config.mindspore.translation import Translation
from awsdet.runtime.shown import shown


def as_python(translation: Translation, source: str) -> str:
    """The text of a config file. source: name of the YAML file, for a comment."""
    lines = [f"    config.{key} = {value!r}" for key, value in translation.changes.items()]
    return "\n".join(
        [
            '"""A config of MindSpore, translated by awsdet config."""',
            "",
            "from awsdet import config as base",
            "",
            "",
            "def get_config():",
            f"    # Translated from {shown(source)}; what is not here is as in base.{translation.family}().",
            f"    config = base.{translation.family}()",
            *lines,
            "    return config",
            "",
        ]
    )
