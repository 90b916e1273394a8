"""Whether a job goes on with the run that SageMaker brought back from S3, or starts a new one.

SageMaker copies checkpoints file by file, and an interruption may come in between. What `awsdet train --resume` calls a
whole checkpoint is checked here too, without TensorFlow: checkpoint.json can be read, and the files that it lists are
there in the sizes that it lists.
"""

import json

from container_base import say


def resumes(run):
    """Whether there is a checkpoint to go on with. `run`: the run folder; need not exist.

    Damaged checkpoints are named. If there is nothing else, they are kept under another name, and a new run may start.
    """
    (run / "run.lock").unlink(missing_ok=True)  # of the machine before this one, brought back from S3
    folder = run / "checkpoints"
    faults = {path: fault for path in sorted(folder.glob("step-*")) if (fault := damage(path))}
    for path, fault in faults.items():
        say(f"passing over the damaged checkpoint {path}: {fault}")
    whole = [path for path in sorted(folder.glob("step-*")) if path not in faults]
    if whole:
        say(f"{run} holds a run up to {whole[-1].name}: going on with it")
        return True
    kept = [path.name for path in sorted(folder.glob("*")) if path not in faults and not _worthless(path)]
    if "best" in kept or (faults and kept):
        say(f"{folder} has no whole checkpoint to go on with, but {', '.join(kept)}; nothing of it is replaced")
        return True  # awsdet refuses it, with its reason
    if faults:
        aside = _free_name(run)
        folder.rename(aside)
        say(f"warning: no checkpoint in {folder} is whole: starting a new run; the damaged ones are kept in {aside}")
    else:
        say(f"{run} holds no checkpoint: starting a new run")
    return False


def damage(path):
    """What is wrong with the files of a checkpoint folder; "" if nothing, or if it is not of a known kind."""
    try:
        info = json.loads((path / "checkpoint.json").read_text())
    except (OSError, ValueError) as error:
        return f"checkpoint.json cannot be read ({type(error).__name__})"
    if not isinstance(info, dict) or not str(info.get("format")).startswith("awsdet checkpoint "):
        return ""
    for key, kind in (("files", dict), ("step", int)):
        if not isinstance(info.get(key), kind):
            return f"checkpoint.json does not say its {key}"
    for name, size in info["files"].items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            return f"{name} should have {size} bytes, and has {file.stat().st_size if file.is_file() else 'none'}"
    return ""


def _worthless(path):
    """Whether it is the rest of an interrupted write, or the best checkpoint (a link, or a copy of one) and damaged."""
    return path.name.startswith(".aside-") or (path.name == "best" and damage(path) != "")


def _free_name(run):
    number = 1
    while (run / f"checkpoints-damaged-{number}").exists():
        number += 1
    return run / f"checkpoints-damaged-{number}"
