"""What `awsdet doctor` looks at, and how it judges that.

There are two kinds of functions: probes look at this machine, judges turn what they saw into findings. Each library is
loaded in a process of its own, because a broken one can crash its process (by an instruction that the processor lacks,
or a missing symbol).
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import socket
import subprocess
import sys
from typing import NamedTuple

from awsdet.runtime import gpu_fit
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.version import __version__

PIP = f"{sys.executable} -m pip"
# Package -> the version it must have: exactly that one, "<N" for a major version below N, or "" for any.
PACKAGES = {
    "tensorflow": "2.15.1",
    "keras": "",
    "tensorflow-addons": "0.23.0",
    "horovod": "0.28.1",
    "numpy": "<2",
    "pycocotools": "",
    "ml-collections": "",
    "absl-py": "",
    "pillow": "",
    "safetensors": "",
    "pyyaml": "",
    "tqdm": "",
}
INSTRUCTION_SETS = ("avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_bf16")
LEAST_DISK = 2 * 2**30  # bytes; a checkpoint of Mask R-CNN with ResNet-50 has about 0.35 GB, and a run keeps several

_LOAD_TENSORFLOW = """
import json, tensorflow as tf
build = tf.sysconfig.get_build_info()
gpus = [tf.config.experimental.get_device_details(g) for g in tf.config.list_physical_devices("GPU")]
print(json.dumps({
    "cuda": build.get("cuda_version", ""),
    "gpus": [[g.get("device_name", "GPU"), list(g.get("compute_capability", ()))] for g in gpus],
}))
"""
_LOAD_HOROVOD = """
import json
from awsdet.runtime.horovod import build_features
print(json.dumps(build_features()))
"""
_LOAD_OPERATORS = """
import json
from awsdet.ops.library import built_for
print(json.dumps(built_for()))
"""


class Finding(NamedTuple):
    """One line of the report. If something is broken, `cure` is the command that fixes it; otherwise it is empty."""

    section: str
    name: str
    value: str
    cure: str = ""


def examine(directory="."):
    """Looks at this machine. `directory`: folder that runs will be written to. Returns a list of Findings."""
    versions = installed_versions()
    driver_gpus = nvidia_gpus()
    tensorflow, tensorflow_error = load(_LOAD_TENSORFLOW)
    horovod, horovod_error = load(_LOAD_HOROVOD) if tensorflow else (None, "TensorFlow does not load")
    operators, operators_error = load(_LOAD_OPERATORS) if tensorflow else (None, "TensorFlow does not load")
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    directory = _existing(directory)
    return [
        judge_python(sys.version_info[:3]),
        *judge_packages(versions, bool(driver_gpus)),
        judge_processor(cpuinfo.read_text() if cpuinfo.is_file() else "", usable_cores()),
        judge_memory(),
        judge_tensorflow(tensorflow, tensorflow_error, driver_gpus),
        *judge_gpus(tensorflow),
        judge_horovod(horovod, horovod_error, len(tensorflow["gpus"]) if tensorflow else 0),
        judge_operators(operators, operators_error, _gpus(tensorflow)),
        *judge_launchers(find_program("horovodrun"), find_program("mpirun"), horovod),
        judge_names({name: address_of(name) for name in ("localhost", socket.gethostname())}),
        judge_disk(directory, shutil.disk_usage(directory).free),
    ]


def report(findings):
    """The findings as the text that `awsdet doctor` prints."""
    lines, section = [f"awsdet {__version__} on {platform.platform()}"], None
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", section]
        lines.append(f"  {finding.name:<18} {'BROKEN: ' if finding.cure else ''}{finding.value}")
        if finding.cure:
            lines.append(f"  {'':<18} fix it with:  {finding.cure}")
    broken = [finding.name for finding in findings if finding.cure]
    lines += ["", f"Broken: {', '.join(broken)}." if broken else "All is well."]
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------------- probes


def installed_versions():
    """Package -> version of the packages of PACKAGES that are installed, and of both builds of TensorFlow."""
    found = {}
    for name in ("tensorflow-cpu", *PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def nvidia_gpus():
    """Names of the GPUs that the NVIDIA driver lists; empty if there is no driver."""
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return [line.split(":", 1)[1].split("(UUID")[0].strip() for line in listed.splitlines() if line.startswith("GPU ")]


def find_program(name):
    """Path of a program that lies beside this Python (the venv may not be activated) or on the PATH; or None."""
    return shutil.which(
        name, path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    )


def address_of(host):
    """The IPv4 address of a host name; None if it has none."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return None


def _existing(directory):
    """The folder, or if it does not exist the nearest one above that does."""
    directory = pathlib.Path(directory).resolve()
    return next(folder for folder in (directory, *directory.parents) if folder.is_dir())


