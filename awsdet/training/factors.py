"""Factors of the learning rate and of the weight decay for each variable: `optimizer.rules`, `optimizer.layer_decay`.

Of the rules that match a name, the last that gives a factor decides. So "backbone.* rate=0.1, *.bias decay=0" slows a
backbone down, and leaves out the decay of biases wherever they are. `layer_decay` multiplies the rate besides.
"""

import collections
import fnmatch
import re
from typing import Any, NamedTuple

from absl import logging

from awsdet.config.rules import parse
from awsdet.inference.checkpoint import name_of
from awsdet.runtime.errors import UserError

_STAGES = 4  # of ResNets and of HRNets
_STEMS = ("conv1", "conv2", "stem")


class Factor(NamedTuple):
    """What multiplies the learning rate and the weight decay of a variable."""

    rate: float = 1.0
    decay: float = 1.0


class Factors:
    """The factors that two settings give.

    Args:
        rules: optimizer.rules. layer_decay: optimizer.layer_decay.

    Raises ValueError for rules that are none.
    """

    def __init__(self, rules="", layer_decay=1.0):
        self.text, self.rules, self.layer_decay = rules, parse(rules), layer_decay

    def of(self, name: str) -> Factor:
        """The Factor of a variable, by its name in a checkpoint, as in "backbone.layer1.0.conv1.kernel"."""
        found = {"rate": 1.0, "decay": 1.0}
        for rule in self.rules:
            if matches(rule, name):
                found.update((key, getattr(rule, key)) for key in found if getattr(rule, key) is not None)
        if self.layer_decay != 1.0:
            found["rate"] *= self.layer_decay ** (_STAGES + 1 - level(name))
        return Factor(**found)

    def groups(self, names) -> dict[Factor, list[int]]:
        """The places in `names` of those that have the same Factor, in their order."""
        found = collections.defaultdict(list)
        for place, name in enumerate(names):
            found[self.of(name)].append(place)
        return dict(found)


def matches(rule, name: str) -> bool:
    """Whether the pattern of a rule matches the whole of a name, in which capitals count."""
    return fnmatch.fnmatchcase(name, rule.pattern)


def level(name: str) -> int:
    """How deep a variable lies: 0 for the stem of a backbone, its stage from 1 on, 5 for what follows the backbone.

    Raises UserError for a backbone of other parts.
    """
    part, _, rest = name.partition(".")
    if part != "backbone":
        return _STAGES + 1
    stage = re.match(r"(layer|stage|transition)(\d+)\.", rest)
    if stage:
        return int(stage[2]) + (stage[1] == "transition")  # an HRNet's transition leads to the next stage
    if rest.partition(".")[0] in _STEMS:
        return 0
    raise UserError(
        f"optimizer.layer_decay knows the stages of resnet, resnet_v1d and hrnet, and {name} is of none of these; "
        "leave it at 1, and give optimizer.rules with patterns of its stages"
    )


class Reach(NamedTuple):
    """What a rule or `layer_decay` applies to, in words; idle: whether that is nothing that is trained."""

    text: str
    idle: bool = False


def reach(settings: Any, detector: Any) -> list[Reach]:
    """The Reach of each rule, and of `layer_decay` if it is on.

    Args:
        settings: config.optimizer.
        detector: a Keras model.

    Raises UserError for a rule that matches no variable of the model.
    """
    factors, found = Factors(settings.rules, settings.layer_decay), []
    names = [name_of(variable) for variable in detector.variables]
    trained = [name_of(variable) for variable in detector.trainable_variables]
    for rule in factors.rules:
        if not any(matches(rule, name) for name in names):
            raise UserError(
                f"optimizer.rules has {str(rule)!r}, which matches no variable of this model; their names are like "
                f"{_examples(trained)}, and a pattern must match the whole of a name"
            )
        count = sum(matches(rule, name) for name in trained)
        text = f"optimizer.rules: {rule} applies to {count} of {len(trained)} trained variables"
        found.append(Reach(text if count else f"{text}; what it matches is frozen", not count))
    if factors.layer_decay != 1.0:
        counts = sorted(collections.Counter(map(level, trained)).items())
        parts = (f"{count} x {factors.layer_decay ** (_STAGES + 1 - depth):.3g}" for depth, count in counts)
        found.append(Reach(f"optimizer.layer_decay: factors of the rate, from the stem on: {', '.join(parts)}"))
    return found


def report(settings: Any, detector: Any) -> None:
    """Logs what `reach` returns, and raises what it raises."""
    for one in reach(settings, detector):
        logging.log(logging.WARNING if one.idle else logging.INFO, "%s", one.text)


def _examples(names):
    return " and ".join([names[0], names[-1]]) if len(names) > 1 else "".join(names)
