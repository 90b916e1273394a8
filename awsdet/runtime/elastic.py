"""A world whose processes come and go: one ends, a host is lost, hosts join, and the others go on in their processes.

    ElasticWorld.run(work)      calls work() again for each set of processes, from what it keeps itself
    HostsChanged                work raises it, on all ranks at one step, to let hosts join or leave
    tf.errors.UnknownError      what an exchange raises if another rank is gone; see `lost`

Horovod has a loop for this (`hvd.elastic.run`). It takes an UnknownError that it does not recognise for the end of the
work, so that a failed run looks like a finished one; and in TensorFlow 2 its states do not all reach a process that
joins. A process that its launcher takes out of the job is ended by an uncaught C++ exception. So the loop is our own.
"""

import http.client
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf
from absl import logging

from awsdet.runtime.horovod import HorovodWorld, listen_for_hosts, rank_is_gone
from awsdet.runtime.stall import KeyValueStore, StallWatch
from awsdet.runtime.world import HostsChanged, LeftOut, RunFailed, Unfit

Value = TypeVar("Value")

_PLACES = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE")  # in the order of the launcher
_COMING_SECONDS = 120.0  # for a process that joins to load its libraries
# Until Horovod gives up an exchange in which nothing arrives. It is not for machines that hang alone: Gloo does not
# notice that a rank has ended if it had received a part of what the rank sent (its pair.cc tells all buffers of the
# error but the one being filled). Exchanges do not wait for work: Horovod's threads are there at each of its cycles.
_SILENT_SECONDS = 45.0
_JOIN_ATTEMPTS = 10
_MEET_SECONDS = 0.5  # between two looks whether all ranks are there
_STORE_ATTEMPTS = 5  # of at most 6 s each
_LOOK_SECONDS = 30.0  # how often to see whether the launcher is there, while it is silent
_PLACE_SECONDS = 24 * 3600.0  # for hosts to come (--wait-seconds of the launcher) and all processes to ask


