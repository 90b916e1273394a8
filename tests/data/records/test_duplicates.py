"""Images that look alike and objects that are annotated twice, against all pairs."""

import io

import numpy as np
import pytest
from PIL import Image

from awsdet.data.records import duplicates, fingerprints


def photo(seed, height=240, width=320):
    """A picture with structure at all scales, like a photo."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        for n in (3, 6, 24)
    ]
    return Image.fromarray(np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))


def encoded(image, kind="JPEG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_copies_in_another_size_quality_or_format_are_found_and_others_are_not():
    files, origin = [], []
    for seed in range(30):
        image = photo(seed)
        files += [encoded(image, quality=95)]
        origin += [seed]
        if seed % 3 == 0:
            files += [
                encoded(image, quality=40),
                encoded(image.resize((200, 150)), quality=80),
                encoded(image, "PNG"),
                encoded(image.convert("L")),
            ]
            origin += [seed] * 4
    order = np.random.default_rng(0).permutation(len(files))
    grey = np.stack([fingerprints.tiny(files[i]) for i in order])
    origin = np.array(origin)[order]
    found = duplicates.similar_images(grey)
    assert sorted(tuple(group) for group in found) == sorted(
        tuple(np.flatnonzero(origin == seed)) for seed in range(0, 30, 3)
    )


def slow_groups(grey):
    bits = fingerprints.gradient_bits(grey)
    joined = np.eye(len(grey), dtype=bool)
    for i in range(len(grey)):
        for j in range(i):
            apart = np.unpackbits(bits[i] ^ bits[j]).sum()
            close = np.abs(grey[i].astype(int) - grey[j].astype(int)).mean() <= 6
            joined[i, j] = joined[j, i] = apart <= 7 and close
    for _ in range(len(grey).bit_length()):
        joined = (joined.astype(int) @ joined.astype(int)) > 0
    return {tuple(np.flatnonzero(row)) for row in joined if row.sum() > 1}


def test_no_pair_is_missed_among_noisy_copies():
    rng = np.random.default_rng(7)
    base = rng.integers(0, 256, (12, 9, 9))
    noisy = np.repeat(base, 6, axis=0) + rng.normal(0, 1, (72, 9, 9)) * np.tile([0, 1, 3, 6, 9, 14], 12)[:, None, None]
    grey = np.clip(noisy, 0, 255).astype(np.uint8)
    expected = slow_groups(grey)
    assert {tuple(group) for group in duplicates.similar_images(grey)} == expected
    assert 12 <= sum(map(len, expected)) < 72  # some of the noisy ones are too far away


def test_empty_scenes_are_told_apart_by_their_brightness():
    grey = np.stack([np.full((9, 9), value, np.uint8) for value in (0, 0, 40, 40, 200)])
    assert [group.tolist() for group in duplicates.similar_images(grey)] == [[0, 1], [2, 3]]


def test_many_equal_images_are_one_group():
    found = duplicates.similar_images(np.zeros((1000, 9, 9), np.uint8))
    assert [len(group) for group in found] == [1000]


def test_deep_images_are_not_all_white():
    deep = (np.arange(90 * 120).reshape(90, 120) * 6).astype(np.uint16)
    grey = fingerprints.tiny(encoded(Image.fromarray(deep), "PNG"))
    assert grey.min() < 40 and grey.max() > 200
    other = fingerprints.tiny(encoded(Image.fromarray(deep[::-1].copy()), "PNG"))
    assert duplicates.similar_images(np.stack([grey, other])) == []


def test_equal_bytes():
    digests = [b"a", b"b", b"a", b"c", b"b", b"a"]
    assert [group.tolist() for group in duplicates.equal_images(digests)] == [[0, 2, 5], [1, 4]]
    grey = np.random.default_rng(0).integers(0, 256, (6, 9, 9), np.uint8)
    assert [group.tolist() for group in duplicates.similar_images(grey, digests)] == [[0, 2, 5], [1, 4]]
    assert duplicates.equal_images([]) == [] and duplicates.similar_images(np.zeros((0, 9, 9), np.uint8)) == []


@pytest.mark.parametrize("seed", range(5))
def test_repeated_objects_are_those_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    count = 200
    rows, classes = rng.integers(0, 8, count), rng.integers(0, 3, count)
    corner = rng.choice([0, 20, 40], (count, 2)) + rng.normal(0, 0.3, (count, 2))
    boxes = np.concatenate([corner, corner + rng.choice([30, 31], (count, 2)) + rng.normal(0, 0.3, (count, 2))], axis=1)
    expected = set()
    for i in range(count):
        for j in range(i):
            iou = duplicates.paired_iou(boxes[i : i + 1], boxes[j : j + 1])[0]
            if rows[i] == rows[j] and classes[i] == classes[j] and iou > 0.95:
                expected.add((j, i))
    found = duplicates.repeated_objects(rows, classes, boxes)
    assert {tuple(pair) for pair in found.tolist()} == expected and len(found) == len(expected) > 3


def test_a_huge_crowd_of_objects_is_quick_and_each_repeat_is_found():
    """All pairs of so many equal boxes would be five billion."""
    boxes = np.tile(np.array([[1.0, 2, 11, 12], [1, 40, 11, 50]]), (50_000, 1))
    found = duplicates.repeated_objects(np.zeros(100_000), np.zeros(100_000), boxes)
    assert len(np.unique(found[:, 1])) == 99_998 and not np.any((found[:, 0] - found[:, 1]) % 2)


def test_objects_without_partner():
    none = duplicates.repeated_objects(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 4)))
    assert none.shape == (0, 2)
    flat = np.array([[1.0, 1, 1, 9], [1, 1, 1, 9]])
    assert duplicates.repeated_objects(np.zeros(2), np.zeros(2), flat).shape == (0, 2)


def test_a_stored_checksum_is_taken_and_a_wrong_one_is_not():
    import tensorflow as tf

    def features(key):
        lists = {"image/encoded": [b"bytes"], **({} if key is None else {"image/key/sha256": [key]})}
        return {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value)) for name, value in lists.items()}

    true = fingerprints.digest(features(None))
    assert len(true) == 32
    for wrong in (b"", b"no number", b"abcd"):
        assert fingerprints.digest(features(wrong)) == true
    assert fingerprints.digest(features(b"ab" * 32)) == b"\xab" * 32
