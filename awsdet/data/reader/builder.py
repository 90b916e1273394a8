"""The only file of `awsdet.data` that sees a config: the section `data` to typed values."""

from awsdet.config import check_section
from awsdet.data.reader import augment, padding
from awsdet.data.reader.options import ReaderOptions
from awsdet.data.reader.sizes import InputSize


def reader_options(settings):
    """ReaderOptions from `config.data`. Raises UserError that names the invalid setting, and the cure."""
    check_section("data", settings)
    multiple = settings.pad_multiple
    return ReaderOptions(
        batch_size=settings.batch_size,
        eval_batch_size=settings.eval_batch_size,
        eval_size=InputSize(settings.eval_short_side, settings.max_long_side, multiple),
        augmentation=augment.Augmentation(**{name: settings[name] for name in augment.Augmentation._fields}),
        pad_multiple=multiple,
        padded_sizes=padding.parse(settings.padded_sizes, multiple),
        keep_empty=settings.keep_empty,
        reader_threads=settings.reader_threads,
    )
