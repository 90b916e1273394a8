"""Proves on this machine's GPU that awsdet computes there what it computes on a CPU, and how fast: `make test-gpu`.

Exit codes: 0 all parts passed, or there is no GPU (one line says so, and nothing is written); 1 a part failed; 2 a
mistake to mend first.
"""

import argparse
import datetime
import os
import pathlib
import sys
import time

from awsdet.cli import diagnosis
from awsdet.runtime import gpu_fit
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_writable, write_json
from tests.gpu import machine
from tests.gpu.outcome import FAILED, PASSED, SKIPPED
from tests.gpu.processes import PARTS, run_part

COLD = 8  # times as long may everything take on a GPU whose kernels the driver compiles first


def main(arguments):
    flags = _flags(arguments)
    try:
        return _run(flags)
    except UserError as mistake:
        print(f"test-gpu: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("test-gpu: stopped; the parts that had ended are in the JSON", file=sys.stderr)
        return 1


def _flags(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="make test-gpu ARGS=…")
    names = ",".join(part.name for part in PARTS)
    parser.add_argument("--parts", default=names, help=f"which of {names}; default: all")
    parser.add_argument("--json", default="runs/gpu.json", help="file that everything is written to; %(default)s")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies the time that each part may take")
    parser.add_argument("--device", default="GPU:0", help="device to prove; %(default)s")
    parser.add_argument("--against", default="CPU:0", help="device that is right; %(default)s")
    parser.add_argument("--small", action="store_true", help="small inputs, to try this program; they prove little")
    return parser.parse_args(arguments)


def _run(flags):
    parts = _chosen(flags.parts)
    check_writable(flags.json, "json")
    driver_gpus = diagnosis.nvidia_gpus()
    facts, error = machine.look()
    on_gpu = flags.device.startswith("GPU")
    mistakes = machine.mistakes(facts, error, driver_gpus) if on_gpu or facts is None else []
    if mistakes:
        raise UserError(mistakes[0])
    if on_gpu and not facts["gpus"]:
        print("test-gpu: no GPU on this machine, so nothing was tested and nothing was written")
        return 0
    cold = on_gpu and tuple(facts["gpus"][0][1]) > gpu_fit.TENSORFLOW_NEWEST
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(gpu_fit.CACHE_BYTES))
    _announce(facts, cold)
    begin = time.monotonic()
    document = {
        "verdict": "not finished",
        "began": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.described(facts),
        "device": flags.device,
        "against": flags.against,
        "small": flags.small,
        "parts": {},
    }
    path = pathlib.Path(flags.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    for part in parts:
        allowed = part.seconds * flags.patience * (COLD if cold else 1)
        print(f"{part.name:<10} {part.does} (at most {allowed:.0f} s) …", flush=True)
        document["parts"][part.name] = run_part(part, flags, allowed)
        document["seconds"] = round(time.monotonic() - begin, 1)
        write_json(path, document, indent=1)
        _tell(document["parts"][part.name])
    document["verdict"] = _verdict(document["parts"])
    write_json(path, document, indent=1)
    print(f"test-gpu: {document['verdict']} in {document['seconds']:.0f} s; everything is in {flags.json}")
    return 1 if document["verdict"].startswith(FAILED) else 0


def _chosen(names):
    known = {part.name: part for part in PARTS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise UserError(f"--parts has {name!r}; the parts are {', '.join(known)}")
    if not wanted:
        raise UserError(f"--parts names no part; the parts are {', '.join(known)}")
    return [part for part in PARTS if part.name in wanted]


def _announce(facts, cold):
    gpus = ", ".join(f"{name} ({'.'.join(map(str, capability))})" for name, capability in facts["gpus"]) or "no GPU"
    print(f"{gpus}; TensorFlow {facts['tensorflow']}, operators for {facts['operators']}")
    if cold:
        print(
            "TensorFlow 2.15 has no machine code for this GPU: the driver compiles each kernel at its first use, which "
            "may take 30 minutes in all; a second call is fast"
        )


def _tell(row):
    text = f"{row['status']} in {row['seconds']:.0f} s"
    if row["reason"]:
        text += f": {row['reason']}"
    print(f"{'':<10} {text}")
    for line in row["left_out"]:
        print(f"{'':<10} left out: {line}")
    sys.stdout.flush()


def _verdict(parts):
    def named(status):
        return [name for name, row in parts.items() if row["status"] == status]

    failed, passed, skipped = named(FAILED), named(PASSED), named(SKIPPED)
    short = [name for name, row in parts.items() if row["left_out"]]
    if failed:
        return f"{FAILED}: {', '.join(failed)}"
    text = f"{PASSED}: {', '.join(passed)}" if passed else "nothing was tested"
    text += f"; skipped: {', '.join(skipped)}" if skipped else ""
    return text + (f"; not whole: {', '.join(short)}" if short else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
