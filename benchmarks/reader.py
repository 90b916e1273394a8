"""Times the reader, from records to ready batches, beside merely decoding the same JPEG images.

    python benchmarks/reader.py --data=DIR [--size 800] [--batch 2] [--json FILE]

DIR holds COCO's `annotations/` and `train2017/` or a part of them; the images are read several times. Each measurement
is a process of its own that may use one core, then two. CPU is the time per image on all cores, the smallest of three
processes: other work on the machine affects it little. The last line ends with our images per second.
"""

import json
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure

SECONDS, ROUNDS = 6, 3
TAKEN = 80  # images between two readings of the clock


def main(flags):
    data = pathlib.Path(flags.data)
    annotations = next((data / "annotations").glob("instances_train*.json"))
    images = next(path for path in data.glob("train*") if path.is_dir())
    rows, figures = [], []
    with tempfile.TemporaryDirectory() as records:
        measure.run(["-c", _CONVERT, annotations, images, records])
        for cores in range(1, min(2, len(os.sched_getaffinity(0))) + 1):
            for short, long in [(flags.size, flags.size * 5 // 3)] if flags.size else [(800, 1333), (512, 853)]:
                # In turns, so that other work on the machine affects all alike.
                rounds = [
                    {
                        what: measure.run([__file__, what, records, cores, short, long, flags.batch or 2])
                        for what in WHAT
                    }
                    for _ in range(ROUNDS)
                ]
                rate = {what: statistics.median(r[what]["rate"] for r in rounds) for what in WHAT}
                cpu = {what: min(r[what]["cpu"] for r in rounds) for what in WHAT}
                cpu_ms = {f"{what} CPU ms": 1e3 * cpu[what] for what in WHAT}
                figures.append({"cores": cores, "short": short, "long": long, **rate, **cpu_ms})
                shares = [f"{rate['reader'] / rate['decode']:.0%}", f"{cpu['decode'] / cpu['reader']:.0%}"]
                values = [f"{rate[what]:.1f}" for what in WHAT], [f"{1e3 * cpu[what]:.2f}" for what in WHAT]
                rows.append([cores, f"{short}/{long}", *values[0], shares[0], *values[1], shares[1]])
    names = [f"{what} img/s" for what in WHAT], [f"{what} CPU ms" for what in WHAT]
    measure.table(rows, ["cores", "size", *names[0], "reader of decode", *names[1], "by CPU"])
    measure.write_json(flags.json, {"figures": figures})
    print(f"{annotations.name} img/s {max(figure['reader'] for figure in figures):.3f}")


_CONVERT = """
import sys
from awsdet.cli.main import main
_, annotations, images, records = sys.argv
code = main(["convert", f"--annotations={annotations}", f"--images={images}", f"--output={records}", "--split=train"])
print("{}")
sys.exit(code)
"""


def decode(manifest, config, cores):
    """Reads the bytes of the records and decodes their JPEG as the reader does. Returns what `_rate` returns."""
    import tensorflow as tf

    from awsdet.data.reader.parsing import decode_image
    from awsdet.ops.read_record import read_record

    files = tf.constant([str(manifest.directory / shard.file) for shard in manifest.shards])
    feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}

    def load(shard, offset, length):
        record = read_record(files[shard], offset, length)
        return decode_image(tf.io.parse_single_example(record, feature)["image/encoded"])

    places = tf.data.Dataset.from_tensor_slices((manifest.shard, manifest.offset, manifest.length)).repeat()
    return _rate(places.map(load, num_parallel_calls=cores, deterministic=True).prefetch(8), 1)


def reader(manifest, config, cores):
    """Runs the training reader. Returns what `_rate` returns."""
    from awsdet.data.reader.builder import reader_options
    from awsdet.data.reader.pipeline import train_dataset

    data = train_dataset(manifest, reader_options(config), seed=1, rank=0, world_size=1, epochs=1000)
    return _rate(data.dataset, config.batch_size)


def _rate(dataset, images):
    """Takes elements of a dataset, each of `images` images. Returns images per second and CPU seconds per image."""
    import tensorflow as tf

    iterator = iter(dataset)

    batches = max(TAKEN // images, 1)

    @tf.function  # in a graph, as `fit` takes batches; in Python the ragged tensors cost 0.4 ms per batch
    def take():
        for _ in tf.range(batches):
            next(iterator)

    take()
    count, start, cpu = 0, time.perf_counter(), _cpu_seconds()
    while time.perf_counter() < start + SECONDS:
        take()
        count += batches * images
    return {"rate": count / (time.perf_counter() - start), "cpu": (_cpu_seconds() - cpu) / count}


def _cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


WHAT = {"decode": decode, "reader": reader}


def child(what, records, cores, short, long, batch):
    cores = int(cores)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    import tensorflow as tf

    from awsdet import config as config_lib
    from awsdet.data.records.read import read_manifest

    tf.config.threading.set_inter_op_parallelism_threads(cores)
    tf.config.threading.set_intra_op_parallelism_threads(cores)
    config = config_lib.mask_rcnn().data
    config.update(batch_size=int(batch), short_sides=(int(short),), max_long_side=int(long), reader_threads=cores)
    print(json.dumps(WHAT[what](read_manifest(records, "train"), config, cores)))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in WHAT:
        child(*sys.argv[1:])
    else:
        given = measure.parser(__doc__)
        given.add_argument("--data", required=True, help="folder with annotations/ and train2017/ in COCO's layout")
        main(given.parse_args())
