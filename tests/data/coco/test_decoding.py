import numpy as np
import pytest

from awsdet.data.coco.decoding import decoded, decoder_words
from tests.mutilated import made_images


def test_jpeg_and_png_are_decoded_as_by_pillow():
    """Prediction may read by either: fast inverse transforms or rough upsampling would differ by some grey levels."""
    noise = np.random.default_rng(1).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    for options in ({"quality": 90}, {"quality": 30, "subsampling": 2}, {"quality": 75, "progressive": True}):
        data = made_images.saved(noise, "JPEG", **options)
        np.testing.assert_array_equal(decoded(data), made_images.by_pillow(data))
    np.testing.assert_array_equal(decoded(made_images.saved(noise, "PNG")), noise)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Input is empty"),
        (b"no image", "Unknown image file format"),
        (made_images.every_kind()["jpeg"][:300], "truncated or damaged JPEG data"),
        (made_images.every_kind()["png"][:100], "truncated or damaged PNG data"),
        (made_images.every_kind()["bmp"], "BMP"),
    ],
)
def test_what_is_refused_is_said_in_a_few_words(data, words):
    with pytest.raises(ValueError, match=words) as refused:
        decoded(data)
    assert not {"{{", "Op:"} & set(str(refused.value).split()) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("{{function_node __wrapped__X_device_/job:localhost}} shard is damaged [Op:X] name: ", "shard is damaged"),
        (
            "{{function_node f}} {{node n}} Invalid PNG data, size 5\n\t [[{{node n}}]] [Op:N]",
            "truncated or damaged PNG data",
        ),
        ("\n\n", "no reason is given"),
        ("", "no reason is given"),
    ],
)
def test_words_are_without_the_names_of_nodes(message, words):
    assert decoder_words(message) == words
