"""Finds the rank that keeps the others waiting, names it, and ends the job.

All ranks go through the same sequence of exchanges (gradients, gathered objects, …). Each rank publishes how many it
has begun; a rank that stays behind the foremost one for longer than the limit is stalled, and one that publishes
nothing any more is frozen or gone. Horovod has an inspector for this, but in 0.28.1 it never fires under Gloo: the Gloo
controller leaves its list of ranks empty (`global_ranks_.reserve` without `resize`), so none can be missing. Under MPI
it works, and this watch is off.

The counts travel through the key-value store that horovodrun keeps for its processes anyway (its rendezvous server).
"""

import faulthandler
import http.client
import os
import socket
import sys
import threading
import time

from absl import logging

_SCOPE = "awsdet_stall"
_REQUEST_SECONDS = 3.0


class KeyValueStore:
    """Client of horovodrun's rendezvous server; nothing is raised where it does not answer."""

    def __init__(self, address, port):
        self._address, self._port = address, port

    def put(self, key, text):
        """Stores a text."""
        self._request("PUT", key, text.encode())

    def get(self, key):
        """The text under `key`, or None."""
        return self._request("GET", key)

    def _request(self, method, key, body=None):
        connection = http.client.HTTPConnection(self._address, self._port, timeout=_REQUEST_SECONDS)
        try:
            connection.request(method, f"/{_SCOPE}/{key}", body)
            response = connection.getresponse()
            text = response.read().decode()
            return text if response.status == 200 else None
        except (OSError, http.client.HTTPException, UnicodeDecodeError):
            return None
        finally:
            connection.close()


class Ledger:
    """What is known of the ranks: when each was last heard of, and since when it has been behind.

    A pure record of reports and times, so that the rule can be tested without processes or clocks.
    """

    def __init__(self, ranks, limit, now):
        self._limit = limit
        self._reports = {rank: None for rank in ranks}  # rank -> (beat, count)
        self._heard = {rank: now for rank in ranks}
        self._moved = {rank: now for rank in ranks}
        self._foremost, self._foremost_since = 0, now

    def report(self, rank, beat, count, now):
        """Enters a report: `beat` grows with each one, `count` is the number of exchanges begun."""
        before = self._reports[rank]
        if before is None or before[0] != beat:
            self._heard[rank] = now
        if before is None or before[1] != count:
            self._moved[rank] = now
        self._reports[rank] = (beat, count)
        if count > self._foremost:
            self._foremost, self._foremost_since = count, now

    def verdict(self, now):
        """(rank, what is wrong with it), or None while all is well."""
        for rank, heard in self._heard.items():
            if now - heard > self._limit:
                return rank, f"has been silent for {now - heard:.0f} s: its process is frozen or its machine is gone"
        for rank, report in self._reports.items():
            waited = now - max(self._moved[rank], self._foremost_since)
            if report is not None and report[1] < self._foremost and waited > self._limit:
                return rank, f"has kept the other ranks waiting for {waited:.0f} s"
        return None


class StallWatch(threading.Thread):
    """Publishes this rank's count. Rank 0 judges all ranks; the others judge rank 0, lest it be the frozen one."""

    @classmethod
    def connect(cls, rank, size, limit, submitted):
        """The watch of this rank, running; it is idle where horovodrun's store is not there (mpirun).

        Args:
            rank, size: of this process and of the world.
            limit: seconds that a rank may keep the others waiting.
            submitted: function that returns how many exchanges this rank has begun.
        """
        address = os.environ.get("HOROVOD_GLOO_RENDEZVOUS_ADDR")
        port = os.environ.get("HOROVOD_GLOO_RENDEZVOUS_PORT")
        store = KeyValueStore(address, int(port)) if address and port else None
        watch = cls(store, rank, size, limit, submitted)
        if store is not None and size > 1:
            watch.start()
        return watch

    def __init__(self, store, rank, size, limit, submitted):
        """See `connect`."""
        super().__init__(name="stall-watch", daemon=True)
        self._store, self._rank, self._size, self._limit, self._submitted = store, rank, size, limit, submitted
        self._interval = min(10.0, limit / 8)
        self._done = threading.Event()

    def stop(self):
        """Ends the watch; the other ranks' watches must be about to end too."""
        self._done.set()
        if self.is_alive():
            self.join()
            self._store.put(str(self._rank), "done")

    def run(self):
        """The thread's loop."""
        watched = range(self._size) if self._rank == 0 else (0,)
        ledger = Ledger(watched, self._limit, time.monotonic())
        beat = 0
        while not self._done.wait(self._interval):
            beat += 1
            self._store.put(str(self._rank), f"{beat} {self._submitted()} {socket.gethostname()}")
            hosts = {}
            for rank in watched:
                text = self._store.get(str(rank))
                if text == "done":
                    return  # that rank has finished its work; what is left to the others is to exit
                if text:
                    other_beat, count, hosts[rank] = text.split(" ", 2)
                    ledger.report(rank, int(other_beat), int(count), time.monotonic())
            verdict = ledger.verdict(time.monotonic())
            if verdict is not None:
                self._end(*verdict, hosts.get(verdict[0], "unknown host"))
            if self._store.get("verdict") == str(self._rank):
                self._show_stack()

    def _end(self, rank, complaint, host):
        logging.error(
            "rank %d (%s) %s; the limit is %d s (train.stall_seconds). Ending the job.",
            rank,
            host,
            complaint,
            self._limit,
        )
        self._store.put("verdict", str(rank))
        if rank == self._rank:
            self._show_stack()
        else:
            time.sleep(self._interval + 1)  # the named rank has this long to say where it hangs
        # The main thread waits in an exchange that will never end: nothing softer gets this process out.
        sys.stderr.flush()
        os._exit(1)

    def _show_stack(self):
        logging.error("rank %d is the one that the others wait for; this is where its threads are:", self._rank)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        self._done.set()
