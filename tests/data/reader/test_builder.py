"""From settings to ReaderOptions, and the errors for invalid settings."""

import pytest

from awsdet import config
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.sizes import InputSize
from awsdet.runtime.errors import UserError


def options(**changes):
    settings = config.mask_rcnn().data
    settings.update(changes)
    return reader_options(settings)


def test_options_are_the_settings():
    found = options(batch_size=3, eval_short_side=640, pad_multiple=64, short_sides=(640, 800), keep_empty=False)
    assert found.batch_size == 3 and found.eval_batch_size == 2 and found.keep_empty is False
    assert found.eval_size == InputSize(640, 1333, 64) and found.pad_multiple == 64
    assert found.augmentation.short_sides == (640, 800) and found.augmentation.flip_probability == 0.5
    assert not found.augmentation.crops and options(canvas=1024).augmentation.crops


@pytest.mark.parametrize(
    "changes, cure",
    [
        ({"batch_size": -1}, "must be 0 or more"),
        ({"reader_threads": -1}, "must be between 0 and 4096"),
        ({"pad_multiple": 0}, "multiple of 32"),
        ({"pad_multiple": 48}, "multiple of 32 between 32 and 65504, as in 32, 64 or 128"),
        ({"short_sides": ()}, "tuple of 1 or more values"),
        ({"short_sides": (0,)}, "each a whole number, between 1 and 1048576"),
        ({"short_sides": ("wide",)}, "each a whole number, between 1 and 1048576"),
        ({"flip_probability": 1.5}, "between 0 and 1"),
        ({"short_side_range": (800, 640)}, "as in 640,800"),
        ({"short_side_range": (640,)}, "as in 640,800"),
        ({"crop": (0.0, 1.0)}, "as in 0.9,0.9"),
        ({"crop": (0.5, 1.5)}, "as in 0.9,0.9"),
        ({"crop": (0.5,)}, "as in 0.9,0.9"),
        ({"crop_keeps_object": True}, "set data.crop or data.canvas"),
        ({"canvas": -1}, "0 to turn large-scale jitter off"),
        ({"canvas": 1000}, "multiple of data.pad_multiple, 32"),
        ({"crop": (0.5, 0.5), "canvas": 1024}, "does not go with data.canvas"),
        ({"short_side_range": (640, 800), "canvas": 1024}, "does nothing with data.canvas"),
        ({"jitter_scales": (2.0, 0.1)}, "as in 0.1,2.0"),
        ({"min_visible": 1.1}, "between 0 and 1"),
        ({"boxes_from_masks": True}, "set data.crop or data.canvas"),
        ({"copy_paste": 1.5, "canvas": 1024}, "between 0 and 1"),
        ({"copy_paste": 0.5}, "needs images of one size, so set data.canvas too, as in data.canvas=1024"),
        ({"copy_paste_objects": 0}, "between 1 and 10000"),
        ({"brightness": -0.1}, "between 0 and 5; it is a share"),
        ({"contrast": 50.0}, "between 0 and 5; it is a share"),
        ({"saturation": float("inf")}, "between 0 and 5; it is a share"),
        ({"jitter_scales": (10.0, 200.0)}, "at most 10, as in 0.1,2.0"),
        ({"hue": 0.6}, "between 0 and 0.5"),
        ({"padded_sizes": "800"}, "must be auto, or heights and widths"),
        ({"padded_sizes": "800x1333"}, "multiples of data.pad_multiple, 32"),
        ({"padded_sizes": "auto", "canvas": 1024}, "has one size; leave it empty"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_named_with_the_cure(changes, cure):
    name = next(iter(changes))
    with pytest.raises(UserError, match=rf"^data\.{name} is .*; it .*{cure}") as error:
        options(**changes)
    assert "\n" not in str(error.value)
