"""When an update is complete, and that the host knows it without asking a GPU."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.accumulation import Accumulation


@pytest.mark.parametrize("changes", [False, True])
def test_an_update_is_complete_after_its_steps(changes):
    accumulation = Accumulation(3, changes)
    accumulation.set(3, first=2)

    @tf.function(autograph=False)
    def completes(step):
        return accumulation.completes(step), tf.convert_to_tensor(accumulation.share, tf.float32)

    found = [completes(tf.constant(step, tf.int64)) for step in range(2, 9)]
    assert [bool(complete) for complete, _ in found] == [False, False, True, False, False, True, False]
    assert {float(share) for _, share in found} == {3.0}
    graph = completes.get_concrete_function(tf.TensorSpec([], tf.int64)).graph
    computing = [op for op in graph.get_operations() if op.type in ("AddV2", "Sub", "FloorMod", "Equal")]
    assert computing and all("CPU:0" in op.device for op in computing)
    if changes:
        accumulation.set(2)
        assert [bool(completes(tf.constant(step, tf.int64))[0]) for step in range(4)] == [False, True, False, True]
        np.testing.assert_array_equal(completes(tf.constant(0, tf.int64))[1], 2.0)
