"""What the benchmarks of whole systems share: flags, one process per system, times, memory, the machine's rates."""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}  # of every measuring program
PEERS = ROOT / ".venv-peers"  # made by `make benchmark-peers`


def parser(description, dtypes=("float32", "bfloat16"), sizes="512", batches="2"):
    """An ArgumentParser with the flags that all benchmarks know."""
    flags = argparse.ArgumentParser(description=description.splitlines()[0])
    flags.add_argument("--dtype", choices=("float32", "bfloat16"), help="only this one, not both" if dtypes else "")
    flags.add_argument("--size", type=int, help=f"side of the images instead of {sizes}")
    flags.add_argument("--batch", type=int, help=f"images per step instead of {batches}")
    flags.add_argument("--load", choices=("fresh", "trained"), help="only this one, not both")
    flags.add_argument("--no-peer", action="store_true", help="measure ours alone")
    flags.add_argument("--json", help="also write all figures to this file")
    return flags


def run(command, python=sys.executable):
    """Runs a measuring program in a process of its own. Returns the JSON of the last line it prints, as a dict.

    Its other output is shown only if it fails, which ends the benchmark.
    """
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(
        [str(python), *map(str, command)], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peer_python():
    """The interpreter of the peers' environment. If it is missing, the program ends and names the cure."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        sys.exit("the peers are not installed; install them with:  make benchmark-peers   (or give --no-peer)")
    return python


def seconds(call, warmup, steps):
    """Seconds of each of `steps` calls, after `warmup` calls that do not count."""
    times = []
    for _ in range(warmup + steps):
        _wait_for_turn()
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times[warmup:]


def _wait_for_turn():
    """Waits for a line of input if this process takes turns with another one; see benchmarks/versions.py."""
    if "AWSDET_TURNS" in os.environ:
        print("turn", flush=True)
        sys.stdin.readline()


def wall_and_processor_seconds(call, warmup, steps):
    """Seconds and processor seconds of each call, measured as in `seconds`: a dict with seconds, cpu_seconds."""
    processor = []

    def counted():
        start = time.process_time()
        call()
        processor.append(time.process_time() - start)

    return {"seconds": seconds(counted, warmup, steps), "cpu_seconds": processor[warmup:]}


def peak_memory():
    """The most bytes that this process has held in memory since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def matmul_rate(dtype, size=2048, repeats=7):
    """FLOP/s of TensorFlow's product of two square matrices on all its threads: the best of a few runs."""
    import tensorflow as tf

    left, right = (tf.cast(tf.random.stateless_normal([size, size], (1, i)), dtype) for i in range(2))
    return 2 * size**3 / min(seconds(lambda: tf.matmul(left, right).numpy(), 3, repeats))


def table(rows, header):
    """Prints rows of strings under a header, with columns as wide as their contents."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())


def write_json(path, figures):
    if path:
        pathlib.Path(path).write_text(json.dumps(figures, indent=2) + "\n")
