"""Damages images of every format and converts them: each must be kept, or refused by name.

    python -m tests.mutilated.images --count=1000 --seed=1

Every file is damaged at random (bytes flipped, cut, spliced with another file, parts repeated or taken out). Then the
files are converted, the records inspected, each stored image decoded as training does, and each file read as
prediction does. Whatever else happens than a counted anomaly or a UserError is a fault: another exception, a signal, a
stored image that the reader cannot decode or decodes to other pixels than prediction reads. The files are treated in
child processes, so that a signal is seen, and the file that caused it is named. Prints a table of outcomes; the exit
code is 1 if there was a fault.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from tests.mutilated import made_images

BATCH = 200  # files per child process: TensorFlow's start takes seconds
TIMEOUT = 500  # seconds for the files of a child
SIZES = ((24, 40), (97, 131))


def mutilated(count, seed, first=0):
    """Yields (name, bytes) of `count` damaged files. File i is the same whatever the count; they begin at `first`."""
    sound = [data for size in SIZES for data in made_images.every_kind(*size).items()]
    for number in range(first, first + count):
        rng = random.Random(f"{seed} {number}")
        kind, data = rng.choice(sound)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            harm = rng.choice(HARMS)
            data = harm(rng, data, rng.choice(sound)[1])
        yield f"{number:06d}_{kind}.{rng.choice(('jpg', 'png', 'tif'))}", data


def flip_bits(rng, data, other):
    harmed = bytearray(data)
    # Headers are short, so they would be hit too rarely.
    end = len(data) if rng.random() < 0.5 else min(len(data), 64)
    for _ in range(rng.choice((1, 1, 2, 5, 50))):
        if end:
            harmed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(harmed)


def overwrite(rng, data, other):
    harmed, start = bytearray(data), rng.randrange(len(data) + 1)
    piece = bytes(rng.choice((0, 255, rng.randrange(256))) for _ in range(rng.choice((1, 2, 4, 300))))
    harmed[start : start + len(piece)] = piece
    return bytes(harmed)


def cut(rng, data, other):
    return data[: rng.randrange(len(data) + 1)]


def cut_a_little(rng, data, other):
    return data[: max(0, len(data) - rng.randint(1, 16))]


def take_out(rng, data, other):
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 2, 10, 200)) :]


def repeat(rng, data, other):
    start = rng.randrange(len(data) + 1)
    end = start + rng.choice((1, 4, 100))
    return data[:end] + data[start:]


def splice(rng, data, other):
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def append(rng, data, other):
    return data + other[: rng.choice((1, 100, 10000))]


HARMS = (flip_bits, flip_bits, flip_bits, overwrite, overwrite, cut, cut_a_little, take_out, repeat, splice, append)


class Outcomes:
    """What became of files. counts: (step, outcome) -> number; faults: lines."""

    def __init__(self):
        self.counts, self.faults = collections.Counter(), []

    def merge(self, content):
        """Adds what `to_json` of another one returned."""
        self.counts.update({(step, outcome): count for step, outcome, count in content["counts"]})
        self.faults += content["faults"]

    def to_json(self):
        """The JSON-ready dict."""
        return {"counts": [[*key, count] for key, count in self.counts.items()], "faults": self.faults}

    def table(self):
        """The outcomes as lines, the most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda item: (item[0][0], -item[1]))
        lines = [f"{count:>8}  {step:<8} {outcome}" for (step, outcome), count in ordered]
        return "\n".join(lines + [f"FAULT: {fault}" for fault in self.faults] + [f"{len(self.faults)} faults"])


