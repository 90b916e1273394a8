"""Runs a failed step again: as the run did, with the sizes of all its tensors, and for each image alone."""

import copy
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.models import builder
from awsdet.models.layers import norms
from awsdet.models.update import scales_loss
from awsdet.replay.batch_file import repeated
from awsdet.replay.failed_step import FailedStep, load_weights, read_report
from awsdet.replay.origin import Size, Sizes
from awsdet.runtime.world import World
from awsdet.training.optimizer import build_optimizer, create_slots


class Outcome(NamedTuple):
    """What a step gave. terms: the losses and gradient_norm, float32, as far as it got; finite: whether all are."""

    terms: dict[str, float]
    finite: bool


class Trace(NamedTuple):
    """The tensors of a step. results: name of a loss, or of a variable for its gradient -> number of the tensor."""

    sizes: list[Size]
    results: dict[str, int]


class Rerun:
    """A failed step, ready to be run.

    Args:
        failed: FailedStep.
        precision: a value of model.precision; "" for that of the run.

    Attributes: detector; precision; neutral, the names of live batch norms whose stored statistics were not finite.
    """

    def __init__(self, failed: FailedStep, precision: str = ""):
        config = copy.deepcopy(failed.config).unlock()
        config.model.precision = self.precision = precision or config.model.precision
        if config.train.deterministic:
            tf.config.experimental.enable_op_determinism()
        self._failed = failed
        self.detector = builder.build(config, failed.info["class_names"])
        self.neutral = self._load()
        optimizer = build_optimizer(config.optimizer, failed.info["learning_rate"], config.model.precision)
        world = World()
        world.rank = failed.report.rank  # random keys depend on it
        self.detector.compile(
            optimizer,
            world=world,
            clip_norm=config.optimizer.clip_norm,
            loss_normalizer=config.train.loss_normalizer,
        )
        create_slots(optimizer, self.detector.trainable_variables)
        scale = failed.report.terms.get("loss_scale")
        if scale is not None and scales_loss(optimizer):
            optimizer._loss_scale.current_loss_scale.assign(scale)  # there is no public way
        if getattr(self.detector, "positives", None) is not None:
            # The running mean had moved on when it was saved: what the losses were divided by is its value now.
            self.detector.normalizer_momentum = 1.0

    def _load(self):
        """Sets the weights. Returns the names of layers whose statistics had to be made anew.

        A live batch norm stores its statistics before the losses are checked, and does not read them in training, but
        for a shift that changes no result. So they say nothing of the cause.
        """
        load_weights(self._failed, self.detector)
        neutral = []
        for layer in self.detector.submodules:
            if getattr(layer, "norm", None) in norms.LIVE_NORMS and layer.trainable:
                if not all(np.isfinite(part).all() for part in (layer.mean.numpy(), layer.variance.numpy())):
                    layer.mean.assign(tf.zeros_like(layer.mean))
                    layer.variance.assign(tf.ones_like(layer.variance))
                    neutral.append(layer.name)
        return neutral

    def step(self) -> Outcome:
        """Runs the training step as the run did, with the update if all is finite. The weights are then set back."""
        return self._step(self._failed.batch)

    def images_alone(self) -> list[bool]:
        """For each image of the batch: whether losses and gradients are finite if it is in every place of the batch."""
        count = int(self._failed.batch["image"].shape[0])
        return [self._step(repeated(self._failed.batch, index)).finite for index in range(count)]

    def _step(self, batch):
        compiled = self.detector.make_train_function().compiled(self._failed.spec)
        try:
            logs = compiled(batch)
        except tf.errors.InvalidArgumentError as error:
            if "non-finite loss" not in error.message:
                raise
            terms = read_report(error.message).terms
            return Outcome({name: value for name, value in terms.items() if name != "loss_scale"}, False)
        finally:
            self._load()
        wanted = [name for name in logs if name.endswith("loss") or name == "gradient_norm"]
        terms = {name: float(logs[name]) for name in wanted}
        return Outcome(terms, bool(np.isfinite(list(terms.values())).all()))

    def trace(self, gradients: bool) -> Trace:
        """The sizes of the tensors of the forward pass; of the backward pass, too, if `gradients`."""
        detector, made = self.detector, {}

        def sizes(batch):
            losses, slopes = self._losses_and_gradients(batch, gradients)
            results = {v.name.partition(":")[0]: g for v, g in zip(detector.trainable_variables, slopes)} or losses
            made["sizes"] = found = Sizes(list(results.values()), detector.variables)
            made["results"] = dict(zip(results, found.numbers))
            return found.measured

        before = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # the graph as it is written
        try:
            measured = tf.function(sizes, input_signature=[self._failed.spec], autograph=False)(self._failed.batch)
        finally:
            tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})
        self._load()
        return Trace(made["sizes"].known(measured), made["results"])

    def _losses_and_gradients(self, batch, gradients):
        """(losses, gradients of the sum of them, scaled as in training) of a batch; no gradients if not `gradients`."""
        optimizer = self.detector.optimizer
        with tf.GradientTape() as tape:
            losses = self.detector.compute_losses(batch)
            total = tf.add_n(list(losses.values()))
            total = optimizer.get_scaled_loss(total) if scales_loss(optimizer) else total
        if not gradients:
            return losses, []
        slopes = tape.gradient(total, self.detector.trainable_variables)
        return losses, [tf.convert_to_tensor(slope) for slope in slopes]