class ElasticWorld(HorovodWorld):
    """The processes that an elastic launcher has started until now; `rank` and `size` change in `run`.

    Args:
        stall_seconds: a rank that keeps the others waiting for longer is ended, and they go on without it.

    Attributes: number, how many sets of processes there have been, this one included; the same on all ranks.
    """

    elastic = True

    def __init__(self, stall_seconds: float):
        os.environ.setdefault("HOROVOD_GLOO_TIMEOUT_SECONDS", str(int(min(_SILENT_SECONDS, stall_seconds + 30))))
        self._address = os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"], int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"])
        self._place = f"{os.environ['HOROVOD_HOSTNAME']}:{os.environ['HOROVOD_LOCAL_RANK']}"
        self._changed, self._verbosity, self._watch = threading.Event(), logging.get_verbosity(), None
        self.number = 0
        self._rank_variable = self._size_variable = None  # made by `run`, since TensorFlow may not touch a device yet
        super().__init__(None, stall_seconds)
        listen_for_hosts(self._changed.set)

    @property
    def rank_tensor(self):
        """See `World`. A variable, so that one trace serves all worlds."""
        return self._rank_variable.read_value()

    @property
    def size_tensor(self):
        """See `World`."""
        return self._size_variable.read_value()

    @property
    def hosts_changed(self):
        """See `World`. Only rank 0 is told."""
        return self._changed.is_set()

    def lost(self, error):
        """See `World`."""
        return rank_is_gone(error)

    def failed(self, reason):
        """See `World`. The launcher's store keeps the reason for the ranks that find this one gone."""
        self._failures.put("reason", f"rank {self.rank} ({self._place}): {reason}")

    def broadcast_variables(self, variables, root=0):
        """One exchange per dtype under a name of its own, since names of variables may depend on a process's past."""
        self._count_call()
        for dtype in sorted({v.dtype for v in variables}, key=str):
            alike = [v for v in variables if v.dtype == dtype]
            with tf.device("CPU:0"):
                flat = tf.concat([tf.reshape(v, [-1]) for v in alike], axis=0)
                flat = self._hvd.broadcast(flat, root, name=f"variables_{dtype.name}")
                parts = tf.split(flat, [v.shape.num_elements() for v in alike])
            for variable, part in zip(alike, parts):
                variable.assign(tf.reshape(part, variable.shape))

    def run(self, work: Callable[[], Value]) -> Value:
        """Calls `work()` until it returns; again whenever a rank is gone, or `work` raises HostsChanged on all ranks.

        `work` must find its own way back to a state that all ranks share. All exchanges must happen inside it.

        Raises RunFailed if another rank failed by itself, LeftOut if this one is no longer needed, and what `work`
        raises; the latter ends the run of all ranks, unless it is Unfit.
        """
        with tf.device("CPU:0"):
            self._rank_variable = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._size_variable = tf.Variable(1.0, trainable=False)
        while True:
            try:
                self._begin()
                return work()
            except HostsChanged:
                logging.info("hosts join or leave; the processes find each other anew")
            except (Unfit, LeftOut, RunFailed):
                raise
            except Exception as error:
                if not self.lost(error):
                    self.failed(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
                    raise
                reason = self._failures.get("reason")
                if reason:
                    raise RunFailed(reason) from error
                logging.warning("rank %d of %d: another rank is gone", self.rank, self.size)
            self._find_each_other()

    def close(self):
        """See `World`."""
        if self._watch is not None:
            self._watch.stop()
        self._hvd.shutdown()

    @property
    def _failures(self):
        return KeyValueStore(*self._address, scope="awsdet_failure")

    def _new_watch(self):
        """None yet: the processes must first agree on the number of this world, see `_begin`."""

    def _join(self):
        """Joins the world in which the environment says that this process has a place; if not all others come, the
        next one. Raises LeftOut if there is no place for it any more."""
        for attempt in range(_JOIN_ATTEMPTS):
            try:
                # Else Horovod would ask for the place again, which counts as another process, and abort without one.
                del os.environ["HOROVOD_ELASTIC"]
                self._meet()
                super()._join()
                break
            except Exception as error:  # a process ended before or while they joined; the launcher makes new places
                logging.warning("the processes did not find each other (attempt %d): %s", attempt + 1, error)
                time.sleep(1)
            finally:
                os.environ["HOROVOD_ELASTIC"] = "1"
            self._take_next_place()
        else:
            raise RunFailed(f"the processes did not find each other in {_JOIN_ATTEMPTS} attempts")
        logging.set_verbosity(self._verbosity if self.is_chief else min(self._verbosity, logging.WARNING))

    def _meet(self):
        """Waits until all ranks of the next world are about to join it: Horovod aborts the process if one never does.

        The launcher forgets what is in its store whenever it makes a world. Raises TimeoutError.
        """
        rank, size = int(os.environ["HOROVOD_RANK"]), int(os.environ["HOROVOD_SIZE"])
        limit = time.monotonic() + _COMING_SECONDS
        store = KeyValueStore(*self._address, scope="awsdet_here")
        missing = {str(number) for number in range(size)} if rank == 0 else {"all"}
        while True:
            store.put(str(rank), "here")
            missing = {key for key in missing if store.get(key) is None}
            if not missing:
                break
            if time.monotonic() > limit:
                raise TimeoutError(f"rank {', '.join(sorted(missing))} did not come" if rank == 0 else "no rank 0 came")
            time.sleep(_MEET_SECONDS)
        if rank == 0:
            store.put("all", "here")

    def _begin(self):
        """Numbers this world and starts its stall watch, whose entries no other world's watch can take for its own."""
        self.number = 1 + max(self.gather_objects(self.number))
        self._rank_variable.assign(self.rank)
        self._size_variable.assign(float(self.size))
        self._reset_count()
        self._watch = StallWatch.connect(
            self.rank, self.size, self._stall_seconds, self._submitted, f"{self.number}.", ends_itself=True
        )

    def _find_each_other(self):
        """Leaves the present world and joins the next one."""
        # There are places only once all ranks ask for one or have ended. The watch goes on until then, and takes this
        # for one more exchange. So it finds a rank that hangs, also if the exchange with it has been given up before.
        self._count_call()
        self._take_next_place()
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self._join()

    def _take_next_place(self):
        """Waits for this process's place in the next world. Raises LeftOut if it has none."""
        self._hvd.shutdown()
        self._changed.clear()
        place = self._next_place()
        self._check_launcher()
        if place[0] < 0:
            raise LeftOut(f"{self._place} has been taken out of the job")
        for name, value in zip(_PLACES, place):
            os.environ[f"HOROVOD_{name}"] = str(value)

    def _next_place(self):
        """This process's rank, size and so on in the next world. Waits until all processes have asked or ended, and
        until there are enough of them. It asks once only: the launcher counts each question as a process."""
        connection = http.client.HTTPConnection(*self._address, timeout=_COMING_SECONDS)
        try:
            connection.request("GET", f"/rank_and_size/{self._place}")
            self._await_answer(connection.sock)
            response = connection.getresponse()
            text = response.read().decode()
            if response.status != 200:
                raise RunFailed(f"the launcher answered {response.status} when asked for a new rank")
            return [int(number) for number in text.split(",")]
        except (OSError, http.client.HTTPException) as error:
            raise RunFailed(f"the launcher is gone ({error})") from error
        finally:
            connection.close()

    def _await_answer(self, connection):
        """Returns once there is something to read. Raises RunFailed if the launcher has gone, or for too long."""
        limit = time.monotonic() + _PLACE_SECONDS
        while not select.select([connection], [], [], _LOOK_SECONDS)[0]:
            self._check_launcher()
            if time.monotonic() > limit:
                raise RunFailed(f"the launcher has given this process no new rank for {_PLACE_SECONDS / 3600:g} hours")

    def _check_launcher(self):
        """Raises RunFailed if the launcher has given up. It then names the ranks of the last world once more, which
        would wait for those that are gone."""
        store = KeyValueStore(*self._address, scope="awsdet_alive")
        for _ in range(_STORE_ATTEMPTS):
            store.put(self._place, "here")
            if store.get(self._place) == "here":
                return
        raise RunFailed("the launcher has ended the job; its own messages say why")
