"""The comparison of the operators: run with a CPU on both sides, and with a fault on one."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_callbacks

from awsdet.ops import library
from tests.gpu import cases, inputs, operators
from tests.gpu.outcome import Clock, error_text

SOURCES = pathlib.Path(__file__).parents[2] / "custom_ops" / "tensorflow"
CPUS = ("CPU:0", "CPU:0")


@pytest.fixture(scope="module", autouse=True)
def kernels():
    library.load()


def made(make):
    return make(np.random.default_rng(0), inputs.SMALL)


def with_gpu_kernel():
    """The names of all operators that the sources register for a GPU."""
    text = "".join(path.read_text() for path in SOURCES.glob("*_gpu.cc"))
    return set(re.findall(r'Name\("(\w+)"\)[\s\\]*\.Device\(DEVICE_GPU\)', text))


def test_every_operator_with_a_gpu_kernel_is_called():
    called = {name for make in cases.ALL for name in made(make).operators}
    assert called == with_gpu_kernel() and len(called) > 10


def test_a_case_runs_the_operators_that_it_names():
    """Otherwise nobody would notice if one of them had no kernel for the GPU."""
    for make in cases.ALL:
        case, seen = made(make), set()
        record = lambda kind, *rest, seen=seen, **more: seen.add(kind)  # noqa: E731
        op_callbacks.add_op_callback(record)
        try:
            operators.results(case, "CPU:0")
        finally:
            op_callbacks.remove_op_callback(record)
        assert {name for name in seen if name.startswith("Awsdet")} == set(case.operators), case.name


def test_a_device_equals_itself():
    reported = []
    outcome = operators.run(CPUS, Clock(300), inputs.SMALL, report=reported.append)
    assert outcome.status == "passed", outcome
    assert len(outcome.figures) == len(cases.ALL) == len(reported)
    assert reported[0].status == "failed"  # what stands if the process ends after the first call
    gradient = outcome.figures["roi_align 7 x 7, float32"]["gradient"]
    assert gradient["different"] == 0 and gradient["numbers"] > 10_000


@pytest.mark.parametrize("make", cases.ALL, ids=lambda make: made(make).name)
def test_a_device_that_computes_nothing_is_found_out(make):
    """As is one whose results are off by a little more than the tolerance."""
    case = made(make)
    right = operators.results(case, "CPU:0")
    # Any result that may be zeros cannot tell; the others must.
    assert any(np.any(value) for value in right.values())
    for fault in (tf.zeros_like, lambda value: value + tf.cast(0.02, value.dtype) * value):
        _, failures = operators.check(case._replace(call=_faulty(case.call, fault)), CPUS)
        assert failures and failures[0]["name"].startswith(case.name)


def _faulty(call, fault):
    """`call` whose floats are wrong when it is called for the first time, that is on the first device."""
    calls = []

    def wrapped(**tensors):
        calls.append(1)
        found = call(**tensors)
        if len(calls) > 1:
            return found
        spoil = lambda value: fault(value) if value.dtype.is_floating else tf.zeros_like(value)  # noqa: E731
        return tf.nest.map_structure(spoil, found)

    return wrapped


def test_one_wrong_gradient_is_named():
    case = made(cases.roi_align_case(tf.float32, 7))
    calls = []

    def call(**tensors):
        calls.append(1)
        found = case.call(**tensors)
        first = found["gradient"][1]
        wrong = first + 1e-4 * tf.reduce_max(tf.abs(first)) * tf.cast(len(calls) == 1, tf.float32)
        return {**found, "gradient": [found["gradient"][0], wrong, *found["gradient"][2:]]}

    outcome = operators.run(CPUS, Clock(100), inputs.SMALL, [lambda *_: case._replace(call=call)])
    assert outcome.status == "failed"
    assert [failure["name"] for failure in outcome.failures] == ["roi_align 7 x 7, float32, gradient[1]"]
    assert outcome.reason.startswith("roi_align 7 x 7, float32, gradient[1]: ")


def test_without_a_kernel_for_the_device_nothing_passes():
    """TensorFlow would compute it on the host, and both sides would be equal."""
    outcome = operators.run(("GPU:0", "CPU:0"), Clock(100), inputs.SMALL, cases.ALL[:1])
    if operators.has_kernel("AwsdetRoiAlign", "GPU:0"):
        pytest.skip("these operators are built for a GPU")
    assert outcome.status == "failed" and "AwsdetRoiAlign, AwsdetRoiAlignGrad have no kernel" in outcome.reason


def test_an_error_is_told_and_does_not_stop_the_rest():
    def broken(**_):
        raise tf.errors.InternalError(None, None, "Graph execution error:\n\nCUDA failed: out of luck\n\t [[node]]")

    first, second = (made(make) for make in (cases.anchors_case, cases.match_case(True)))
    outcome = operators.run(CPUS, Clock(9), inputs.SMALL, [lambda *_: first._replace(call=broken), lambda *_: second])
    assert [failure["what"] for failure in outcome.failures] == ["InternalError: CUDA failed: out of luck"]
    assert outcome.figures[second.name]["positive"]["different"] == 0


def test_the_reason_is_found_among_what_tensorflow_says():
    lines = [
        "Graph execution error:",
        "",
        "Detected at node Assert defined at (most recent call last):",
        '  File "x.py"',
    ]
    lines += ["2 root error(s) found.", "  (0) INVALID_ARGUMENT:  assertion failed: [non-finite loss:] [1]"]
    lines += ["\t [[{{node Assert}}]]", "0 successful operations.", "0 derived errors ignored. [Op:__inference_step_1]"]
    said = error_text(tf.errors.InvalidArgumentError(None, None, "\n".join(lines)))
    assert said == "InvalidArgumentError: (0) INVALID_ARGUMENT:  assertion failed: [non-finite loss:] [1]"
    assert error_text(tf.errors.InternalError(None, None, "")) == "InternalError: no reason"


def test_what_the_time_did_not_allow_is_said():
    outcome = operators.run(CPUS, Clock(0), inputs.SMALL)
    assert outcome.status == "skipped" and outcome.figures == {}
    assert outcome.left_out == (f"{len(cases.ALL)} of {len(cases.ALL)} calls, since 0 s were over",)
