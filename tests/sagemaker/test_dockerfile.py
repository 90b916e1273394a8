"""sagemaker/Dockerfile agrees with the files that it copies, the lock files and the entry point, and passes hadolint.

Nothing is built here; tests/sagemaker/run_dockerfile.py runs the steps.
"""

import fnmatch
import pathlib
import re
import subprocess

import pytest

from tests.environments import environment
from tests.sagemaker import dockerfile

REPOSITORY = pathlib.Path(__file__).parents[2]
PATH = REPOSITORY / "sagemaker" / "Dockerfile"
INSTRUCTIONS = dockerfile.read(PATH)
TEXT = PATH.read_text()
IGNORED = (PATH.parent / "Dockerfile.dockerignore").read_text().split("\n")


def all_of(name):
    return [instruction for instruction in INSTRUCTIONS if instruction.name == name]


def pairs(name):
    """{name: value} of all ENV or ARG instructions."""
    return {key: value for instruction in all_of(name) for key, value in instruction.pairs().items()}


def copied():
    """[(pattern, folder in the image)] of all COPY instructions."""
    found, folder = [], ""
    for instruction in INSTRUCTIONS:
        if instruction.name == "WORKDIR":
            folder = instruction.text
        elif instruction.name == "COPY":
            *sources, target = instruction.words()
            found += [(source, f"{folder}/{target}") for source in sources]
    return found