def load(source):
    """Runs Python source in another process. Returns (the JSON that it printed, ""), or (None, why it failed)."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, timeout=300, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "it did not load within five minutes"
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1]), ""
    if done.returncode < 0:
        return None, f"loading it was ended by signal {-done.returncode}"
    return None, (done.stderr.strip().splitlines() or ["it did not load"])[-1]


# --------------------------------------------------------------------------------------------------------------- judges


def judge_python(version):
    """`version`: (major, minor, micro)."""
    fits = (3, 10) <= tuple(version[:2]) <= (3, 11)
    text = ".".join(map(str, version))
    if fits:
        return Finding("Versions", "Python", text)
    return Finding("Versions", "Python", f"{text}; awsdet needs 3.10 or 3.11", "make clean setup PYTHON=python3.11")


def judge_packages(versions, has_gpu):
    """`versions`: package -> installed version. `has_gpu`: whether the machine needs TensorFlow's GPU build."""
    findings = []
    wanted_build = "tensorflow[and-cuda]" if has_gpu else "tensorflow-cpu"
    both = "tensorflow" in versions and "tensorflow-cpu" in versions
    for name, rule in PACKAGES.items():
        shown = "tensorflow-cpu" if name == "tensorflow" and "tensorflow" not in versions else name
        version = versions.get(shown)
        package = wanted_build if name == "tensorflow" else name
        cure = _horovod_cure(has_gpu) if name == "horovod" else f'{PIP} install "{package}{_pin(rule)}"'
        if version is None:
            findings.append(Finding("Versions", name, "not installed", cure))
        elif name == "tensorflow" and both:
            cure = f'{PIP} uninstall -y tensorflow tensorflow-cpu && {PIP} install "{package}{_pin(rule)}"'
            findings.append(Finding("Versions", name, "both builds are installed, and overwrite each other", cure))
        elif not _satisfies(version, rule):
            findings.append(Finding("Versions", shown, f"{version}, not {rule}", cure))
        else:
            findings.append(Finding("Versions", shown, version))
    return findings


def judge_processor(cpuinfo, cores):
    """`cpuinfo`: text of /proc/cpuinfo. `cores`: how many of them this process may use."""
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = fields.get("flags", "").split()
    known = [name for name in INSTRUCTION_SETS if name in flags]
    value = (
        f"{cores} core{'s' if cores != 1 else ''} of {fields.get('model name', platform.machine())}; {' '.join(known)}"
    )
    if flags and "avx" not in flags:
        return Finding(
            "Devices",
            "processor",
            f"{value.rstrip('; ')}: TensorFlow needs AVX",
            "lscpu   (choose a machine with avx)",
        )
    return Finding("Devices", "processor", value)


def judge_memory():
    """The memory of this machine, as the kernel reports it."""
    page, pages, free = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES")
    return Finding("Devices", "memory", f"{_gigabytes(page * pages)}, of which {_gigabytes(page * free)} unused")


def judge_tensorflow(tensorflow, error, driver_gpus):
    """Whether TensorFlow loads and sees the driver's GPUs. `tensorflow`: output of _LOAD_TENSORFLOW, or None."""
    if tensorflow is None:
        return Finding("Devices", "TensorFlow", f"does not load: {error}", "make clean setup")
    seen, there = len(tensorflow["gpus"]), len(driver_gpus)
    if there and not tensorflow["cuda"]:
        cure = f'{PIP} uninstall -y tensorflow-cpu && {PIP} install "tensorflow[and-cuda]==2.15.1"'
        return Finding("Devices", "TensorFlow", f"the CPU build, on a machine with {there} GPU(s)", cure)
    if seen < there and "CUDA_VISIBLE_DEVICES" not in os.environ:
        cure = f'{PIP} install --force-reinstall "tensorflow[and-cuda]==2.15.1"'
        return Finding("Devices", "TensorFlow", f"sees {seen} of {there} GPUs: a CUDA library is missing", cure)
    return Finding(
        "Devices", "TensorFlow", f"loads; built with CUDA {tensorflow['cuda']}" if tensorflow["cuda"] else "loads"
    )


def judge_gpus(tensorflow):
    """One finding per GPU that TensorFlow sees; if it sees none, one that says so."""
    gpus = _gpus(tensorflow)
    if not gpus:
        return [Finding("Devices", "GPU", "none")]
    findings = []
    for index, gpu in enumerate(gpus):
        value = f"{gpu.name}, compute capability {'.'.join(map(str, gpu.capability))}"
        value += f"; --config.model.precision={gpu_fit.best_precision(gpu.capability)} suits it"
        if gpu.capability >= (8, 0):
            value += "; float32 products are computed in TF32 unless NVIDIA_TF32_OVERRIDE=0"
        if gpu_fit.compiles_first(gpu.capability):
            value += "; the first start compiles TensorFlow's kernels for 30 minutes or longer; awsdet train has one"
            value += " process do it before the ranks start (train.warm_seconds), and keeps them"
            value += f" (CUDA_CACHE_MAXSIZE={os.environ.get('CUDA_CACHE_MAXSIZE', gpu_fit.CACHE_BYTES)})"
        findings.append(Finding("Devices", f"GPU {index}", value))
    return findings


