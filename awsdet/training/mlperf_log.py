"""The log of a run for MLPerf Training: each key that ruleset 3.1.0 asks of Mask R-CNN (docs/mlperf.md)."""

import os
from typing import Any

import tensorflow as tf
from absl import logging

from awsdet.runtime import mllog
from awsdet.training.optimizer import peak_learning_rate
from awsdet.training.run import Run
from awsdet.training.summary import due_steps

_BENCHMARK = "maskrcnn"


class MlperfLog(tf.keras.callbacks.Callback):
    """Writes the log; for rank 0. Must come before the callback that evaluates.

    A run that goes on from a checkpoint adds to its log; what it says once is not said again. A run that SIGTERM stops
    gets no run_stop, since it may go on.

    Args:
        run: Run. begun: when the process began, in seconds since 1970.
    """

    _supports_tf_logs = True

    def __init__(self, run: Run, begun: float):
        super().__init__()
        self._run, self._begun, self._path = run, begun, run.config.train.mlperf_log
        events = mllog.read(self._path) if os.path.exists(self._path) else []
        self._started = any(event.key == "run_start" for event in events)
        self._stopped = any(event.key == "run_stop" for event in events)
        self._open = _open_intervals(events)
        if self._stopped:
            logging.warning("the MLPerf log %s has its run_stop already; nothing is added to it", self._path)

    def start(self) -> None:
        """Tells what the run is and that it begins: to be called before the first image is read."""
        if self._started:
            return
        self._started = True
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        self._write("init_start", kind=mllog.START, time_ms=round(self._begun * 1000))
        for key, value in _settings(self._run):
            self._write(key, value)
        self._write("init_stop", kind=mllog.END)
        self._write("run_start", kind=mllog.START)

    def on_epoch_begin(self, epoch, logs=None):
        """An epoch begins, and a block if it is the first one since an evaluation."""
        if "block" not in self._open:
            self._begin("block", epoch + 1, first_epoch_num=epoch + 1, epoch_count=self._epochs_in_block())
        self._begin("epoch", epoch + 1, epoch_num=epoch + 1)

    def on_epoch_end(self, epoch, logs=None):
        """An epoch ends, unless the run is stopped in the middle of it."""
        if self._run.steps.at_epoch_end:
            self._end("epoch", epoch_num=epoch + 1)

    def evaluation_begins(self, aside: bool = False) -> None:
        """An evaluation begins; with it the block ends if training goes on meanwhile (`aside`)."""
        self._begin("eval", self._epochs(), epoch_num=self._epochs())
        if aside:
            self._end_block()

    def evaluated(self, metrics: dict[str, Any], met: bool, aside: bool = False) -> None:
        """An evaluation is over, and with it the block; the run too, if its target is `met`."""
        number = self._open.get("eval", self._epochs())
        accuracy = {"BBOX": metrics["box_ap"], "SEGM": metrics["mask_ap"]}
        self._write("eval_accuracy", accuracy, epoch_num=number)
        self._end("eval", epoch_num=number)
        if not aside:
            self._end_block()
        if met:
            self.stop(met)

    def stop(self, met: bool) -> None:
        """The run is over. Does nothing if that has been said, or if the run never began."""
        if self._started and not self._stopped:
            if "epoch" in self._open:  # a score that came late met the target
                self._end("epoch", epoch_num=self._open["epoch"])
            self._end_block()
            self._write("run_stop", kind=mllog.END, status="success" if met else "aborted")
            self._stopped = True

    def _write(self, key, value=None, **more):
        if not self._stopped:
            mllog.append(self._path, key, value, **more)

    def _begin(self, kind, number, **metadata):
        if self._open.get(kind) != number:  # otherwise it had begun before the run was resumed
            self._open[kind] = number
            self._write(f"{kind}_start", kind=mllog.START, **metadata)

    def _end(self, kind, **metadata):
        self._open.pop(kind, None)
        self._write(f"{kind}_stop", kind=mllog.END, **metadata)

    def _end_block(self):
        first = self._open.get("block")
        if first is not None:
            self._end("block", first_epoch_num=first)

    def _epochs(self):
        """The number of epochs done; whole but for a run that ends within one."""
        done = round(self._run.steps.epochs, 4)
        return int(done) if done == int(done) else done

    def _epochs_in_block(self):
        """The epochs until the next evaluation, or until the end."""
        steps = self._run.steps
        evaluated, _ = due_steps(steps, self._run.config.train)
        after = (evaluated[0] if evaluated else steps.total) - steps.step - steps.rest
        return 1 + max(0, -(-after // steps.per_epoch))


def _open_intervals(events):
    """{"block", "epoch" or "eval": the number of the one that has begun and not ended}."""
    found = {}
    for event in events:
        kind, _, what = event.key.partition("_")
        if kind not in ("block", "epoch", "eval"):
            continue
        if what == "start":
            found[kind] = event.metadata.get("epoch_num", event.metadata.get("first_epoch_num"))
        elif what == "stop":
            found.pop(kind, None)
    return found


def _settings(run):
    """(key, value) of each line that describes the run, in the order in which the checker needs them."""
    config, images = run.config, run.pace.images_per_update
    train, warm_up, rpn = config.train, config.schedule.warmup_steps, config.model.rpn
    peak = peak_learning_rate(config.optimizer, images)
    # What each update of the warm-up adds to the rate: the reference's "mlperf_linear".
    slope = peak * (1 - config.schedule.warmup_ratio) / max(warm_up, 1)
    yield "submission_benchmark", _BENCHMARK
    yield "submission_org", train.mlperf_org
    yield "submission_division", train.mlperf_division
    yield "submission_status", train.mlperf_status
    yield "submission_platform", train.mlperf_platform
    yield "seed", config.seed
    yield "global_batch_size", images
    yield "gradient_accumulation_steps", run.pace.accumulate
    yield "opt_base_learning_rate", _digits(peak)
    yield "opt_learning_rate_warmup_steps", warm_up
    yield "opt_learning_rate_warmup_factor", _digits(slope)
    yield "opt_learning_rate_decay_factor", config.schedule.decay_factor
    yield "opt_learning_rate_decay_steps", list(getattr(run.schedule, "boundaries", ()))
    yield "num_image_candidates", rpn.post_nms_batch or rpn.post_nms_train
    yield "min_image_size", min(config.data.short_sides)
    yield "max_image_size", config.data.max_long_side
    yield "train_samples", run.inputs.images
    yield "eval_samples", run.inputs.evaluation.num_images


def _digits(value):
    """Without the last bits of a product: 0.000133, not 0.00013300000000000003."""
    return float(f"{value:.9g}")