def locked(file):
    """{package: version} of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", (REPOSITORY / file).read_text(), re.MULTILINE))


def test_the_parser(tmp_path):
    text = '# comment\nARG A=1\nFROM x:${A}\n\nENV B=2 \\\n    C="a b"\n# in between\nRUN one \\\n    && two\n'
    (tmp_path / "Dockerfile").write_text(text + 'ENTRYPOINT ["a", "b"]\n')
    read = dockerfile.read(tmp_path / "Dockerfile")
    assert [instruction.name for instruction in read] == ["ARG", "FROM", "ENV", "RUN", "ENTRYPOINT"]
    assert read[2].pairs() == {"B": "2", "C": "a b"} and read[3].text.split() == ["one", "&&", "two"]
    assert read[3].line == 8 and read[4].words() == ["a", "b"]
    assert dockerfile.fill(read[1].text, read[0].pairs()) == "x:1"
    (tmp_path / "Dockerfile").write_text("RUN one \\\n")
    with pytest.raises(ValueError, match="in the middle"):
        dockerfile.read(tmp_path / "Dockerfile")


def test_hadolint_finds_nothing():
    folder = environment("sagemaker-toolkit")
    done = subprocess.run([f"{folder}/bin/hadolint", "--no-color", PATH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("pattern, target", copied())
def test_what_is_copied_is_there_and_sent_to_the_builder(pattern, target):
    found = list(REPOSITORY.glob(pattern))
    assert found, f"{pattern} is not in the repository"
    assert target.startswith("/opt/awsdet/")
    for path in found:
        name = str(path.relative_to(REPOSITORY))
        parents = [str(parent) for parent in pathlib.PurePath(name).parents]
        kept = [line[1:] for line in IGNORED if line.startswith("!")]
        assert any(fnmatch.fnmatch(part, rule) for part in (name, *parents) for rule in kept), f"{name} is not sent"


def test_nothing_else_is_sent():
    assert [line for line in IGNORED if line and line[0] not in "#!"][0] == "*"
    sources = {pattern.rstrip("/") for pattern, _ in copied()}
    for line in IGNORED:
        if line.startswith("!"):
            rule = line[1:]
            assert any(fnmatch.fnmatch(source, rule) or source.startswith(f"{rule}/") for source in sources), rule


def test_the_entry_point_is_ours_behind_tini():
    init, dashes, python, script = all_of("ENTRYPOINT")[0].words()
    assert (init, dashes, python) == ("/usr/bin/tini", "--", "/opt/awsdet/.venv/bin/python")
    assert " tini " in all_of("RUN")[0].text and not all_of("CMD")
    assert ("sagemaker/entry.py", "/opt/awsdet/sagemaker/") in copied() and script == "/opt/awsdet/sagemaker/entry.py"
    assert INSTRUCTIONS[-1].name == "ENTRYPOINT"


def test_every_module_of_the_entry_point_is_copied():
    patterns = [pattern for pattern, _ in copied()]
    imported = {"entry"}
    for path in PATH.parent.glob("*.py"):
        if path.stem == "entry" or path.stem.startswith("container_"):
            imported |= set(re.findall(r"^\s*(?:from|import) (container_\w+)", path.read_text(), re.MULTILINE))
    assert len(imported) > 5
    for name in imported:
        assert (PATH.parent / f"{name}.py").is_file()
        assert any(fnmatch.fnmatch(f"sagemaker/{name}.py", pattern) for pattern in patterns), name


def test_versions_are_those_that_tensorflow_is_locked_with():
    gpu = locked("requirements-gpu.lock")
    base = re.fullmatch(r"nvidia/cuda:(\d+\.\d+)\.\d+-cudnn(\d+)-devel-ubuntu22.04", pairs("ARG")["BASE"])
    cuda, cudnn = base.groups()
    assert gpu["nvidia-cuda-runtime-cu12"].startswith(f"{cuda}.") and gpu["nvidia-cudnn-cu12"].startswith(f"{cudnn}.")
    assert f"TensorFlow {gpu['tensorflow']} for CUDA {cuda}" in TEXT.splitlines()[0]
    assert f"TensorFlow 2.15's is {gpu['nvidia-nccl-cu12']}." in TEXT
    assert pairs("ARG")["PYTHON_VERSION"].startswith("3.11.") and "PYTHON=python3.11" in TEXT


def test_the_image_is_built_by_the_projects_own_script():
    build = next(step.text for step in all_of("RUN") if "scripts/setup.sh" in step.text)
    script = (REPOSITORY / "scripts" / "setup.sh").read_text()
    for variable in ("PYTHON", "AWSDET_CACHE"):
        assert f"{variable}=" in build and f"{{{variable}:-" in script
    assert pairs("ARG")["AWSDET_VARIANT"] == "gpu" and "{AWSDET_VARIANT:-" in script
    for file in ("requirements-gpu.lock", "requirements-horovod.lock"):
        assert file in [pattern for pattern, _ in copied()]


def test_every_download_is_checked():
    for step in all_of("RUN"):
        downloads = len(re.findall(r"\bcurl\b", step.text.replace("ca-certificates curl", "")))
        checks = len(re.findall(r"sha(256|512)sum --check", step.text))
        assert downloads == checks, step
        assert not re.search(r"\bwget |\| *(ba)?sh\b|http://", step.text), step
    assert "VALIDSIG .*${EFA_KEY}" in TEXT and re.fullmatch(r"[0-9A-F]{40}", pairs("ARG")["EFA_KEY"])
    assert len(pairs("ARG")["PYTHON_SHA256"]) == len(pairs("ARG")["EFA_SHA256"]) == 64
    assert len(pairs("ARG")["OFI_NCCL_SHA512"]) == 128


def test_mpi_and_cuda_are_set_up():
    environment = pairs("ENV")
    assert environment["OMPI_MCA_hwloc_base_binding_policy"] == "none"
    assert environment["OMPI_ALLOW_RUN_AS_ROOT"] == environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"
    assert int(environment["CUDA_CACHE_MAXSIZE"]) == 4 * 2**30 and environment["CUDA_CACHE_DISABLE"] == "0"
    assert environment["PATH"].startswith("/opt/awsdet/.venv/bin:/opt/amazon/openmpi/bin:")
    assert environment["AWSDET_HOME"] == "/opt/awsdet"


def test_no_layer_keeps_a_host_key():
    """Debian's openssh-server makes them when it is installed, and ssh-keygen -A when it is called."""
    makers = [step.text for step in all_of("RUN") if re.search(r"\bopenssh-server\b|ssh-keygen -A", step.text)]
    assert len(makers) == 2
    assert all(text.rstrip().endswith("&& rm -f /etc/ssh/ssh_host_*") for text in makers)


def test_nothing_secret_is_in_it():
    words = ("AWS_ACCESS_KEY", "AWS_SECRET", "PASSWORD=", "TOKEN", "PRIVATE KEY", "id_rsa", "id_ed25519", "s3://")
    assert not [word for word in words if word.lower() in TEXT.lower()]
    assert "PasswordAuthentication no" in TEXT and not re.search(r"\b\d{12}\b", TEXT)  # no account either
