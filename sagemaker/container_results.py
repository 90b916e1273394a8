"""What a job leaves: metric lines while it runs; weights, metrics, pictures and the reason of a failure at its end.

/opt/ml/model          weights.safetensors (best checkpoint), config.json, classes.json, metrics.json,
                       exported/1 (the same detector as a SavedModel, which an endpoint serves)
/opt/ml/output/data    train.log, metrics.jsonl, results.json, examples.png, config.json, versions.json
/opt/ml/output/tensorboard   event files, if the folder exists or AWSDET_TENSORBOARD=1
/opt/ml/checkpoints/run      the whole run; never a part of the model
"""

import json
import re
import shutil
import time

from container_base import FAILURE_LENGTH, awsdet, put, run_child, say, switch

from awsdet.sagemaker import metrics

_COPY_SECONDS = 30  # between two copies of the event files
_OUTPUT = ("metrics.jsonl", "results.json", "examples.png", "config.json", "versions.json")
# What begins a line of a rank, "[algo-1:0] ", or of absl's log, "12:34:56 ".
_PREFIX = re.compile(r"^(\[[\w.-]+:\d+\] )?(\s{4})?(\d\d:\d\d:\d\d )?")
# Lines that explain a failure: those of awsdet's commands, what a training logs before it fails, the last line of a
# traceback, what NCCL and the disk say.
_OURS = re.compile(r"awsdet [a-z]+: ")
_LOGGED = "not finite|without meeting the target|Ending the job|exchange with the other ranks|could not be written"
_SAID = f"{_LOGGED}|out of memory|OOM when|NCCL WARN|No space left"
_ERRORS = re.compile(rf"[\w.]*(Error|Exception)\b.*:|.*({_SAID})", re.I)


class Reporter:
    """Prints new lines of metrics.jsonl as metric lines, and copies event files for TensorBoard.

    `paths`: Paths. Make it before the training starts: what metrics.jsonl holds by then was printed by an earlier job.
    """

    def __init__(self, paths):
        self._file, self._events = paths.run / "metrics.jsonl", paths.run / "tensorboard"
        self._target = paths.tensorboard
        self._seen = set(self._lines())
        self._size = -1
        self._copies = switch("AWSDET_TENSORBOARD") or self._target.is_dir()
        self._copy_at, self._copy_failed = time.monotonic() + _COPY_SECONDS, False

    def report(self):
        """Prints what is new. Call it every second or so."""
        size = self._file.stat().st_size if self._file.is_file() else -1
        if size != self._size:
            self._size = size
            for line in self._lines():
                if line not in self._seen:
                    self._seen.add(line)
                    metric_line = metrics.line(json.loads(line))
                    if metric_line:
                        put(metric_line)
        if self._copies and time.monotonic() > self._copy_at:
            self._copy()
            self._copy_at = time.monotonic() + _COPY_SECONDS

    def close(self):
        """Prints and copies the rest."""
        self.report()
        if self._copies:
            self._copy()

    def _lines(self):
        """The complete lines of metrics.jsonl; the last one may still be in the writing."""
        if not self._file.is_file():
            return []
        text = self._file.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    def _copy(self):
        """Copies the event files that have grown. A copy that fails must not end a training, and is tried again."""
        try:
            for path in self._events.rglob("*tfevents*") if self._events.is_dir() else ():
                copy = self._target / path.relative_to(self._events)
                if not copy.is_file() or copy.stat().st_size != path.stat().st_size:
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)
        except OSError as error:
            if not self._copy_failed:
                say(f"warning: event files for TensorBoard could not be copied to {self._target}: {error}")
            self._copy_failed = True


def leave_results(paths, whole, children):
    """Writes what the user gets. Returns what went wrong, in one line, or "".

    `whole`: whether the training ended well; otherwise there are no weights. `children`: set of running Child objects.
    """
    paths.output.mkdir(parents=True, exist_ok=True)
    for name in _OUTPUT:
        if (paths.run / name).is_file():
            shutil.copyfile(paths.run / name, paths.output / name)
    if not whole:
        return ""
    info = _chosen_checkpoint(paths.run)
    if info is None:
        return f"there is no checkpoint in {paths.run}, so no weights are exported"
    paths.model.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(paths.run / "config.json", paths.model / "config.json")
    classes = [{"name": n, "category_id": i} for n, i in zip(info["class_names"], info["category_ids"])]
    _write(paths.model / "classes.json", classes)
    _write(paths.model / "metrics.json", {"step": info["step"], **(info["metrics"] or {})})
    weights = paths.model / "weights.safetensors"
    code, lines = run_child(awsdet("weights", paths.run, weights), children, show=False)
    if code:
        return f"the weights could not be exported: {lines[-1] if lines else f'exit code {code}'}"
    say(f"the model of step {info['step']} is in {paths.model}")
    return ""


def leave_exported(paths, children):
    """Exports the detector, so that an endpoint can serve the archive of the job as it is.

    The training is whole and its weights are left, so an export that fails is only said, and fails no job.
    """
    began = time.monotonic()
    folder = paths.model / "exported"
    code, lines = run_child(awsdet("export", f"--checkpoint={paths.run}", f"--output={folder}"), children, show=False)
    if code:
        why = lines[-1] if lines else f"exit code {code}"
        say(f"warning: there is no exported model for an endpoint, only weights: {why}")
        return
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    say(f"the exported model is in {folder}: {size / 1e6:.0f} MB after {time.monotonic() - began:.0f} s")


def _chosen_checkpoint(run):
    """What checkpoint.json says of the checkpoint that `awsdet weights` takes from a run: the best, or the newest."""
    folder = run / "checkpoints"
    for path in [folder / "best", *sorted(folder.glob("step-*"), reverse=True)]:
        if (path / "checkpoint.json").is_file():
            return json.loads((path / "checkpoint.json").read_text())
    return None


def _write(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n")


def explain(lines, code):
    """The lines of a log that explain why it ended, in one text that SageMaker shows whole."""
    plain = [_PREFIX.sub("", line).strip() for line in lines]
    ours = [line for line in plain if _OURS.match(line)]
    # A mistake is named once, in the line of the command that refused it. A failure may have several signs.
    chosen = ours[-1:] if code == 2 else [*[line for line in plain if _ERRORS.match(line)], *ours[-1:]]
    chosen = list(dict.fromkeys(chosen)) or [line for line in plain if line][-3:]
    return "\n".join(chosen or [f"exit code {code}, without a word"])[:FAILURE_LENGTH]
