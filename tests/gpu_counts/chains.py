"""How many times the host waits for the device, one wait after the other, in a graph that TensorFlow has partitioned.

A copy to the host is a wait only for what needs the copied value. If that leads to work on the device whose result is
copied in turn, the two waits follow each other, and the device runs dry twice. Copies that do not depend on each other
can be waited for together.
"""

from typing import NamedTuple

from tensorflow.python.eager import context


class Chain(NamedTuple):
    """The copies to the host on the longest way through a graph, in their order."""

    copies: tuple  # names of the tensors


def collected(function, *arguments):
    """The graphs of the first call of a tf.function, one for each device: list of GraphDef.

    Its call must be the first one: TensorFlow partitions a function once.
    """
    context.context().enable_graph_collection()
    try:
        function(*arguments)
    finally:
        metadata = context.context().export_run_metadata()
        context.context().disable_graph_collection()
    parts = [graph for found in metadata.function_graphs for graph in found.partition_graphs]
    return parts


def longest(partitions):
    """The Chain of the graphs of all devices together."""
    nodes, senders = {}, {}
    for number, graph in enumerate(partitions):
        for node in graph.node:
            nodes[number, node.name] = node
            if node.op in ("_Send", "_HostSend"):
                senders[_key(node)] = (number, node.name)
    memory = {}

    def walk(start):
        # Without recursion: graphs are thousands of nodes deep.
        stack = [start]
        while stack:
            place = stack[-1]
            if place in memory:
                stack.pop()
                continue
            before = _inputs(place, nodes, senders)
            missing = [one for one in before if one not in memory]
            if missing:
                stack.extend(missing)
                continue
            best = max((memory[one] for one in before), key=len, default=())
            memory[place] = best + _own(place, nodes, senders)
            stack.pop()
        return memory[start]

    return Chain(max((walk(place) for place in nodes), key=len, default=()))


def _key(node):
    return node.attr["tensor_name"].s, node.attr["send_device"].s, node.attr["recv_device"].s


def _inputs(place, nodes, senders):
    number, _ = place
    node = nodes[place]
    if node.op in ("_Recv", "_HostRecv"):
        sender = senders.get(_key(node))
        return [sender] if sender else []
    if node.op == "NextIteration":
        return []
    names = (name.lstrip("^").partition(":")[0] for name in node.input)
    return [(number, name) for name in names if (number, name) in nodes]


def _own(place, nodes, senders):
    """The copy to the host that a node is, as a tuple of its name, or an empty one."""
    node = nodes[place]
    if node.op == "Where" and "GPU" in node.device:
        return (f"{node.name} (the number of rows that it finds)",)
    if node.op not in ("_Recv", "_HostRecv"):
        return ()
    sender = senders.get(_key(node))
    if sender is None:
        return ()
    sending = nodes[sender]
    from_device = sending.op == "_Send" and "GPU" in sending.device
    to_host = node.op == "_HostRecv" or "CPU" in node.device
    return (node.attr["tensor_name"].s.decode(),) if from_device and to_host else ()