def _gpus(tensorflow):
    return [gpu_fit.Gpu(name, tuple(capability)) for name, capability in (tensorflow["gpus"] if tensorflow else [])]


def judge_horovod(horovod, error, gpus):
    """`horovod`: its build features, name -> bool; None if it does not load. `gpus`: how many TensorFlow sees."""
    if horovod is None:
        return Finding("Builds", "Horovod", f"does not load: {error}", _horovod_cure(gpus))
    value = ", ".join(f"{name}: {'yes' if built else 'no'}" for name, built in horovod.items())
    if not horovod["gloo"] and not horovod["mpi"]:
        return Finding("Builds", "Horovod", f"{value}; it cannot start processes", _horovod_cure(gpus))
    if gpus > 1 and not horovod["nccl"]:
        return Finding(
            "Builds",
            "Horovod",
            f"{value}; {gpus} GPUs would exchange data through host memory",
            _horovod_cure(gpus),
        )
    return Finding("Builds", "Horovod", value)


def judge_operators(built_for, error, gpus):
    """`built_for`: devices that the operators are for; None if they do not load. `gpus`: a Gpu per GPU that is seen."""
    if built_for is None:
        return Finding("Builds", "operators", f"do not load: {error}", "make ops")
    if gpus and "CUDA" not in built_for:
        value = f"only for {built_for}, on a machine with {len(gpus)} GPU{'s' if len(gpus) != 1 else ''}"
        return Finding("Builds", "operators", value, "make ops   (with a CUDA toolkit's nvcc on PATH)")
    missing = gpu_fit.missing_code(built_for, gpus)
    if missing:
        return Finding("Builds", "operators", missing, gpu_fit.REBUILD)
    return Finding("Builds", "operators", f"for {built_for}")


def judge_launchers(horovodrun, mpirun, horovod):
    """`horovodrun`, `mpirun`: their paths, or None. `horovod`: build features, or None."""
    if horovodrun is None:
        cure = _horovod_cure(0)
        yield Finding("Builds", "horovodrun", "not found: only runs with one process can start", cure)
    else:
        yield Finding("Builds", "horovodrun", horovodrun)
    if mpirun and horovod and not horovod["mpi"]:
        yield Finding("Builds", "mpirun", f"{mpirun}, not used: Horovod is built without MPI")
    else:
        yield Finding("Builds", "mpirun", mpirun or "none (not needed: horovodrun uses Gloo)")


def judge_names(addresses):
    """`addresses`: "localhost" and this machine's name -> IPv4 address or None. Horovod's Gloo looks both up."""
    lost = [name for name, address in addresses.items() if not address]
    if not (addresses["localhost"] or "127.").startswith("127."):
        lost.append("localhost")  # horovodrun would take it for another machine and use ssh
    if not lost:
        return Finding("Builds", "host names", ", ".join(f"{name} is {ip}" for name, ip in addresses.items()))
    value = f"{' and '.join(lost)} not known as names of this machine: horovodrun cannot start processes"
    return Finding("Builds", "host names", value, f"echo 127.0.0.1 {' '.join(lost)} >>/etc/hosts")


def judge_disk(directory, free):
    """`free`: bytes that are free for files in `directory`."""
    value = f"{_gigabytes(free)} free for {directory}"
    if free < LEAST_DISK:
        return Finding(
            "Disk", "space", f"{value}: too little for checkpoints", f"du -xh -d 1 {directory} | sort -h | tail"
        )
    return Finding("Disk", "space", value)


def _satisfies(version, rule):
    if rule.startswith("<"):
        return int(version.split(".")[0]) < int(rule[1:])
    return not rule or version == rule


def _pin(rule):
    return rule if not rule or rule.startswith("<") else f"=={rule}"


def _horovod_cure(gpus):
    if pathlib.Path(sys.prefix, "awsdet-setup").is_dir():  # scripts/setup.sh made this environment and can repair it
        return f"rm -f {sys.prefix}/awsdet-setup/horovod && make -C {pathlib.Path(sys.prefix).parent} setup"
    nccl = "HOROVOD_GPU_OPERATIONS=NCCL " if gpus else ""
    return (
        f"HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1 {nccl}{PIP} install"
        " --no-build-isolation --no-cache-dir --no-deps --force-reinstall horovod==0.28.1"
    )


def _gigabytes(size):
    return f"{size / 2**30:.1f} GiB"
