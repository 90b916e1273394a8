"""The only file of `awsdet.data` that sees a config: the section `data` to typed values."""

from awsdet.data.reader import augment, padding
from awsdet.data.reader.options import ReaderOptions
from awsdet.data.reader.sizes import InputSize
from awsdet.runtime.errors import UserError

PAD_UNIT = 32  # px; what a feature pyramid's coarsest backbone level, P5, makes one pixel of
_AT_LEAST = {"batch_size": 1, "eval_batch_size": 1, "max_long_side": 1, "eval_short_side": 1, "reader_threads": 0}


def reader_options(settings):
    """ReaderOptions from `config.data`. Raises UserError that names the invalid setting, and the cure."""
    for name, least in _AT_LEAST.items():
        if settings[name] < least:
            raise _error(settings, name, f"must be {least} or more")
    multiple = settings.pad_multiple
    if multiple < 1 or multiple % PAD_UNIT:
        raise _error(settings, "pad_multiple", f"must be a multiple of {PAD_UNIT}, as in 32, 64 or 128")
    rules = augment.Augmentation(**{name: settings[name] for name in augment.Augmentation._fields})
    for name, what in augment.complaints(rules):
        raise _error(settings, name, what)
    if rules.canvas % multiple:
        raise _error(settings, "canvas", f"must be a multiple of data.pad_multiple, {multiple}")
    return ReaderOptions(
        batch_size=settings.batch_size,
        eval_batch_size=settings.eval_batch_size,
        eval_size=InputSize(settings.eval_short_side, settings.max_long_side, multiple),
        augmentation=rules,
        pad_multiple=multiple,
        padded_sizes=_padded_sizes(settings, rules),
        keep_empty=settings.keep_empty,
        reader_threads=settings.reader_threads,
    )


def _padded_sizes(settings, rules):
    try:
        sizes = padding.parse(settings.padded_sizes, settings.pad_multiple)
    except ValueError as error:
        raise _error(settings, "padded_sizes", error) from error
    if sizes and rules.canvas:
        raise _error(settings, "padded_sizes", "does nothing with data.canvas, which has one size; leave it empty")
    return sizes


def _error(settings, name, what):
    value = settings[name]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else value
    return UserError(f"--config.data.{name}={text}: it {what}")
