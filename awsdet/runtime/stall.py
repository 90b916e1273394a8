"""Finds the rank that keeps the others waiting, says which one it is, and ends the job if it does not go on.

All ranks go through the same sequence of exchanges: gradients, gathered objects and so on. Each rank publishes how many
it has begun. A rank is stalled if its count stays below the highest count for longer than the limit. If a rank no
longer publishes anything, its process is frozen or gone. A rank is named long before the limit, since one that is only
slow may go on. One that is late by less, however often, is not named: `awsdet selftest` finds it.

Horovod has an inspector for this, but in version 0.28.1 it never fires under Gloo: the Gloo controller leaves its list
of ranks empty (`global_ranks_.reserve` without `resize`), so it misses none. Under MPI the inspector works, but it is a
part of rank 0, so it misses a rank 0 that hangs.

The counts are published in the key-value store that horovodrun runs for its processes anyway (its rendezvous server).
Under mpirun, `awsdet launch` runs a store for them. Without one, this watch is off.
"""

import faulthandler
import http.client
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable

from absl import logging

STORE = "AWSDET_STALL_STORE"  # variable in which `awsdet launch` names its store
# The line by which a rank ends the job, and what the launcher finds in it: the rank and its fault.
_VERDICT = "rank %d (%s) %s; the limit is %d s (train.stall_seconds). %s"
_ENDING = "Ending the job."
# Said of a rank that may yet go on, and once it does. The launcher must not take these for a verdict.
_LATE = "rank %d (%s) %s; it must go on within %d s (train.stall_seconds)"
_GOES_ON = "rank %d (%s) goes on"
_GOING_ON = "Once process %s there has ended, the others go on."  # in an elastic run
_IN_VERDICT = re.compile(rf"(rank \d+ \(.*\) .*); the limit is \d+ s \(train\.stall_seconds\)\. {re.escape(_ENDING)}$")
_REQUEST_SECONDS = 3.0
_IN_ELASTIC_VERDICT = re.compile(r"rank \d+ \((.*)\) .*\. Once process (\d+) there has ended, the others go on\.$")


def verdict_in(line: str) -> str | None:
    """What a line of a rank's output says of the rank that stalls, with its number and host; None for other lines."""
    found = _IN_VERDICT.search(line)
    return found[1] if found else None


def stalled_process_in(line: str) -> tuple[str, int] | None:
    """(host, process number) of the rank that stalls in an elastic run, if a line of a rank's output says so."""
    found = _IN_ELASTIC_VERDICT.search(line)
    return (found[1], int(found[2])) if found else None


class KeyValueStore:
    """Client of horovodrun's rendezvous server or of a like one. Raises nothing if the server does not answer.

    `scope`: keys of different scopes are different.
    """

    @classmethod
    def find(cls) -> "KeyValueStore | None":
        """The store of this job, which its launcher names in the environment; None if there is none."""
        address, port = os.environ.get("HOROVOD_GLOO_RENDEZVOUS_ADDR"), os.environ.get("HOROVOD_GLOO_RENDEZVOUS_PORT")
        if address and port:
            return cls(address, int(port))
        return cls.at(os.environ[STORE]) if os.environ.get(STORE) else None

    @classmethod
    def at(cls, place: str) -> "KeyValueStore":
        """The store at a place "address:port/scope"."""
        server, _, scope = place.partition("/")
        address, _, port = server.rpartition(":")
        return cls(address, int(port), scope)

    def __init__(self, address: str, port: int, scope: str = "awsdet_stall"):
        self._address, self._port, self._scope = address, port, scope

    def put(self, key: str, text: str) -> None:
        """Stores a text."""
        self._request("PUT", key, text.encode())

    def get(self, key: str) -> str | None:
        """The text stored under `key`; None if there is none."""
        return self._request("GET", key)

    def _request(self, method, key, body=None):
        connection = http.client.HTTPConnection(self._address, self._port, timeout=_REQUEST_SECONDS)
        try:
            connection.request(method, f"/{self._scope}/{key}", body)
            response = connection.getresponse()
            text = response.read().decode()
            return text if response.status == 200 else None
        except (OSError, http.client.HTTPException, UnicodeDecodeError):
            return None
        finally:
            connection.close()


def patience(limit: float) -> float:
    """How many seconds a rank may keep the others waiting before it is named. limit: before the job ends."""
    return min(60.0, limit / 4)


class Ledger:
    """What is known about the ranks: when each of them last reported, and since when it has been behind.

    It only sees reports and times, so that the rule can be tested without processes or clocks. All times are seconds.

    Args:
        ranks: the ranks that are watched.
        limit: how long a rank may keep the others waiting, or report nothing.
        now: the present time.
    """

    def __init__(self, ranks: Iterable[int], limit: float, now: float):
        self._limit, self._patience = limit, patience(limit)
        self._reports = {rank: None for rank in ranks}  # rank -> (beat, count)
        self._heard = {rank: now for rank in ranks}
        self._moved = {rank: now for rank in ranks}
        self._highest, self._highest_since = 0, now

    def report(self, rank: int, beat: int, count: int, now: float) -> None:
        """Enters a report: `beat` is its number, `count` the number of exchanges that the rank has begun."""
        before = self._reports[rank]
        if before is None or before[0] != beat:
            self._heard[rank] = now
        if before is None or before[1] != count:
            self._moved[rank] = now
        self._reports[rank] = (beat, count)
        if count > self._highest:
            self._highest, self._highest_since = count, now

    def verdict(self, now: float) -> tuple[int, str] | None:
        """The rank that is stalled and what is wrong with it; None if all is well."""
        return self._first(now, self._limit)

    def late(self, now: float) -> tuple[int, str] | None:
        """The rank that is so late that it should be named, but that may yet go on; as `verdict`."""
        return self._first(now, self._patience)

    def _first(self, now, limit):
        for rank, heard in self._heard.items():
            if now - heard > limit:
                return rank, f"has been silent for {now - heard:.0f} s: its process is frozen or its machine is gone"
        for rank, report in self._reports.items():
            waited = now - max(self._moved[rank], self._highest_since)
            if report is not None and report[1] < self._highest and waited > limit:
                return rank, f"has kept the other ranks waiting for {waited:.0f} s"
        return None


