"""The training batches of a run, starting anywhere in it."""

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import broken_in_training, steps_left, steps_per_epoch, train_dataset
from awsdet.data.reader.position import Position
from awsdet.runtime.errors import UserError


class RecordBatches:
    """Batches of the training records. Attributes: per_epoch, the number of steps per epoch.

    Args:
        config: ConfigDict. manifest: Manifest of the records. world: World.
    """

    def __init__(self, config, manifest, world):
        self._config, self._manifest, self._world = config, manifest, world
        self._options = reader_options(config.data)
        self._images = config.data.batch_size * world.size
        self.per_epoch = steps_per_epoch(manifest, self._options, world.size)

    def left(self, position):
        """How many steps the epoch of a Position still has."""
        return steps_left(self._manifest, self._options, self._config.seed, position, self._images)

    def per_epoch_of(self, images):
        """How many steps an epoch has if a step has `images` images over all ranks."""
        return steps_left(self._manifest, self._options, self._config.seed, Position(), images)

    def from_position(self, position, last):
        """The batches from a Position on: the rest of its epoch if that has begun, otherwise all up to epoch `last`."""
        return train_dataset(
            self._manifest,
            self._options,
            seed=self._config.seed,
            rank=self._world.rank,
            world_size=self._world.size,
            epochs=min(last, position.epoch + 1) if position.segments else last,
            start=position,
        ).dataset

    def broken(self, position):
        """What is wrong with the first record that cannot be read of the next batches of this rank; None if none is.

        A sentence for the user; position: after the last batch that was trained on.
        """
        ranks = {"rank": self._world.rank, "world_size": self._world.size}
        return broken_in_training(self._manifest, self._options, seed=self._config.seed, **ranks, start=position)


class DatasetBatches:
    """Batches of a `tf.data.Dataset` of the user, which is one epoch. Attributes: per_epoch, its length.

    Raises UserError if its length is unknown, if the size of its batches is not data.batch_size, or if the number of
    processes may change: the dataset is that of one rank of so many.
    """

    def __init__(self, config, dataset, world):
        if world.elastic:
            raise UserError(
                "an elastic run cannot train on a dataset of your own, which is made for one number of processes; "
                "convert it to records (awsdet convert), or start it with a launcher that is not elastic"
            )
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

    def left(self, position):
        """See RecordBatches."""
        return self.per_epoch - sum(steps for _, steps in position.segments)

    def per_epoch_of(self, images):
        """See RecordBatches. All its steps are alike."""
        del images
        return self.per_epoch

    def from_position(self, position, last):
        """See RecordBatches; no epoch is the last. One that has begun goes on after the batches that were used."""
        del last
        within = self.per_epoch - self.left(position)
        return self._dataset.skip(within) if within else self._dataset.repeat()

    def broken(self, position):
        """See RecordBatches. Nothing is known of where such batches come from."""
        del position
        return None
