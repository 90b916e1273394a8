"""The entry point `awsdet <command> [flags]`.

Each command is a module of this folder with a docstring (its help text), `define(flag_values)` and
`run(flag_values, overrides) -> exit code`. Exit codes: 0 done, 1 failed, 2 the user's mistake.
"""

import importlib
import os
import sys
import traceback

from absl import flags

from awsdet.errors import UserError

# Command -> one line for the overview; kept here so that the overview loads no command (and no TensorFlow).
COMMANDS = {
    "convert": "COCO annotations and images to TFRecords",
    "inspect": "verify records and show what is in them",
    "shapes": "generate the built-in data set of geometric shapes",
    "train": "train a detector",
    "evaluate": "COCO metrics of a checkpoint",
    "predict": "detect objects in images or folders",
    "doctor": "show versions, devices and builds, and what is wrong with them",
}


def main(argv=None):
    """Runs one command. Returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_overview())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"awsdet: unknown command {name}; the commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up chatter; a user's own setting wins
    command = importlib.import_module(f"awsdet.cli.{name}")
    flag_values = flags.FlagValues()
    command.define(flag_values)
    if any(argument in ("--help", "-h", "-help") for argument in rest):
        print(f"awsdet {name}: {command.__doc__.strip()}\n\nFlags:\n{_flag_help(flag_values)}")
        return 0
    try:
        return command.run(flag_values, _parse(name, flag_values, rest))
    except UserError as error:
        print(f"awsdet {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"awsdet {name}: interrupted", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1


def _parse(name, flag_values, arguments):
    """Parses the flags in place; returns the `--config.key=value` overrides as strings "key=value"."""
    overrides = [a[len("--config.") :] for a in arguments if a.startswith("--config.")]
    plain = [a for a in arguments if not a.startswith("--config.")]
    if overrides and "config" not in flag_values:
        raise UserError(f"{name} takes no --config.{overrides[0]}; a checkpoint carries its own config")
    try:
        left_over = flag_values([name, *plain])[1:]
    except flags.Error as error:
        raise UserError(f"{str(error).strip().splitlines()[0]} (see awsdet {name} --help)") from error
    if left_over:
        raise UserError(f"unexpected argument {left_over[0]}; flags are written --name=value")
    return overrides


def _overview():
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()]
    return "Usage: awsdet <command> [flags]; awsdet <command> --help lists its flags.\n\n" + "\n".join(lines)


def _flag_help(flag_values):
    return "\n".join(
        f"  --{flag.name}: {flag.help} (default: {flag.default if flag.default not in (None, '') else 'none'})"
        for flag in (flag_values[name] for name in sorted(flag_values))
    )


if __name__ == "__main__":
    sys.exit(main())