class StallWatch(threading.Thread):
    """Publishes this rank's count. Rank 0 watches all ranks; the others watch rank 0, in case it is the frozen one."""

    @classmethod
    def connect(
        cls,
        rank: int,
        size: int,
        limit: float,
        submitted: Callable[[], int],
        prefix: str = "",
        ends_itself: bool = False,
    ) -> "StallWatch":
        """Starts the watch of this rank. It does nothing if there is no store.

        Args:
            rank: this process's rank.
            size: number of ranks.
            limit: how many seconds a rank may keep the others waiting.
            submitted: function that returns how many exchanges this rank has begun.
            prefix: of the keys in the store; ranks that watch each other have the same.
            ends_itself: in an elastic run. A rank that is stalled ends its own process, and the others go on.
        """
        store = KeyValueStore.find()
        watch = cls(store, rank, size, limit, submitted, prefix, ends_itself)
        if store is not None and size > 1:
            watch.start()
        return watch

    def __init__(self, store, rank, size, limit, submitted, prefix="", ends_itself=False):
        """See `connect`."""
        super().__init__(name="stall-watch", daemon=True)
        self._store, self._rank, self._size, self._limit, self._submitted = store, rank, size, limit, submitted
        self._prefix, self._ends_itself = prefix, ends_itself
        self._interval = min(10.0, limit / 8)
        self._done = threading.Event()
        self._late = None  # (rank, host) that was named last and has not gone on since

    def stop(self) -> None:
        """Ends the watch. Call it on all ranks at about the same time."""
        self._done.set()
        if self.is_alive():
            self.join()
            self._put(self._rank, "done")

    def run(self) -> None:
        """The thread's loop."""
        watched = range(self._size) if self._rank == 0 else (0,)
        ledger = Ledger(watched, self._limit, time.monotonic())
        # At once, so that the others can name a process that freezes before it has waited for the first time.
        beat, hosts = 0, {}
        self._report(beat)
        while not self._done.wait(self._interval):
            beat += 1
            self._report(beat)
            for rank in watched:
                text = self._get(rank)
                if text == "done":
                    return  # that rank has finished its work, so this one is about to exit too
                if text:
                    other_beat, count, *hosts[rank] = text.split(" ", 3)
                    ledger.report(rank, int(other_beat), int(count), time.monotonic())
            verdict = ledger.verdict(time.monotonic())
            if verdict is not None:
                self._end(*verdict, *hosts.get(verdict[0], ("?", "unknown host")))
            elif self._rank in (0, 1):  # of those that watch rank 0, one is enough to name it
                self._name_late(ledger.late(time.monotonic()), hosts)
            if self._get("verdict") == str(self._rank):
                self._show_stack()
                if self._ends_itself:
                    sys.stderr.flush()
                    os._exit(1)

    def _name_late(self, late, hosts):
        """Names a rank once when it gets late, and says when it goes on."""
        rank, complaint = late or (None, "")
        if self._late is not None and self._late[0] != rank:
            logging.warning(_GOES_ON, *self._late)
            self._late = None
        if rank is not None and self._late is None:
            self._late = (rank, hosts.get(rank, ("?", "unknown host"))[1])
            logging.warning(_LATE, *self._late, complaint, self._limit)

    def _report(self, beat):
        self._put(self._rank, f"{beat} {self._submitted()} {os.getpid()} {_host()}")

    def _put(self, key, text):
        self._store.put(f"{self._prefix}{key}", text)

    def _get(self, key):
        return self._store.get(f"{self._prefix}{key}")

    def _end(self, rank, complaint, pid, host):
        next_step = _GOING_ON % pid if self._ends_itself else _ENDING
        logging.error(_VERDICT, rank, host, complaint, self._limit, next_step)
        self._put("verdict", str(rank))
        if self._ends_itself and rank != self._rank:
            self._done.set()  # if its process is frozen, `awsdet launch` ends it
            return
        if rank == self._rank:
            self._show_stack()
        else:
            time.sleep(self._interval + 1)  # in this time the stalled rank logs where it hangs
        # The main thread waits in an exchange that will never end, so nothing gentler would end this process.
        sys.stderr.flush()
        os._exit(1)

    def _show_stack(self):
        logging.error("the other ranks wait for rank %d; its threads are here:", self._rank)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        self._done.set()


def _host():
    """This machine's name, as the launcher calls it if it has said so."""
    return os.environ.get("HOROVOD_HOSTNAME") or socket.gethostname()
