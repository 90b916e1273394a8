"""The judgements of `awsdet doctor` on machines unlike this one, and its probes on this one."""

import sys

import pytest

from awsdet.cli import diagnosis as doctor
from awsdet.runtime.gpu_fit import Gpu

GOOD = {"tensorflow-cpu": "2.15.1", "keras": "2.15.0", "tensorflow-addons": "0.23.0", "horovod": "0.28.1"}
GOOD |= {"numpy": "1.26.4", "pycocotools": "2.0.8", "ml-collections": "1.1.0", "absl-py": "2.1.0", "pillow": "11.0.0"}
GOOD |= {"pyyaml": "6.0.3", "safetensors": "0.8.0", "tqdm": "4.70.1"}
CPU_BUILD = {"cuda": "", "gpus": []}
ONE_GPU = {"cuda": "12.2", "gpus": [["NVIDIA A10G", [8, 6]]]}
FEATURES = {"gloo": True, "mpi": False, "nccl": False}


def broken(findings):
    return {finding.name: finding for finding in findings if finding.cure}


def test_good_packages_have_no_cure():
    assert broken(doctor.judge_packages(GOOD, has_gpu=False)) == {}


@pytest.mark.parametrize(
    "change, name, value, cure",
    [
        ({"numpy": "2.1.0"}, "numpy", "2.1.0, not <2", '"numpy<2"'),
        ({"tensorflow-cpu": "2.16.1"}, "tensorflow-cpu", "2.16.1, not 2.15.1", '"tensorflow-cpu==2.15.1"'),
        ({"tensorflow": "2.15.1"}, "tensorflow", "both builds", "uninstall -y tensorflow tensorflow-cpu"),
        ({"pillow": None}, "pillow", "not installed", '"pillow"'),
        ({"horovod": None}, "horovod", "not installed", "horovod"),
    ],
)
def test_a_wrong_package_is_named_with_its_cure(change, name, value, cure):
    versions = {key: version for key, version in {**GOOD, **change}.items() if version}
    found = broken(doctor.judge_packages(versions, has_gpu=False))
    assert list(found) == [name]
    assert value in found[name].value and cure in found[name].cure


def test_missing_tensorflow_is_cured_with_the_build_for_the_machine():
    versions = {name: version for name, version in GOOD.items() if name != "tensorflow-cpu"}
    on_gpu = broken(doctor.judge_packages(versions, has_gpu=True))["tensorflow"].cure
    on_cpu = broken(doctor.judge_packages(versions, has_gpu=False))["tensorflow"].cure
    assert '"tensorflow[and-cuda]==2.15.1"' in on_gpu and '"tensorflow-cpu==2.15.1"' in on_cpu


@pytest.mark.parametrize(
    "version, fits", [((3, 9, 18), False), ((3, 10, 0), True), ((3, 11, 7), True), ((3, 12, 1), False)]
)
def test_python_version(version, fits):
    assert bool(doctor.judge_python(version).cure) is not fits


def test_processor_without_avx_is_broken():
    cpuinfo = "processor\t: 0\nmodel name\t: Old Chip\nflags\t\t: fpu sse2 {}\n"
    good = doctor.judge_processor(cpuinfo.format("avx fma"), 4)
    assert good.value == "4 cores of Old Chip; avx fma" and not good.cure
    bad = doctor.judge_processor(cpuinfo.format(""), 1)
    assert "1 core of Old Chip" in bad.value and "needs AVX" in bad.value and bad.cure


def test_tensorflow_that_does_not_load():
    finding = doctor.judge_tensorflow(None, "loading it was ended by signal 4", [])
    assert "signal 4" in finding.value and finding.cure


def test_cpu_build_on_a_gpu_machine():
    finding = doctor.judge_tensorflow(CPU_BUILD, "", ["NVIDIA A10G"])
    assert "the CPU build" in finding.value and "tensorflow[and-cuda]" in finding.cure
    assert not doctor.judge_tensorflow(CPU_BUILD, "", []).cure


