"""The arguments of a command: flags, positional arguments, and overrides of the config."""

import math

from absl import flags

from awsdet.runtime.errors import UserError
from awsdet.runtime.paths import given_path


def parse(name, flag_values, arguments, positional):
    """Sets the flags. Returns the overrides, `--config.key=value` on the command line, as strings "key=value".

    `positional`: names of the flags that take the arguments without a name, in this order; the last takes all that are
    left if it is a flag of several values.
    """
    overrides, plain = split_overrides(arguments)
    if overrides and "config" not in flag_values:
        raise UserError(
            f"{name} takes no --config.{overrides[0]}: a checkpoint has its own config, only train changes one"
        )
    try:
        left_over = flag_values([name, *(_spelled(argument, flag_values) for argument in plain)])[1:]
    except (flags.Error, ValueError) as error:  # ValueError for --noNAME=value
        raise UserError(f"{' '.join(str(error).split())} (see awsdet {name} --help)") from error
    _refuse_endless(name, flag_values)
    several = positional[-1] if positional and isinstance(flag_values[positional[-1]], flags.MultiFlag) else None
    if several:
        first = len(positional) - 1
        flag_values[several].value = [
            *(flag_values[several].value or []),
            *(flag_values[several].parser.parse(value) for value in left_over[first:]),
        ]
        positional, left_over = positional[:-1], left_over[:first]
    for flag, value in zip(positional, left_over):
        if flag_values[flag].present:
            raise UserError(f"{flag} is given twice: {flag_values[flag].value} and {value}")
        flag_values[flag].value = flag_values[flag].parser.parse(value)
    if len(left_over) > len(positional):
        raise UserError(f"unexpected argument {left_over[len(positional)]}; flags are written --name=value")
    return overrides


def _refuse_endless(name, flag_values):
    """Raises UserError for NaN and infinity as the value of a flag that has a range, which absl lets pass."""
    for flag in flag_values:
        value, parser = flag_values[flag].value, flag_values[flag].parser
        if isinstance(value, float) and not math.isfinite(value) and getattr(parser, "lower_bound", None) is not None:
            raise UserError(f"flag --{flag}={value}: it is not {parser.syntactic_help} (see awsdet {name} --help)")


class _PathParser(flags.ArgumentParser):
    """Parses the value of a flag that is a path; see `given_path`."""

    def __init__(self, flag, **options):
        super().__init__()
        self._flag, self._options = f"--{flag.replace('_', '-')}", options

    def parse(self, argument):
        """The path. Raises UserError."""
        return given_path(argument, self._flag, **self._options)


def define_path(name, default, text, flag_values, **options):
    """Adds a flag whose value is a path. text: its help; options: see `given_path`."""
    flags.DEFINE(_PathParser(name, **options), name, default, text, flag_values)


def define_paths(name, text, flag_values, **options):
    """Adds a flag that may be given several times, whose values are paths; else as `define_path`."""
    flags.DEFINE_multi(
        _PathParser(name, **options), flags.ArgumentSerializer(), name, None, text, flag_values=flag_values
    )


def define_check(flag_values, verb):
    """Adds the flags by which `awsdet launch` lets the machine of rank 0 look for mistakes. verb: what they prevent."""
    flags.DEFINE_bool(
        "check", False, f"do not {verb}, only look for what would go wrong on this machine", flag_values=flag_values
    )
    flags.DEFINE_integer(
        "processes_per_host",
        0,
        "with --check: how many of the processes run on this machine; 0: all",
        flag_values=flag_values,
        lower_bound=0,
    )


def define_max_megapixels(flag_values):
    """Adds the flag that limits the size of the images which are read."""
    flags.DEFINE_float(
        "max_megapixels",
        250.0,
        "larger images, in millions of pixels, are left out and named; decoding takes 3 bytes of memory per pixel, and "
        "some images are decoded at the same time; 536 at most",
        flag_values=flag_values,
    )


def _spelled(argument, flag_values):
    """The argument with its flag's name as it is defined: words may be joined by "-" or by "_"."""
    name, equals, value = argument.removeprefix("--").partition("=")
    if not argument.startswith("--") or name in flag_values:
        return argument
    known = {flag.replace("-", "_"): flag for flag in flag_values}
    key = name.replace("-", "_")
    # A switch can also be written --noNAME.
    found = known.get(key) or ("no" + known[key[2:]] if key[:2] == "no" and key[2:] in known else name)
    return f"--{found}{equals}{value}"


def split_overrides(arguments):
    """Separates the overrides, `--config.key=value` or `--config.key value`: (overrides, other arguments)."""
    overrides, plain = [], []
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("--config."):
            plain.append(argument)
            continue
        override = argument[len("--config.") :]
        if "=" not in override:
            value = next(remaining, "")
            if not value or value.startswith("--"):
                raise UserError(f"--config.{override} has no value; write --config.{override}=VALUE")
            override = f"{override}={value}"
        _check_new(override, overrides)
        overrides.append(override)
    return overrides, plain


def _check_new(override, overrides):
    """Refuses a second value for a key: one of the two would be dropped."""
    key, _, value = override.partition("=")
    for earlier in overrides:
        if earlier.partition("=")[0] == key:
            raise UserError(
                f"--config.{key} is given twice: {earlier.partition('=')[2]} and {value}; leave one of them out"
            )
