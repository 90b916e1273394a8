"""Which parts and operations a trace names, and what the table says of them; test_loop has a real run with one."""

from types import SimpleNamespace

import pytest

from awsdet.training import profile
from awsdet.training.steps import Steps
from tests.gpu.traces import Trace

MS = 10**9  # ps


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("mask_rcnn/backbone.layer1.0/conv1/Conv2D", "backbone"),
        ("gradient_tape/mask_rcnn/backbone.layer1.0/conv1/Conv2D/Conv2DBackpropFilter", "backbone, gradient"),
        ("mask_rcnn/neck.fpn_convs.0/Conv2D", "FPN"),
        ("mask_rcnn/RoiAlign", "RoIAlign"),
        ("update/SgdUpdate", "update"),
        ("something/Add", "the rest"),
        ("gradient_tape/something/Add", "the rest, gradient"),
    ],
)
def test_parts(name, part):
    assert profile.part_of(name) == part


def cpu_trace():
    """Two threads: a convolution of 3 ms and one of 1 ms, a copy of 2 ms, and events that are no operations."""
    made = Trace()
    plane = made.plane("/host:CPU")
    first, second = made.line(plane, "tf_1"), made.line(plane, "tf_2")
    made.event(plane, first, "backbone.conv1/Conv2D:Conv2D", 0, 3 * MS)
    made.event(plane, first, "backbone.conv2/Conv2D:_MklNativeConv2D", 3 * MS, MS)
    made.event(plane, first, "EagerLocalExecute: __inference_1", 0, 9 * MS)
    made.event(plane, first, "outer/StatefulPartitionedCall:StatefulPartitionedCall", 0, 9 * MS)
    made.event(plane, second, "targets/Cast:Cast", 0, 2 * MS)
    return made.space


def test_the_operations_of_a_cpu():
    trace = profile.trace_of(cpu_trace())
    assert trace.device == "CPU" and trace.busy == 0
    assert trace.rows == [
        profile.Row("backbone", "Conv2D", pytest.approx(0.004), 2),
        profile.Row("targets", "Cast", pytest.approx(0.002), 1),
    ]


def test_the_kernels_of_a_gpu_belong_to_what_launched_them():
    made = Trace()
    made.space.CopyFrom(cpu_trace())
    plane = made.plane()
    first, second = made.line(plane), made.line(plane, "Stream #8(Compute)")
    made.event(plane, first, "implicit_convolve_sgemm", 0, 2 * MS, "tf_op", "backbone.conv1/Conv2D:Conv2D")
    made.event(plane, second, "sgemm", MS, 2 * MS, "tf_op", "neck.lateral/Conv2D:Conv2D", by_reference=True)
    made.event(plane, second, "MemcpyD2H", 5 * MS, MS, "memcpy_details", "size:4")
    made.event(plane, made.line(plane, "TensorFlow Ops"), "Conv2D", 0, 90 * MS)
    trace = profile.trace_of(made.space)
    assert trace.device == "GPU" and trace.busy == pytest.approx(0.004)  # 0 to 3 and 5 to 6 ms
    assert {(row.part, row.kind): row.calls for row in trace.rows} == {
        ("backbone", "Conv2D"): 1,
        ("FPN", "Conv2D"): 1,
        ("no operation", "MemcpyD2H"): 1,
    }


def test_the_table_in_words():
    text = profile.table(profile.trace_of(cpu_trace()), range(100, 102), seconds=0.01, waited=0.001)
    first, _, parts, rows = text.split("\n\n")
    assert first == (
        "Steps 100 to 101 on rank 0 took 5.0 ms each under the profiler, of which 0.5 ms were waiting for images. Most "
        "time goes to: backbone (67%). Costliest operation: convolution (Conv2D) (backbone, 67%)."
    )
    assert parts.splitlines() == [
        "part of the model    ms  share",
        "backbone           2.00  66.7%",
        "targets            1.00  33.3%",
    ]
    assert rows.splitlines()[1:] == [
        "Conv2D     backbone           2.00  66.7%      1",
        "Cast       targets            1.00  33.3%    0.5",
    ]


def test_the_table_has_an_end():
    rows = [profile.Row("backbone", f"Kind{k}", 0.001, 2) for k in range(25)]
    text = profile.table(profile.Trace(rows, "GPU", 0.02), range(1, 3), 0.04, 0)
    assert "The GPU was busy for 50% of the time." in text
    assert "Kind19 " in text and "Kind20 " not in text and "5 other rows: 2.50 ms (20%)" in text


def test_a_trace_without_operations():
    text = profile.table(profile.trace_of(Trace().space), range(1, 2), 0.01, 0)
    assert "The trace names no operations." in text


def test_steps_that_never_come_are_named(tmp_path, log):
    """The part of a run from step 4 to step 6 has no step 2; the part before it said nothing of steps to come."""
    for steps, said in ((Steps(6, per_epoch=3, total=6), True), (Steps(3, per_epoch=3, total=6), False)):
        log.clear()
        profile.Profiling(steps, (2, 3), tmp_path).on_train_end()
        assert ("train.profile_steps is 2,3, and this part of the run had no step 2" in log.text) == said


def test_a_run_that_is_stopped_keeps_its_trace(tmp_path, log):
    steps = Steps(1, per_epoch=9, total=9)
    profiling = profile.Profiling(steps, (2, 8), tmp_path)
    profiling.set_model(SimpleNamespace(train_function=SimpleNamespace(data_seconds=0.0)))
    profiling.on_train_batch_begin(0)
    steps.on_train_batch_end(0)
    profiling.on_train_batch_end(0, {})
    assert not (tmp_path / "table.txt").exists()
    profiling.on_train_end()
    assert (tmp_path / "table.txt").read_text().startswith("Steps 2 to 2 on rank 0 took ")


def test_a_folder_without_a_trace(tmp_path):
    with pytest.raises(ValueError, match="no trace"):
        profile.read(tmp_path)
