"""Traces as TensorFlow's profiler writes them, written by hand."""

from tensorflow.tsl.profiler.protobuf import xplane_pb2


class Trace:
    """An XSpace that grows event by event."""

    def __init__(self):
        self.space = xplane_pb2.XSpace()
        self._ids = {}

    def plane(self, name="/device:GPU:0"):
        return self.space.planes.add(name=name)

    def line(self, plane, name="Stream #7(Compute,MemcpyD2H)", start_ns=5):
        return plane.lines.add(name=name, timestamp_ns=start_ns)

    def event(self, plane, line, name, begin, length, details=None, words="", by_reference=False):
        event = line.events.add(offset_ps=begin, duration_ps=length)
        event.metadata_id = self._id(plane.event_metadata, name)
        if details:
            stat = event.stats.add(metadata_id=self._id(plane.stat_metadata, details))
            if by_reference:
                stat.ref_value = self._id(plane.stat_metadata, words)
            else:
                stat.str_value = words

    def _id(self, table, name):
        number = self._ids.setdefault(name, len(self._ids) + 1)
        table[number].id, table[number].name = number, name
        return number