def test_gpus_that_tensorflow_does_not_see(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    finding = doctor.judge_tensorflow(ONE_GPU, "", ["NVIDIA A10G", "NVIDIA A10G"])
    assert "sees 1 of 2" in finding.value and finding.cure
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # hidden on purpose
    assert not doctor.judge_tensorflow(ONE_GPU, "", ["NVIDIA A10G", "NVIDIA A10G"]).cure


def test_gpu_lines():
    assert [finding.value for finding in doctor.judge_gpus(None)] == ["none"]
    (old,) = doctor.judge_gpus(ONE_GPU)
    (new,) = doctor.judge_gpus({"cuda": "12.2", "gpus": [["NVIDIA H100", [9, 0]]]})
    assert old.value.startswith(
        "NVIDIA A10G, compute capability 8.6; --config.model.precision=mixed_bfloat16 suits it; "
    )
    assert "TF32" in old.value and "CUDA_CACHE_MAXSIZE" not in old.value
    assert "CUDA_CACHE_MAXSIZE=4294967296" in new.value and "train.warm_seconds" in new.value
    (volta,) = doctor.judge_gpus({"cuda": "12.2", "gpus": [["Tesla V100-SXM2-16GB", [7, 0]]]})
    assert "precision=mixed_float16" in volta.value and "TF32" not in volta.value


@pytest.mark.parametrize(
    "features, gpus, words",
    [
        (FEATURES, 1, ""),
        ({**FEATURES, "nccl": True}, 8, ""),
        (FEATURES, 8, "through host memory"),
        ({**FEATURES, "gloo": False}, 0, "cannot start processes"),
        (None, 0, "no symbol"),
    ],
)
def test_horovod(features, gpus, words):
    finding = doctor.judge_horovod(features, "no symbol", gpus)
    assert bool(finding.cure) is bool(words)
    assert words in finding.value


@pytest.mark.parametrize(
    "built_for, gpus, words",
    [
        ("CPU", 0, ""),
        ("CPU and CUDA 12.2 (sm_70 and PTX of compute_90)", 1, ""),
        ("CPU and CUDA 12.2 (sm_80 and PTX of compute_80)", 0, ""),
        ("CPU", 2, "with 2 GPUs"),
        ("CPU and CUDA 13.0 (sm_75 sm_80 sm_90 and PTX of compute_90)", 1, "has no code for Tesla V100"),
        (None, 0, "do not load: no such file"),
    ],
)
def test_operators(built_for, gpus, words):
    finding = doctor.judge_operators(built_for, "no such file", [Gpu("Tesla V100", (7, 0))] * gpus)
    assert (words in finding.value and "make ops" in finding.cure) if words else finding.value == f"for {built_for}"
    assert bool(finding.cure) is bool(words)


def test_launchers():
    assert not broken(doctor.judge_launchers("/bin/horovodrun", None, FEATURES))
    assert "horovodrun" in broken(doctor.judge_launchers(None, None, None))
    _, mpirun = doctor.judge_launchers("/bin/horovodrun", "/usr/bin/mpirun", FEATURES)
    assert "built without MPI" in mpirun.value


def test_host_names():
    good = doctor.judge_names({"localhost": "127.0.0.1", "node": "10.1.2.3"})
    assert good.value == "localhost is 127.0.0.1, node is 10.1.2.3" and not good.cure
    neither = doctor.judge_names({"localhost": None, "node": None})
    assert neither.cure == "echo 127.0.0.1 localhost node >>/etc/hosts" and "localhost and node" in neither.value
    assert doctor.judge_names({"localhost": "10.1.2.3", "node": "10.1.2.3"}).cure.endswith("localhost >>/etc/hosts")
    assert doctor.address_of("localhost").startswith("127.")
    assert doctor.address_of("no-such-host.invalid") is None


def test_disk():
    assert not doctor.judge_disk("/data", 10 * 2**30).cure
    assert "1.0 GiB free for /data" in doctor.judge_disk("/data", 2**30).value
    assert doctor.judge_disk("/data", 2**30).cure


def test_report_names_what_is_broken():
    findings = [doctor.Finding("Versions", "a", "1"), doctor.Finding("Builds", "b", "gone", "mend b")]
    text = doctor.report(findings)
    assert "BROKEN: gone" in text and "fix it with:  mend b" in text and text.endswith("Broken: b.")
    assert doctor.report(findings[:1]).endswith("All is well.")


def test_load_reports_why_it_failed():
    assert doctor.load("print('noise'); print('[1]')") == ([1], "")
    assert doctor.load("raise ValueError('no symbol')") == (None, "ValueError: no symbol")
    assert doctor.load("import os; os.abort()") == (None, "loading it was ended by signal 6")


def test_installed_versions_of_this_machine():
    versions = doctor.installed_versions()
    assert versions["horovod"] == "0.28.1" and versions["numpy"].startswith("1.")


def test_programs_are_found_beside_this_python():
    assert doctor.find_program("awsdet").startswith(sys.prefix)
    assert doctor.find_program("no-such-program") is None
