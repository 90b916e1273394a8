"""Builds the hollow CUDA libraries for an installed GPU build of TensorFlow.

    python tests/gpu_counts/build.py FOLDER_OF_TENSORFLOW OUT

TensorFlow's library names every CUDA function that it may look up. Those that hollow/*.cc defines get their bodies from
there; every other one gets a body that writes its name to the log and returns 0.
"""

import mmap
import pathlib
import re
import subprocess
import sys

SOURCES = pathlib.Path(__file__).parent / "hollow"
LIBRARY = "libhollow.so"
# The names by which TensorFlow and our own operators load NVIDIA's libraries.
ALIASES = (
    "libcuda.so.1",
    "libcudart.so.12",
    "libcudnn.so.8",
    "libcublas.so.12",
    "libcublasLt.so.12",
    "libcufft.so.11",
    "libcusolver.so.11",
    "libcusparse.so.12",
)
PREFIXES = b"__cuda|cuda|cudnn|cublas|cufft|cusparse|cusolver|cupti|cu"
# Called by what nvcc compiles, so that they appear in no table of names.
REGISTRATION = (
    "__cudaInitModule",
    "__cudaRegisterFatBinaryEnd",
    "__cudaRegisterHostVar",
    "__cudaRegisterManagedVar",
    "__cudaRegisterUnifiedTable",
    "__cudaRegisterVar",
    "__cudaUnregisterFatBinary",
)


def wanted_names(tensorflow):
    """The CUDA functions that a TensorFlow may look up: set of names. `tensorflow`: path of its package."""
    pattern = re.compile(rb"\0((?:" + PREFIXES + rb")[A-Z][A-Za-z0-9_]*)\0")
    with open(tensorflow / "libtensorflow_cc.so.2", "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = {match.decode() for match in _overlapping(pattern, content)}
    return found | set(REGISTRATION)


def _overlapping(pattern, content):
    """All matches, of which the last byte of one may be the first of the next."""
    match = pattern.search(content)
    while match:
        yield match.group(1)
        match = pattern.search(content, match.end() - 1)


def build(tensorflow, out):
    """Writes the libraries into the folder `out`. Returns (number of CUDA names, number of those with a body)."""
    out.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in sorted(SOURCES.glob("*.cc")):
        objects.append(out / f"{source.stem}.o")
        flags = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"]
        subprocess.run(["g++", *flags, "-c", source, "-o", objects[-1]], check=True)
    symbols = subprocess.run(["nm", "--defined-only", *objects], check=True, capture_output=True, text=True).stdout
    defined = set(re.findall(r" T (\w+)$", symbols, re.MULTILINE))
    wanted = wanted_names(tensorflow)
    stubs = out / "stubs.c"
    lines = ["int hollow_unnamed(const char* name);"]
    lines += [f'int {name}() {{ return hollow_unnamed("{name}"); }}' for name in sorted(wanted - defined)]
    stubs.write_text("\n".join(lines) + "\n")
    subprocess.run(["gcc", "-O1", "-fPIC", "-w", "-c", stubs, "-o", out / "stubs.o"], check=True)
    objects.append(out / "stubs.o")
    subprocess.run(
        ["g++", "-shared", f"-Wl,-soname,{LIBRARY}", "-o", out / LIBRARY, *objects, "-ldl", "-lpthread"], check=True
    )
    for alias in ALIASES:
        link = out / alias
        link.unlink(missing_ok=True)
        link.symlink_to(LIBRARY)
    return len(wanted), len(wanted & defined)


if __name__ == "__main__":
    names, bodies = build(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    print(f"{names} CUDA functions, {bodies} of them with a body, in {sys.argv[2]}/{LIBRARY}")
