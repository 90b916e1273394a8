"""Runs the steps of sagemaker/Dockerfile in a chroot of Debian 12, then the image's entry point on a small job.

    python tests/sagemaker/run_dockerfile.py /var/tmp/awsdet-image       # root, debootstrap, 6 GB, about 6 minutes

Docker and NVIDIA's base image are not everywhere, so this is the nearest thing: every COPY, ENV, WORKDIR and RUN is
carried out as the Dockerfile has it, with these substitutions, which are printed too:

    base               Debian 12 from debootstrap instead of nvidia/cuda (Ubuntu 22.04)
    Python             Debian's python3.11 instead of the build from python.org
    EFA and Open MPI   Debian's Open MPI 4.1 instead of AWS's installer
    aws-ofi-nccl       left out, since it needs CUDA and EFA
    AWSDET_VARIANT     cpu instead of gpu
    Horovod            scripts/setup.sh finds the wheels that this machine has built before, and takes one if it fits

A folder that is there already is used again, from the first step on that is not done or has changed. The exit code is
75 if packages could not be fetched.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from tests.sagemaker import dockerfile  # noqa: E402

REPOSITORY = pathlib.Path(__file__).parents[2]
# A word in a RUN step -> what is run instead; None: nothing.
SUBSTITUTIONS = {
    "www.python.org": (
        "Debian's python3.11",
        "apt-get install -y --no-install-recommends python3.11 python3.11-venv python3.11-dev",
    ),
    "efa_installer.sh": (
        "Debian's Open MPI",
        "apt-get install -y --no-install-recommends openmpi-bin libopenmpi-dev && rm -rf /var/lib/apt/lists/*",
    ),
    "aws-ofi-nccl": ("left out: needs CUDA and EFA", None),
}
ARGUMENTS = {"AWSDET_VARIANT": "cpu"}
NOT_FETCHED = 75  # exit code: packages of Debian or Python could not be fetched, so the steps say nothing
# Where the step of scripts/setup.sh looks for wheels of Horovod; it removes the folder, so it gets copies.
_WHEELS = "tmp/cache"
_HOST_WHEELS = pathlib.Path(os.environ.get("AWSDET_CACHE") or pathlib.Path.home() / ".cache" / "awsdet")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_HOST_CERTIFICATES = "/etc/ssl/host.crt"


class Image:
    """The chroot. `root`: its folder."""

    def __init__(self, root):
        self.root, self._done = root, root.with_name(root.name + ".steps")
        self._environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        self._arguments, self._folder, self._key = {}, pathlib.PurePosixPath("/"), ""
        self._shell_words, self.entrypoint = ["/bin/sh", "-c"], []

    def build(self, instructions):
        """Carries out the instructions that are new since the last call on this folder."""
        done = self._done.read_text().split() if self._done.is_file() else []
        if not done:
            self._base()
        fresh = False
        for number, instruction in enumerate(instructions):
            step = f"{self._key} {instruction.name} {instruction.text} {self._sources(instruction)}"
            self._key = hashlib.sha256(step.encode()).hexdigest()
            fresh = fresh or number >= len(done) or done[number] != self._key
            if fresh:
                print(f"--- line {instruction.line}: {instruction.name} {instruction.text[:100]}", flush=True)
            getattr(self, f"_{instruction.name.lower()}")(instruction, fresh)
            done = [*done[:number], self._key, *([] if fresh else done[number + 1 :])]
            self._done.write_text("\n".join(done))

    def run(self, command, **more):
        """Runs a command in the chroot with the image's environment. Returns its CompletedProcess."""
        environment = {"PIP_CERT": _HOST_CERTIFICATES, **self._environment, **more.pop("env", {})}
        script = 'mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" "$@"'
        place = ["/bin/bash", "-c", f'cd {self._folder}; exec "$@"', "step", *command]
        isolate = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.run([*isolate, "bash", "-c", script, self.root, *place], env=environment, **more)

    def _base(self):
        print("--- base: Debian 12 instead of NVIDIA's Ubuntu 22.04", flush=True)
        if str(self.root) in pathlib.Path("/proc/mounts").read_text():
            sys.exit(f"something is mounted below {self.root}; unmount it first")
        shutil.rmtree(self.root, ignore_errors=True)
        # In a mount namespace of its own, so that what it mounts is gone with it, also if it is interrupted.
        command = ["unshare", "--mount", "debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm"]
        if subprocess.run([*command, self.root], check=False, stdout=subprocess.DEVNULL).returncode:
            give_up("Debian")
        shutil.copy("/etc/resolv.conf", self.root / "etc" / "resolv.conf")
        # pip has certificates of its own; a machine behind a proxy trusts others.
        shutil.copy(_CERTIFICATES, self.root / _HOST_CERTIFICATES[1:])

    def _sources(self, instruction):
        """What a COPY copies, as text that changes with it."""
        if instruction.name != "COPY":
            return ""
        found = [file for source in self._copied(instruction) for file in (source, *sorted(source.rglob("*")))]
        return [hashlib.sha256(file.read_bytes()).hexdigest() for file in found if file.is_file() and _is_sent(file)]

    def _copied(self, instruction):
        *sources, _ = instruction.words()
        return [path for source in sources for path in sorted(REPOSITORY.glob(source))]

    def _from(self, instruction, fresh):
        pass

    def _shell(self, instruction, fresh):
        self._shell_words = instruction.words()

    def _arg(self, instruction, fresh):
        self._arguments.update(instruction.pairs())
        self._arguments.update({name: ARGUMENTS[name] for name in instruction.pairs() if name in ARGUMENTS})

    def _env(self, instruction, fresh):
        for name, value in instruction.pairs().items():
            self._environment[name] = dockerfile.fill(value, {**self._arguments, **self._environment})

    def _workdir(self, instruction, fresh):
        self._folder = pathlib.PurePosixPath(instruction.text)
        (self.root / self._folder.relative_to("/")).mkdir(parents=True, exist_ok=True)

    def _copy(self, instruction, fresh):
        if not fresh:
            return
        target = self.root / self._folder.relative_to("/") / instruction.words()[-1]
        target.mkdir(parents=True, exist_ok=True)
        for source in self._copied(instruction):
            if source.is_dir():
                skip = shutil.ignore_patterns("__pycache__", "*.pyc", "*.so")
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=skip)
            else:
                shutil.copy2(source, target)

    def _run(self, instruction, fresh):
        text = instruction.text
        for word, (what, instead) in SUBSTITUTIONS.items():
            if word in text:
                if fresh:
                    print(f"    substituted: {what}", flush=True)
                text = instead
                break
        if fresh and text and "scripts/setup.sh" in text:
            for wheels in _HOST_WHEELS.glob("horovod-*"):
                shutil.copytree(wheels, self.root / _WHEELS / wheels.name, dirs_exist_ok=True)
        if fresh and text is not None:
            command = [*self._shell_words, text]
            done = self.run(command, env=self._arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            sys.stderr.write(done.stderr)
            if done.returncode and ("apt-get" in text or "pip could not install" in done.stderr):
                give_up("a package")
            done.check_returncode()

    def _label(self, instruction, fresh):
        pass

    def _entrypoint(self, instruction, fresh):
        self.entrypoint = instruction.words()


def give_up(what):
    """Ends the program because something could not be fetched (its message is above)."""
    print(f"{what} could not be fetched, so the rest of the Dockerfile was not run", file=sys.stderr)
    sys.exit(NOT_FETCHED)


def _is_sent(file):
    return "__pycache__" not in file.parts and file.suffix not in (".pyc", ".so")


def try_image(image):
    """Starts the image as `docker run` does: a command, no job, and a job on records that the image makes itself."""
    (image.root / "etc" / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")  # Docker writes one too
    image.run([*image.entrypoint, "awsdet", "--help"], check=True, stdout=subprocess.DEVNULL)
    image.run([*image.entrypoint, "awsdet", "doctor"], check=False)
    script = image.run([*image.entrypoint, "scripts/run_and_time.sh"], check=False, stderr=subprocess.PIPE, text=True)
    assert script.returncode == 2 and "usage: " in script.stderr, script.stderr
    ml = image.root / "opt" / "ml"
    shutil.rmtree(ml, ignore_errors=True)
    code = image.run([*image.entrypoint, "train"], check=False).returncode
    assert code == 2, f"without a job the entry point ended with code {code}"
    for folder in ("input/config", "input/data", "model", "output"):
        (ml / folder).mkdir(parents=True, exist_ok=True)
    image.run(
        [*image.entrypoint, "awsdet", "shapes", "--output=/tmp/shapes", "--train_images=16", "--val_images=4"],
        check=True,
    )
    shutil.rmtree(ml / "input/data/train", ignore_errors=True)
    (image.root / "tmp/shapes").rename(ml / "input/data/train")
    settings = {"config": "configs/shapes_mask_rcnn.py", "train.epochs": "1", "data.batch_size": "4"}
    description = {
        "hyperparameters": {**settings, "train.max_steps": "2"},
        "resourceconfig": {"hosts": ["localhost"], "current_host": "localhost", "network_interface_name": "lo"},
        "inputdataconfig": {"train": {"TrainingInputMode": "File"}},
    }
    for name, content in description.items():
        (ml / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
    # Two processes on this host, so that Horovod takes part.
    variables = {"AWSDET_PROCESSES_PER_HOST": "2", "AWSDET_EXPORT": "0"}  # tests/sagemaker/test_entry.py exports
    done = image.run([*image.entrypoint, "train"], check=False, env=variables)
    print("model:", sorted(path.name for path in (ml / "model").iterdir()))
    assert done.returncode == 0, f"the job ended with code {done.returncode}"
    assert (ml / "model" / "weights.safetensors").is_file()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="where the chroot goes")
    image = Image(parser.parse_args().folder.resolve())
    image.build(dockerfile.read(REPOSITORY / "sagemaker" / "Dockerfile"))
    try_image(image)
    print("the image's steps and its entry point work")


if __name__ == "__main__":
    main()
