"""The entry point `awsdet <command> [flags]`.

Each command is a module of this folder. Its docstring is its help text, `define(flag_values)` adds its flags, and
`run(flag_values, overrides)` does the work and returns the exit code: 0 done, 1 failed, 2 a mistake of the user.
If it has a tuple `POSITIONAL`, the arguments without a flag's name are the values of those flags; the last of them
takes all that are left if it is a flag of several values. If it has a function `split(arguments)`, only the first of
the two lists that it returns are its own arguments; `run` gets the second one instead of the overrides.
"""

import difflib
import gc
import importlib
import logging as python_logging
import os
import sys
import textwrap

from absl import flags, logging

from awsdet.cli import failures
from awsdet.cli.arguments import parse
from awsdet.runtime.errors import UserError

# Command -> one line for the overview. They are here so that the overview need not load the commands and TensorFlow.
COMMANDS = {
    "convert": "COCO annotations and images to TFRecords; also Pascal VOC, YOLO, labelme and mask images",
    "download": "fetch COCO, check it, unpack it, and convert it",
    "inspect": "verify records and show what is in them",
    "shapes": "generate a built-in data set: geometric shapes, or photos of things",
    "train": "train a detector",
    "evaluate": "COCO metrics of a checkpoint",
    "analyse": "show why a detector loses points: kinds of errors, curves, pictures",
    "plot": "draw the losses and AP of runs over their steps",
    "predict": "detect objects in images or folders",
    "export": "write a detector as a model that runs without awsdet: SavedModel, ONNX, TensorFlow Lite",
    "serve": "answer requests over HTTP with an exported detector",
    "replay": "run a step again whose loss was not finite, and find the first such number",
    "launch": "start train, evaluate or selftest on many hosts",
    "sagemaker": "train on SageMaker: start, follow, describe and stop jobs, fetch results",
    "config": "translate a YAML config of MindSpore; print a setting of a config",
    "weights": "convert weights of other systems, export those of a run",
    "mlperf": "check and score the results of MLPerf runs",
    "selftest": "measure how fast the processes of a run exchange gradients, and check the sums",
    "doctor": "show versions, devices and builds, and what is wrong with them",
}


_HELP = ("--help", "-h", "-help")


def main(argv=None):
    """Runs one command. Returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_overview())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
        print(f"awsdet: unknown command {name}; {hint}", file=sys.stderr)
        return 2
    if hasattr(sys.stdout, "reconfigure"):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no start-up messages, unless the user wants them
    command = _load(name)
    flag_values = flags.FlagValues()
    command.define(flag_values)
    _start_logging()
    try:
        code = _run(name, command, flag_values, rest)
        sys.stdout.flush()  # an error of the output is one of this command
        return code
    except UserError as error:
        print(f"awsdet {name}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"awsdet {name}: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        return failures.report(name, error)


def _load(name):
    """The module of a command. What it and TensorFlow create while they are loaded stays, so nothing looks for garbage.

    Looking costs a seventh of the time that loading TensorFlow takes, and would cost ranks a pause now and then.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        return importlib.import_module(f"awsdet.cli.{name}")
    gc.disable()
    try:
        return importlib.import_module(f"awsdet.cli.{name}")
    finally:
        gc.freeze()
        gc.enable()


def _run(name, command, flag_values, rest):
    """Runs a command with the arguments `rest`. Returns its exit code."""
    rest, remainder = command.split(rest) if hasattr(command, "split") else (rest, None)
    if any(argument in _HELP for argument in rest):
        print(f"awsdet {name}: {command.__doc__.strip()}\n\nFlags:\n{_flag_help(flag_values)}")
        return 0
    if remainder and any(argument in _HELP for argument in remainder):
        return main([remainder[0], "--help"])
    overrides = parse(name, flag_values, rest, getattr(command, "POSITIONAL", ()))
    return command.run(flag_values, overrides if remainder is None else remainder)


def _start_logging():
    """Logs to stderr, in short lines: our own messages from "info" up, those of other libraries from "warning" up."""
    flags.FLAGS(["awsdet"])  # absl warns about logging before its own flags are parsed
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(python_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    python_logging.getLogger().setLevel(python_logging.WARNING)
    logging.get_absl_logger().setLevel(python_logging.INFO)  # otherwise it has the level of the other libraries


def _overview():
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()]
    return "Usage: awsdet <command> [flags]; awsdet <command> --help lists its flags.\n\n" + "\n".join(lines)


def _flag_help(flag_values):
    """The flags in the order in which the command defines them, each on lines of its own."""
    defined = [flag for module_flags in flag_values.flags_by_module_dict().values() for flag in module_flags]
    lines = [(f"--{flag.name.replace('_', '-')}", f"{flag.help}{_default(flag)}") for flag in defined]
    if "config" in flag_values:
        example = "--config.optimizer.learning_rate=0.01"
        lines.append(("--config.KEY=VALUE", f"changes one setting of the config, as in {example}; can be repeated"))
    width = max(len(name) for name, _ in lines) + 4
    return "\n".join(
        textwrap.fill(text, 110, initial_indent=f"  {name}".ljust(width), subsequent_indent=" " * width)
        for name, text in lines
    )


def _default(flag):
    return "" if flag.default in (None, "") else f" (default: {flag.default_as_str.strip(chr(39))})"


if __name__ == "__main__":
    sys.exit(main())
