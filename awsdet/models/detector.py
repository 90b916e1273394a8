"""What every detector shares: preparing images, the training step, the face that Keras knows."""

import tensorflow as tf

from awsdet.models.layers.conv import Conv
from awsdet.models.layers.initializers import Initializers

# What detection needs of a batch; one trace serves every number and size of images.
IMAGES_SPEC = {
    "image": tf.TensorSpec([None, None, None, 3], tf.uint8),
    "image_size": tf.TensorSpec([None, 2], tf.int32),
}


class OneProcess:
    """The world of a training run that is alone; `runtime.world.World` has the same face for many processes."""

    rank, size = 0, 1

    def average(self, gradients):
        """The mean over the ranks of each tensor of a list."""
        return gradients

    def sum(self, tensor, name="sum"):
        """The sum over the ranks of a tensor; `name`: of this exchange, the same on all ranks."""
        return tensor


class Detector(tf.keras.Model):
    """Base of the detectors: a `tf.keras.Model` that trains by `compile` and `fit` and finds objects by `detect`.

    A subclass computes `training_outputs(images, batch, keys)`, `loss_sums(outputs)` and `_detect(batch)`.

    Args:
        settings: config.model.
        class_names: names of the C classes in the order of their numbers.
        seed: of the initial weights and of everything drawn while training.
    """

    def __init__(self, settings, class_names, seed, name):
        super().__init__(name=name)
        self.settings, self.class_names, self.num_classes = settings, tuple(class_names), len(class_names)
        self.initializers = Initializers(seed)
        self.seed = seed
        self.step = tf.Variable(0, trainable=False, dtype=tf.int64, name="step")
        self.world = OneProcess()
        self.loss_normalizer = "process"
        self._detect_any_size = tf.function(self._detect, input_signature=[IMAGES_SPEC], autograph=False)

    def compile(
        self,
        optimizer="sgd",
        *,
        world=None,
        clip_norm=0.0,
        accumulate_steps=1,
        loss_normalizer="process",
        run_eagerly=None,
        jit_compile=None,
    ):
        """Sets how `fit` trains.

        Args:
            optimizer: a Keras optimizer, a LossScaleOptimizer around one for mixed_float16, or a name.
            world: rank, size, `average` and `sum` over the processes; None for one process.
            clip_norm: largest global norm of the averaged gradients; 0 leaves them.
            accumulate_steps: batches whose mean gradient makes one update.
            loss_normalizer: "process", or "global": losses are divided by counts summed over the ranks, as if all
                images were in one batch.
        """
        if loss_normalizer not in ("process", "global"):
            raise ValueError(f"loss_normalizer is {loss_normalizer!r}; it must be process or global")
        super().compile(optimizer=optimizer, run_eagerly=run_eagerly, jit_compile=jit_compile)
        self.world = world or OneProcess()
        for layer in self.submodules:
            if isinstance(layer, Conv):
                layer.world = self.world
        self.loss_normalizer, self.clip_norm, self.accumulate_steps = loss_normalizer, clip_norm, accumulate_steps
        # Made now, so that the training step is traced once: a trace that makes variables is followed by a second one.
        build = getattr(self.optimizer, "build", None) or self.optimizer._create_all_weights
        build(self.trainable_variables)
        self._accumulated = []
        if accumulate_steps > 1:
            self._accumulated = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.trainable_variables]

    def call(self, inputs, training=False):
        """Detections of `inputs`, a dict with `image` uint8 [B, H, W, 3] and `image_size` int32 [B, 2]; see
        `detect`."""
        return self._detect(inputs)

    def detect(self, batch):
        """Finds objects; see the subclass for what. `batch` needs `image` and `image_size`, H and W multiples of 32."""
        return self._detect_any_size({name: batch[name] for name in IMAGES_SPEC})

    @tf.autograph.experimental.do_not_convert  # nothing below needs it, and it doubles the time to the first step
    def train_step(self, data):
        """One step of `fit`. Returns the losses, their sum and the norm of the averaged gradients, for the log."""
        batch = data[0] if isinstance(data, tuple) else data  # Keras' train_on_batch wraps what it is given
        with tf.GradientTape() as tape:
            terms = self.compute_losses(batch)
            total = tf.add_n(list(terms.values()))
            scaled = self.optimizer.get_scaled_loss(total) if self._scales_loss else total
        finite = self._assert_finite(terms, batch)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        # A term that saw no object still reaches its variables: every rank reduces the same tensors at every step.
        missing = [v.name for v, g in zip(variables, gradients) if g is None]
        if missing:
            raise ValueError(f"no loss depends on {', '.join(missing)}")
        # What is not finite must not reach another rank or a variable. The gradients themselves need not wait for the
        # check, which is made on the host.
        with tf.control_dependencies([finite]):
            gradients = [tf.identity(tf.convert_to_tensor(g)) for g in gradients]
        if self._scales_loss:
            gradients = self.optimizer.get_unscaled_gradients(gradients)
        norm = self._update(gradients, variables)
        self.step.assign_add(1)
        return {"loss": total, **terms, "gradient_norm": norm}

    @property
    def _scales_loss(self):
        return isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

    def _update(self, gradients, variables):
        """Averages over the ranks and applies. With accumulation only every accumulate_steps-th step does so."""
        if self.accumulate_steps == 1:
            return self._apply(gradients, variables)
        for total, gradient in zip(self._accumulated, gradients):
            total.assign_add(gradient / self.accumulate_steps)

        def apply():
            norm = self._apply([v.read_value() for v in self._accumulated], variables)
            with tf.control_dependencies([norm]):
                for total in self._accumulated:
                    total.assign(tf.zeros_like(total))
            return norm

        complete = (self.step + 1) % self.accumulate_steps == 0
        return tf.cond(complete, apply, lambda: tf.linalg.global_norm(self._accumulated))

    def _apply(self, gradients, variables):
        gradients = self.world.average(gradients)
        norm = tf.linalg.global_norm(gradients)
        if self.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm, use_norm=norm)
        applied = self.optimizer.apply_gradients(zip(gradients, variables), experimental_aggregate_gradients=False)
        with tf.control_dependencies([op for op in [applied] if op is not None]):
            return tf.identity(norm)

    def _assert_finite(self, terms, batch):
        values = tf.stack(list(terms.values()))
        report = ["non-finite loss:"]
        for name, value in terms.items():
            report += [f"{name}=", value]
        report += ["step=", self.step, "rank=", self.world.rank, "image_id=", batch.get("image_id", [-1])]
        return tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(values)), report, summarize=64)

    def compute_losses(self, batch, keys=None):
        """Losses of one batch: a dict of float32 scalars.

        `keys(name, shape)` gives the keys of whatever is sampled; by default they are random.
        """
        outputs = self.training_outputs(self.normalize_images(batch), batch, keys or self.sampling_keys)
        with tf.name_scope("losses"):
            return self.normalized(*self.loss_sums(outputs))

    def normalize_images(self, batch):
        """uint8 RGB [B, H, W, 3] -> network input in the compute dtype; what lies beyond image_size becomes 0."""
        image = batch["image"]
        settings = self.settings.image
        pixels = tf.cast(image[..., ::-1] if settings.bgr else image, tf.float32)
        pixels = (pixels - tf.constant(settings.mean, tf.float32)) / tf.constant(settings.std, tf.float32)
        rows = tf.sequence_mask(batch["image_size"][:, 0], tf.shape(image)[1])
        columns = tf.sequence_mask(batch["image_size"][:, 1], tf.shape(image)[2])
        inside = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :]
        pixels = tf.where(inside[..., tf.newaxis], pixels, 0.0)
        return tf.cast(pixels, tf.keras.mixed_precision.Policy(self.settings.precision).compute_dtype)

    def sampling_keys(self, name, shape):
        """Uniform random keys float32 `shape` in [0, 1), fixed by the seed, the step, the rank and `name`."""
        # 64 bits hold any seed, half a million steps and more, and 4096 ranks.
        salt = tf.constant((self.seed * 7919 + sum(map(ord, name))) % 2**62, tf.int64)
        seed = tf.stack([salt, self.step * 4096 + self.world.rank])
        return tf.random.stateless_uniform(shape, seed)

    def normalized(self, sums, counts):
        """Divides each loss of the dict `sums` by its count in `counts`; see `loss_normalizer` of `compile`."""
        if self.loss_normalizer == "global":
            # Gradients are averaged over the ranks afterwards, which divides by the size once more.
            totals = self.world.sum(tf.stack([counts[name] for name in sums])) / self.world.size
        else:
            totals = tf.stack([counts[name] for name in sums])
        return {name: tf.math.divide_no_nan(value, totals[i]) for i, (name, value) in enumerate(sums.items())}
