"""The longest chain of waits in graphs that are written by hand as TensorFlow partitions them."""

import tensorflow as tf

from tests.gpu_counts import chains

GPU, CPU = "/device:GPU:0", "/device:CPU:0"


class Graphs:
    """Two graphs, of the GPU and of the CPU, that grow node by node."""

    def __init__(self):
        self.by_device = {GPU: tf.compat.v1.GraphDef(), CPU: tf.compat.v1.GraphDef()}

    def add(self, device, name, op="Identity", inputs=()):
        node = self.by_device[device].node.add(name=name, op=op, device=device, input=inputs)
        return node

    def copy(self, start, end, tensor, receive="_Recv"):
        """Sends `tensor` from one device to another (or to the host's side of the same one). Returns the receiver."""
        ends = []
        for device, op in ((start, "_Send"), (end, receive)):
            node = self.add(device, f"{tensor}/{op}", op, [tensor] if op == "_Send" else [])
            node.attr["tensor_name"].s = tensor.encode()
            node.attr["send_device"].s, node.attr["recv_device"].s = start.encode(), end.encode()
            ends.append(node.name)
        return ends[1]

    def longest(self):
        return chains.longest(list(self.by_device.values())).copies


def test_copies_that_follow_each_other_make_a_chain():
    graphs = Graphs()
    graphs.add(GPU, "first")
    graphs.add(CPU, "decided", inputs=[graphs.copy(GPU, CPU, "first")])
    graphs.add(GPU, "second", inputs=[graphs.copy(CPU, GPU, "decided")])
    graphs.add(CPU, "end", inputs=[graphs.copy(GPU, CPU, "second")])
    assert graphs.longest() == ("first", "second")


def test_copies_side_by_side_are_one_wait():
    graphs = Graphs()
    inputs = []
    for name in ("first", "second"):
        graphs.add(GPU, name)
        inputs.append(graphs.copy(GPU, CPU, name))
    graphs.add(CPU, "end", inputs=inputs)
    assert len(graphs.longest()) == 1


def test_a_chain_through_control_edges_and_host_memory_of_the_gpu():
    graphs = Graphs()
    graphs.add(GPU, "first")
    graphs.add(GPU, "on_host", inputs=["^" + graphs.copy(GPU, GPU, "first", receive="_HostRecv")])
    graphs.add(GPU, "rows", "Where", inputs=["on_host:0"])
    assert graphs.longest() == ("first", "rows (the number of rows that it finds)")


def test_copies_to_the_device_are_no_waits():
    graphs = Graphs()
    graphs.add(CPU, "first")
    graphs.add(GPU, "end", inputs=[graphs.copy(CPU, GPU, "first")])
    assert graphs.longest() == ()