def treat(files, folder, max_megapixels, now=lambda name: None):
    """Converts, inspects, decodes and reads files: an iterable of (name, bytes). Returns Outcomes.

    folder: an empty one; now: called with the name of the file that is treated next.
    """
    import numpy as np

    from awsdet.data.coco.images import prepare_image, read_image
    from awsdet.data.coco.opening import ImageRefused
    from awsdet.data.reader.parsing import decode_image
    from awsdet.runtime.errors import UserError

    outcomes, images, kept = Outcomes(), folder / "images", {}
    images.mkdir()
    for name, data in files:
        (images / name).write_bytes(data)
        now(name)
        try:
            loaded = read_image(images / name, int(max_megapixels * 1e6))
            outcomes.counts["predict", "read"] += 1
        except UserError as error:
            outcomes.counts["predict", "refused"] += 1
            loaded, line = None, str(error)
            if "\n" in line or name not in line:
                outcomes.faults.append(f"{name}: not one line that names the file: {line}")
        try:
            stored = prepare_image(data, max_pixels=int(max_megapixels * 1e6))
            decoded = decode_image(stored.encoded).numpy()
            loss = 8 if stored.encoded != data and stored.format == "jpeg" else 0
            same = loaded is not None and decoded.shape == loaded.pixels.shape
            if not same or np.abs(decoded.astype(int) - loaded.pixels).mean() > loss:
                outcomes.faults.append(f"{name}: prediction does not read what is stored")
            kept[name] = stored.encoded != data
        except ImageRefused as refusal:
            outcomes.counts["refused", refusal.kind] += 1
            if loaded is not None:
                outcomes.faults.append(f"{name}: prediction reads it, but it is not stored: {refusal}")
    now("the conversion")
    _convert(outcomes, folder, sorted(path.name for path in images.iterdir()), kept, max_megapixels)
    return outcomes


def _convert(outcomes, folder, names, kept, max_megapixels):
    """Converts the files and inspects the records; `kept`: name -> whether it is stored anew."""
    from awsdet.data.records.convert import convert
    from awsdet.data.records.inspection import inspect
    from awsdet.data.records.read import read_ground_truth
    from awsdet.runtime.errors import UserError

    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 5, 5]} for i in range(1, len(names) + 1)]
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names, 1)],
        "annotations": [{**box, "area": 25, "iscrowd": 0} for box in boxes],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    arguments = folder / "annotations.json", folder / "images", folder / "records", "all"
    try:
        manifest = convert(*arguments, workers=1, max_megapixels=max_megapixels)
    except UserError as error:
        if kept:
            outcomes.faults.append(f"the conversion was refused: {error}")
        return
    stored = {image["file_name"] for image in read_ground_truth(manifest)["images"]}
    if stored != set(kept):
        outcomes.faults.append(f"the conversion kept other files: {sorted(stored ^ set(kept))}")
    for anew in kept.values():
        outcomes.counts["kept", "stored anew" if anew else "as it is"] += 1
    for kind, count in manifest.anomalies.counts.items():
        if kind.startswith("image_") and kind != "image_size_absent":
            outcomes.counts["counted", kind] += count
    outcomes.faults += [fault for one in inspect(folder / "records") for fault in one.faults]


def run(count, seed, max_megapixels=250.0):
    """Treats `count` files in child processes. Returns Outcomes."""
    outcomes = Outcomes()
    for first in range(0, count, BATCH):
        number = min(BATCH, count - first)
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.mutilated.images", f"--count={number}", f"--seed={seed}"]
            command += [f"--first={first}", f"--child={folder}", f"--max-megapixels={max_megapixels}"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT)
                code, said = done.returncode, (done.stderr.strip().splitlines() or [""])[-1]
            except subprocess.TimeoutExpired:
                code, said = "timeout", ""
            result, now = pathlib.Path(folder) / "outcomes.json", pathlib.Path(folder) / "now"
            if code == 0 and result.is_file():
                outcomes.merge(json.loads(result.read_text()))
            else:
                at = now.read_text() if now.is_file() else "the start"
                outcomes.faults.append(f"files {first} to {first + number - 1}: exit code {code} at {at}: {said}")
    return outcomes


def main():
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-megapixels", type=float, default=250.0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        folder = pathlib.Path(given.child)
        files = mutilated(given.count, given.seed, given.first)
        outcomes = treat(files, folder, given.max_megapixels, (folder / "now").write_text)
        (folder / "outcomes.json").write_text(json.dumps(outcomes.to_json()))
        return 0
    outcomes = run(given.count, given.seed, given.max_megapixels)
    print(f"{given.count} damaged images, seed {given.seed}:\n{outcomes.table()}")
    return 1 if outcomes.faults else 0


if __name__ == "__main__":
    sys.exit(main())
