"""Launches and idle time of a GPU, from traces that are written by hand as TensorFlow's profiler writes them."""

import pytest
import tensorflow as tf

from tests.gpu import profile
from tests.gpu.traces import Trace

MS = 10**9  # ps


@pytest.fixture
def trace():
    """Two steps: kernels at 0-2, 1-3 (on another stream) and 6-8 ms, a fill at 3-4, a copy to the host at 8-10."""
    made = Trace()
    plane = made.plane()
    first, second = made.line(plane), made.line(plane, "Stream #8(Compute)")
    made.event(plane, first, "conv", 0, 2 * MS, "kernel_details", "regs:8")
    made.event(plane, second, "nms", MS, 2 * MS, "kernel_details")
    made.event(plane, first, "Memset", 3 * MS, MS, "memset_details", "size:64")
    made.event(plane, first, "conv", 6 * MS, 2 * MS, "kernel_details")
    made.event(plane, first, "MemcpyD2H", 8 * MS, 2 * MS, "memcpy_details", "kind_src:device size:4096 async:1", True)
    return made


def test_numbers_per_step(trace):
    assert profile.summary(profile.activities(trace.space), 2) == {
        "launches": 1.5,
        "copies_to_host": 0.5,
        "bytes_to_host": 2048,
        "ms": 5.0,
        "idle_share": 0.2,  # 4 to 6 ms of 10
        "costliest_kernels_ms": {"conv": 2.0, "nms": 1.0},
    }


def test_lines_may_begin_at_different_times(trace):
    trace.space.planes[0].lines[1].timestamp_ns += 3_500_000  # the second kernel is now at 4.5 to 6.5 ms
    assert profile.summary(profile.activities(trace.space), 1)["idle_share"] == pytest.approx((1 + 0.5) / 10)


def test_only_streams_of_gpus_count(trace):
    before = profile.activities(trace.space)
    plane = trace.space.planes[0]
    trace.event(plane, trace.line(plane, "TensorFlow Ops"), "Conv2D", 0, 90 * MS)
    host = trace.plane("/host:CPU")
    trace.event(host, trace.line(host), "EagerExecute", 0, 90 * MS)
    assert profile.activities(trace.space) == before


def test_kinds_without_details():
    made = Trace()
    plane = made.plane("/device:GPU:1")
    line = made.line(plane)
    for begin, name in enumerate(("MemcpyH2D", "Memset", "relu")):
        made.event(plane, line, name, begin, 1)
    assert [activity.kind for activity in profile.activities(made.space)] == ["copy", "fill", "kernel"]


def test_the_trace_of_a_cpu_has_no_activities_and_says_why():
    found, reason = profile.trace(lambda: tf.matmul(tf.ones([8, 8]), tf.ones([8, 8])))
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    assert found == [] and "no events of a GPU" in reason


def test_a_second_profiler_is_refused_in_words(tmp_path):
    tf.profiler.experimental.start(str(tmp_path))
    try:
        found, reason = profile.trace(lambda: None)
        assert found == [] and reason.startswith("the profiler does not start: ")
    finally:
        tf.profiler.experimental.stop(save=False)
