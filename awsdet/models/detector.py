"""What all detectors share: preparing images, the training step, finding objects, the methods of a Keras model.

Symbols: B images, D detections per image, C classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from awsdet.data.coco.images import as_array
from awsdet.data.reader.sizes import InputSize
from awsdet.detection.found import Found
from awsdet.detection.pixels import Pixels
from awsdet.detection.results import batch_results
from awsdet.models import update
from awsdet.models.accumulation import Accumulation
from awsdet.models.batch_check import check_batch
from awsdet.models.keras_steps import MeanSteps, TimedSteps
from awsdet.models.layers.conv import Conv
from awsdet.models.layers.kernels import cast_at_once
from awsdet.models.read_ahead import ReadAhead
from awsdet.ops.multi_tensor import accumulate, global_norm, set_zero
from awsdet.ops.placement import whole
from awsdet.ops.resize import resize
from awsdet.runtime.world import World

# The part of a batch that detection needs; one trace serves any number and size of images.
IMAGES_SPEC = {
    "image": tf.TensorSpec([None, None, None, 3], tf.uint8),
    "image_size": tf.TensorSpec([None, 2], tf.int32),
}


class Detector(tf.keras.Model):
    """Base of the detectors: a `tf.keras.Model` that trains by `compile` and `fit` and finds objects by `find`.

    A subclass sets `backbone` and `neck`. It defines `training_outputs(images, batch, keys, training)`, which returns a
    tuple with `terms`, a detection.losses.Terms; and `detect_in_pyramid(pyramid, image_size)`.

    Args:
        class_names: names of the C classes in the order of their numbers.
        pixels: Pixels that the backbone expects.
        precision: Keras' name of the precision policy.
        input_size: InputSize that `find` resizes images to.
        mask_threshold: a pixel belongs to an object if its probability is at least this.
        seed: of everything that is drawn at random in training.
    """

    def __init__(
        self,
        *,
        class_names: Sequence[str],
        pixels: Pixels,
        precision: str = "float32",
        input_size: InputSize | None = None,
        mask_threshold: float = 0.5,
        seed: int = 1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.class_names, self.num_classes = tuple(class_names), len(class_names)
        self.pixels, self.precision, self.mask_threshold = pixels, precision, mask_threshold
        self.input_size = input_size or InputSize()
        self.seed = seed
        with tf.device("CPU:0"):  # random keys and conditions depend on it, which the host decides
            self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self.world = World()
        self.loss_normalizer, self.clip_norm, self.compression = "process", 0.0, "none"
        self._accumulation, self._accumulated = Accumulation(), []
        self._detect_any_size = tf.function(self._detect, input_signature=[IMAGES_SPEC], autograph=False)

    # ------------------------------------------------------------------------------------------------ finding objects

    def find(self, image: Any, score_threshold: float = 0.0) -> Found:
        """Finds objects in one image.

        Args:
            image: path of an image file, uint8 RGB array [H, W, 3] or [H, W], or a Pillow image.
            score_threshold: objects below it are left out, in addition to those below the detector's own threshold.

        Returns a `detection.found.Found` in pixels of the image, turned upright as its EXIF tag says. Raises
        UserError for a file that is not a complete image, ValueError for a threshold outside 0 … 1.
        """
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold is {score_threshold}; it must lie between 0 and 1")
        image = as_array(image)
        batch = batch_of(image, self.input_size)
        found = self.results(self.detect(batch), batch["image_size"], [image.shape[:2]], score_threshold)[0]
        return found._replace(names=[self.class_names[label] for label in found.classes])

    def detect(self, batch: dict[str, Any]) -> dict[str, tf.Tensor]:
        """Finds objects in a batch.

        Args:
            batch: dict with `image` uint8 [B, H, W, 3], H and W multiples of 32, and `image_size` int32 [B, 2].

        Returns a dict: boxes float32 [B, D, 4] in pixels of `image`; scores float32 [B, D], highest first; classes
        int32 [B, D], padded with -1; count int32 [B]. A detector with masks adds masks float32 [B, D, 28, 28], the
        probabilities inside each box; Mask Scoring R-CNN adds iou_scores float32 [B, D].
        """
        return self._detect_any_size({name: batch[name] for name in IMAGES_SPEC})

    def pyramid(self, images, training=False):
        """Normalised images [B, H, W, 3] -> the levels of the neck. H and W must be multiples of 32."""
        return self.neck(self.backbone(images, training=training), training=training)

    def results(
        self, outputs: dict[str, Any], image_size: Any, original_size: Any, score_threshold: float = 0.0
    ) -> list[Found]:
        """The `outputs` of `detect` as objects in the original images, with masks of their size: list of B `Found`.

        `image_size`, `original_size`: [B, 2], height and width of the resized and of the original images.
        """
        outputs = {name: np.asarray(value) for name, value in outputs.items()}
        return batch_results(outputs, image_size, original_size, self.mask_threshold, score_threshold)

    def call(self, inputs, training=False):
        """The same as `detect`."""
        return self._detect(inputs)

    def _detect(self, batch):
        with cast_at_once(self):
            return self.detect_in_pyramid(self.pyramid(self.normalize_images(batch)), batch["image_size"])

    def normalize_images(self, batch):
        """The network's input in the compute dtype, from the batch's `image` and `image_size`."""
        with tf.name_scope("images"):
            pixels = self.pixels.normalize(batch["image"], batch["image_size"])
            return tf.cast(pixels, tf.keras.mixed_precision.Policy(self.precision).compute_dtype)

    # ----------------------------------------------------------------------------------------------------------- saving

    def save(self, filepath, *arguments, **options):
        """Saves the model in Keras' own format: `filepath` must end in .keras.

        `tf.keras.models.load_model` loads it in a program that imports awsdet; call `compile` before training it.
        Raises ValueError for other formats: they would hold a graph that needs our compiled operators, or nothing.
        """
        _check_saving(filepath, (".keras",))
        super().save(filepath, *arguments, **options)

    def save_weights(self, filepath, *arguments, **options):
        """Saves the weights: `filepath` must end in .weights.h5, or is the prefix of files in TensorFlow's own format.

        Raises ValueError for the old HDF5 format of Keras, which tells layers apart only by their names.
        """
        _check_saving(filepath, (".weights.h5", ""))
        super().save_weights(filepath, *arguments, **options)

    # -------------------------------------------------------------------------------------------------------- training

    def compile(
        self,
        optimizer: Any = "sgd",
        *,
        world: World | None = None,
        clip_norm: float = 0.0,
        accumulate_steps: int = 1,
        loss_normalizer: str = "process",
        compression: str = "none",
        run_eagerly: bool | None = None,
        jit_compile: bool | None = None,
    ):
        """Sets how `fit` trains.

        Args:
            optimizer: a Keras optimizer, a LossScaleOptimizer around one for mixed_float16, or a name.
            world: World of the processes; None for one process.
            clip_norm: largest global norm of the averaged gradients; 0: they are not clipped.
            accumulate_steps: batches per update, which applies the mean of their gradients.
            loss_normalizer: "process": each rank divides its losses by its own counts. "global": by the counts summed
                over the ranks, as if all images were in one batch.
            compression: "fp16": the ranks send each other gradients as float16. "none": as they are.
        """
        if loss_normalizer not in ("process", "global"):
            raise ValueError(f"loss_normalizer is {loss_normalizer!r}; it must be process or global")
        if compression not in ("none", "fp16"):
            raise ValueError(f"compression is {compression!r}; it must be none or fp16")
        if not 0 <= clip_norm < float("inf"):
            raise ValueError(f"clip_norm is {clip_norm}; it must be a norm above 0, or 0 not to clip")
        if accumulate_steps < 1:
            raise ValueError(f"accumulate_steps is {accumulate_steps}; it must be 1 or more")
        super().compile(optimizer=optimizer, run_eagerly=run_eagerly, jit_compile=jit_compile)
        self.world = world or World()
        for layer in self.submodules:
            if isinstance(layer, Conv):
                layer.world = self.world
        self.loss_normalizer, self.clip_norm, self.compression = loss_normalizer, clip_norm, compression
        self._accumulation = Accumulation(accumulate_steps, self.world.elastic)
        # Made now, so that the training step is traced once: TensorFlow traces a function that makes variables twice.
        build = getattr(self.optimizer, "build", None) or self.optimizer._create_all_weights
        build(self.trainable_variables)
        self._accumulated = []
        self.accumulate(accumulate_steps)

    @property
    def accumulate_steps(self) -> int:
        """Batches per update."""
        return self._accumulation.steps

    def accumulate(self, steps: int, first: int = 0) -> None:
        """Sets the batches per update, and begins an update with step number `first`: sums begun before are dropped."""
        self._accumulation.set(steps, first)
        if steps > 1 and not self._accumulated:
            self._accumulated = [
                tf.Variable(tf.zeros_like(v), trainable=False, name=f"{v.name.partition(':')[0]}/accumulated")
                for v in self.trainable_variables
            ]
        if self._accumulated:
            set_zero(self._accumulated)

    def make_train_function(self, force=False):
        """The compiled training step, which `fit` calls at each step; it measures the time spent waiting for data."""
        if self.train_function is None or force:
            place = self.trainable_variables[0].device if self.trainable_variables else ""
            ahead = ReadAhead(place) if "GPU" in place else None
            self.train_function = TimedSteps(
                self.train_step, self.run_eagerly, lambda: self._accumulation.kind, self._check, ahead
            )
        return self.train_function

    def make_test_function(self, force=False):
        """The compiled test step, which `evaluate` calls at each step; it averages the losses over the batches."""
        if self.test_function is None or force:
            self.test_function = MeanSteps(self.test_step, self.run_eagerly, self._check)
        return self.test_function

    def reset_metrics(self):
        """Starts the means over the batches of an evaluation again."""
        super().reset_metrics()
        if isinstance(self.test_function, MeanSteps):
            self.test_function.reset()

    @tf.autograph.experimental.do_not_convert  # nothing below needs it, and it doubles the time to the first step
    def train_step(self, data):
        """One step of `fit`. Returns, for the log, the sum of the losses, each loss, the norm of the averaged gradients
        and the metrics. A metric is NaN if its count is 0 in this batch."""
        batch = _batch_of(data)
        with tf.GradientTape() as tape:
            losses, metrics = self._losses_and_metrics(batch)
            total = tf.add_n(list(losses.values()))
            scaled = self.optimizer.get_scaled_loss(total) if update.scales_loss(self.optimizer) else total
        losses = {"loss": total, **losses}
        finite = self._assert_finite({**losses, **update.scale_of(self.optimizer)}, batch)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        # Without objects a loss still has gradients of zero: every rank must reduce the same tensors at every step.
        missing = [v.name for v, g in zip(variables, gradients) if g is None]
        if missing:
            raise ValueError(f"no loss depends on {', '.join(missing)}")
        # Values that are not finite must not reach another rank or a variable. Computing the gradients does not wait
        # for the check, which runs on the host; neither does an update that is made at once, which the device itself
        # leaves out if the norm or the loss is not finite.
        alone = self.accumulate_steps == 1 and not self.world.exchanges
        checked = [] if finite is None else [finite]
        at_once = update.at_once(self.optimizer, variables)
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        if at_once and (self.accumulate_steps > 1 or not self.world.exchanges):
            gradients = [update.before_widening(g) for g in gradients]
        with tf.control_dependencies([] if alone and at_once else checked):
            gradients = [tf.identity(g) for g in gradients]
        gradients, factor = update.unscaled(self.optimizer, gradients, variables)
        norm = self._update(gradients, factor, variables, losses, batch, checked)
        self.step.assign_add(1)
        return {**losses, "gradient_norm": norm, **metrics}

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data):
        """One step of `evaluate`: losses and metrics as in training, but batch norms use their stored statistics."""
        losses, metrics = self._losses_and_metrics(_batch_of(data), training=False)
        return {"loss": tf.add_n(list(losses.values())), **losses, **metrics}

    @property
    def needs_masks(self) -> bool:
        """Whether training needs the masks of objects."""
        return False

    def _check(self, data):
        check_batch(_batch_of(data), self.num_classes, self.needs_masks)

    def _update(self, gradients, factor, variables, losses, batch, checked):
        """Averages `factor` * gradients over the ranks and applies them; with accumulation, every accumulate_steps
        steps. Returns the norm. `checked`: the operations that check the losses."""
        if self.accumulate_steps == 1:
            return self._apply(gradients, factor, variables, losses, batch, checked)
        with tf.name_scope("update"):
            accumulate(self._accumulated, gradients, factor / self._accumulation.share)

        def apply():
            norm = self._apply([v.read_value() for v in self._accumulated], 1.0, variables, losses, batch, [])
            with tf.control_dependencies([norm]):
                set_zero(self._accumulated)
            return norm

        return tf.cond(self._accumulation.completes(self.step), apply, lambda: global_norm(self._accumulated))

    def _apply(self, gradients, factor, variables, losses, batch, checked):
        half = self.compression == "fp16"
        if half and update.scales_loss(self.optimizer):
            # What is sent must fit float16 without the loss scale.
            gradients, factor = [tf.cast(gradient, tf.float32) * factor for gradient in gradients], 1.0
        gradients = self.world.average(gradients, half)
        with tf.name_scope("update"):
            norm = factor * global_norm(gradients)
            # A finite loss may have a gradient that is not finite, and a ReLU then hides weights that became NaN, so
            # the run ends here. An update at once does not wait for the check: on the device it depends on the norm
            # itself. A loss scale expects such gradients and skips their update.
            if not update.scales_loss(self.optimizer):
                finite = self._assert_finite({**losses, "gradient_norm": norm}, batch, checked)
                if finite is not None and not update.at_once(self.optimizer, variables):
                    with tf.control_dependencies([finite]):  # such an optimizer applies what it gets
                        gradients = [tf.identity(g) for g in gradients]
            # A loss that is not finite may have gradients that are, and the weights are to stay those that led to it.
            options = {"factor": factor, "clip_norm": self.clip_norm, "loss": losses["loss"]}
            done = update.apply(self.optimizer, gradients, variables, norm, **options)
            with tf.control_dependencies(done):
                return tf.identity(norm)

    def _assert_finite(self, scalars, batch, checked=()):
        """Ends the run if one of `scalars`, a dict, is not finite. The host reads them in one copy.

        `checked`: operations that check other values, and come first, so that their report is the one that is seen.
        """
        values = tf.stack(list(scalars.values()))
        with tf.device("CPU:0"):
            values = tf.where(tf.math.is_nan(values), np.nan, values)  # or the report may have "-nan"
            report = ["non-finite loss:"]
            for name, value in zip(scalars, tf.unstack(values)):
                report += [f"{name}=", value]
            report += ["step=", self.step, "rank=", self.world.rank_tensor, "image_id=", batch.get("image_id", [-1])]
            # Not tf.debugging.Assert, which puts it into a branch, and whose words are others if it runs eagerly.
            data = [tf.convert_to_tensor(part) for part in report]
            with tf.control_dependencies(list(checked)):
                condition = tf.reduce_all(tf.math.is_finite(values))
                return tf.raw_ops.Assert(condition=condition, data=data, summarize=64)

    def compute_losses(self, batch: dict[str, Any], keys: Any = None, training: bool = True) -> dict[str, tf.Tensor]:
        """Losses of one batch: a dict of float32 scalars.

        `keys(name, shape)` returns the sampling keys; by default they are random.
        """
        return self._losses_and_metrics(batch, keys, training)[0]

    def _losses_and_metrics(self, batch, keys=None, training=True):
        """(losses, metrics), two dicts of float32 scalars."""
        images, keys = self.normalize_images(batch), keys or self.sampling_keys
        with cast_at_once(self):
            terms = self.training_outputs(images, batch, keys, training).terms
        with tf.name_scope("losses"):
            return self.normalized(terms.losses), {name: m.total / m.count for name, m in terms.metrics.items()}

    def normalized(self, losses):
        """The dict `losses` with the total of each Mean divided by its count; see `loss_normalizer` of `compile`."""
        counts = tf.stack([mean.count for mean in losses.values()])
        if self.loss_normalizer == "global":
            # Gradients are averaged over the ranks afterwards, which divides by the number of ranks once more.
            counts = self.world.sum(counts) / self.world.size_tensor
        return {name: tf.math.divide_no_nan(mean.total, counts[i]) for i, (name, mean) in enumerate(losses.items())}

    def sampling_keys(self, name, shape):
        """Random keys float32 `shape`, uniform in [0, 1); they depend only on seed, step, rank and `name`."""
        # 64 bits are enough for any seed and step, and for 4096 ranks.
        salt = (self.seed * 7919 + sum(map(ord, name))) % 2**62
        with tf.device("CPU:0"):  # where the generator of a GPU wants it
            seed = tf.stack([tf.constant(salt, tf.int64), self.step * 4096 + self.world.rank_tensor])
        return tf.random.stateless_uniform(shape, seed)


def batch_of(pixels, input_size):
    """The batch for `Detector.detect` of one image, uint8 RGB [H, W, 3]. `input_size`: InputSize or Canvas."""
    size = input_size.resized(*pixels.shape[:2])
    image = resize([pixels], whole([size]), input_size.padded(size))
    return {"image": image, "image_size": np.array([size], np.int32)}


def _batch_of(data):
    """The batch in the data that Keras passes to a step; `train_on_batch` wraps it in a tuple."""
    return data[0] if isinstance(data, tuple) else data


def _check_saving(filepath, endings):
    text = str(filepath)
    if not any(text.endswith(ending) if ending else "." not in text.rpartition("/")[2] for ending in endings):
        ending = endings[0]
        raise ValueError(
            f"{text} cannot be written: give a name that ends in {ending}; awsdet weights RUN OUT.safetensors writes "
            "weights that other systems read"
        )
