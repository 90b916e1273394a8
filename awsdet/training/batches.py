"""The training batches of a run, starting at any step."""

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import steps_per_epoch, train_dataset
from awsdet.runtime.errors import UserError


class RecordBatches:
    """Batches of the training records. Attributes: per_epoch, the number of steps per epoch.

    Args:
        config: ConfigDict. manifest: Manifest of the records. world: World.
    """

    def __init__(self, config, manifest, world):
        self._config, self._manifest, self._world = config, manifest, world
        self.per_epoch = steps_per_epoch(manifest, reader_options(config.data), world.size)

    def from_step(self, step):
        """The batches from `step` on: the rest of its epoch if that has begun, otherwise all epochs that are left."""
        last = self._config.train.epochs
        return train_dataset(
            self._manifest,
            reader_options(self._config.data),
            seed=self._config.seed,
            rank=self._world.rank,
            world_size=self._world.size,
            epochs=min(last, step // self.per_epoch + 1) if step % self.per_epoch else last,
            start_step=step,
        ).dataset


class DatasetBatches:
    """Batches of a `tf.data.Dataset` of the user, which is one epoch. Attributes: per_epoch, its length.

    Raises UserError if its length is unknown, or if the size of its batches is not data.batch_size.
    """

    def __init__(self, config, dataset):
        self._dataset, self.per_epoch = dataset, int(dataset.cardinality())
        if self.per_epoch < 1:
            raise UserError(
                "the length of the dataset is not known, and an epoch needs one; give it with "
                "dataset.apply(tf.data.experimental.assert_cardinality(BATCHES))"
            )
        spec = dataset.element_spec
        size = spec["image"].shape[0] if isinstance(spec, dict) and "image" in spec else config.data.batch_size
        if size not in (None, config.data.batch_size):
            raise UserError(
                f"the batches of the dataset have {size} images, but data.batch_size is {config.data.batch_size}; make "
                "them equal, since the learning rate is scaled by data.batch_size"
            )

    def from_step(self, step):
        """See RecordBatches. An epoch that has begun goes on after the batches that were already used."""
        within = step % self.per_epoch
        return self._dataset.skip(within) if within else self._dataset.repeat()
