"""A job that runs: starts its engine, shows what the ranks print, names the first that fails, and ends them all."""

import collections
import contextlib
import os
import queue
import re
import secrets
import signal
import subprocess
import threading
import time

import psutil

from awsdet.launch import engines
from awsdet.launch.channel import Server
from awsdet.launch.hosts import rank_hosts
from awsdet.launch.rank import ENDING
from awsdet.launch.roster import Roster
from awsdet.launch.store import Store
from awsdet.runtime.stall import stalled_process_in, verdict_in

TAIL = 12  # how many of its last lines are shown of a rank that failed
START_SECONDS = 150.0  # for all ranks to connect
_FOLLOW_SECONDS = 20.0  # for the other ranks to end by themselves after one has failed
_SILENT_FOLLOW_SECONDS = 3.0  # after one has fallen silent: the others wait for it, so they will not end by themselves
_KILL_SECONDS = 10.0
_STACK_SECONDS = 12.0  # for a rank that stalls in an elastic job to say where it hangs and to end, before it is killed
_ENGINE_SECONDS = 5.0  # for the engine to end by itself once its ranks have ended


class Rank:
    """What the launcher knows of one rank.

    Attributes: number, host, connection; code, its exit code (negative: the signal that ended it; None: not known);
    ended, whether nothing more will come from it; tail, its last lines; kill_at, the time at which it is killed.
    """

    def __init__(self, number, host, connection):
        self.number, self.host, self.connection = number, host, connection
        self.code, self.ended, self.tail = None, False, collections.deque(maxlen=TAIL)
        self.kill_at = None

    def __str__(self):
        return f"rank {self.number} ({self.host})"


class Job:
    """Runs a Plan.

    Args:
        plan: Plan.
        stop_seconds: how long the ranks may take to save and end once the job has been told to stop.
        show: function (text, is_error) that shows a line, on stdout or on stderr.
        saves: whether ranks that are stopped leave something that can be gone on from, so that a stop is no failure.
        advice: what to do after a failure; ends the last line.
    """

    def __init__(self, plan, show, stop_seconds=90.0, advice="", saves=True):
        self._plan, self._stop_seconds, self._advice = plan, stop_seconds, f"; {advice}" if advice else ""
        self._show, self._saves = show, saves
        self._ranks, self._failed, self._reason, self._stall = {}, None, "", None
        self._stops, self._deadline, self._kill_at = 0, None, None
        self._gone = []  # the ranks that an elastic job had lost when it was told to stop
        self._engine, self._engine_lines, self._roster = None, collections.deque(maxlen=200), None
        self._hosts = () if plan.elastic else rank_hosts(plan.hosts)
        self._start_seconds = START_SECONDS + (plan.elastic.timeout if plan.elastic else 0)

    def run(self) -> int:
        """Runs the job to its end. Returns its exit code: 0 done or stopped, 1 failed, 2 a mistake of the user.

        SIGTERM, SIGINT and SIGHUP stop the ranks, which save first; a second signal kills them.
        """
        token = secrets.token_hex(16)
        server = Server(self._plan.address, token)
        store = Store(self._plan.address, secrets.token_hex(16))
        before = {number: signal.signal(number, self._on_signal) for number in ENDING}
        try:
            self._keep_roster()
            self._start_engine(engines.environment(self._plan, server.port, token, store.place))
            self._follow(server)
            if self._roster is not None:
                self._roster.close()
            return self._conclude()
        finally:
            self._end_all(server)
            store.close()
            if self._roster is not None:
                self._roster.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    # -------------------------------------------------------------------------------------------------------- the start

    def _keep_roster(self):
        """Has an elastic job take its hosts from a Roster."""
        plan = self._plan
        if plan.elastic:
            names = [host.name for host in plan.hosts]
            self._roster = Roster(plan.elastic.script, plan.slots, names, plan.ssh, self._say)
            self._roster.start()
            self._plan = plan._replace(elastic=plan.elastic._replace(script=self._roster.program))

    def _start_engine(self, environment):
        self._engine = subprocess.Popen(
            engines.start_command(self._plan),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # signals are for the launcher, which passes them on in its own way
            # Also those that a scheduler sends to every process: horovodrun would kill the ranks before they save.
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ENDING),
        )
        threading.Thread(target=self._read_engine, daemon=True, name="launch-engine").start()
        self._deadline = time.monotonic() + self._start_seconds

    def _read_engine(self):
        for line in self._engine.stdout:
            self._engine_lines.append(line.decode(errors="replace").rstrip())

    # ------------------------------------------------------------------------------------------------------- on the way

    def _follow(self, server):
        """Handles events until the job has ended."""
        stops_done = 0
        while True:
            # What follows is done after each event too, so that ranks that print without a pause do not prevent it.
            with contextlib.suppress(queue.Empty):
                self._handle(server.events.get(timeout=0.25))
            if self._stops > stops_done:
                stops_done = self._stops
                self._stop(server)
            self._check_silence()
            self._kill_stalled()
            now = time.monotonic()
            if self._kill_at is not None and now > self._kill_at:
                return
            if self._deadline is not None and now > self._deadline:
                self._fail(None, self._missing())
                return
            if self._engine.poll() is not None and all(rank.ended for rank in self._ranks.values()):
                return

    def _handle(self, event):
        if event.kind == "hello":
            self._welcome(event)
            return
        rank = self._ranks.get(event.connection)
        if rank is None:
            return
        if event.kind == "line":
            rank.tail.append(event.content["text"])
            self._stall = self._stall or verdict_in(event.content["text"])
            self._note_stalled(event.content["text"])
            self._show(f"[{rank.host}:{rank.number}] {event.content['text']}", event.content["stream"] == "err")
        elif event.kind == "exit":
            self._ended(rank, event.content["code"])
        elif event.kind == "lost" and not rank.ended:
            rank.ended = True
            self._rank_failed(rank, "its connection broke: its machine, its network, or all its processes are gone")
            self._give_up(rank)

    def _welcome(self, event):
        number = event.content["rank"]
        host = self._hosts[number] if 0 <= number < len(self._hosts) else event.content["host"]
        self._ranks[event.connection] = Rank(number, host, event.connection)
        if self._running() >= (self._plan.elastic.least if self._plan.elastic else self._plan.processes):
            self._deadline = None
        if self._stops:
            event.connection.send("stop")

    def _ended(self, rank, code):
        rank.code, rank.ended = code, True
        self._wait_for_more()
        if self._stops and code == -signal.SIGTERM:
            rank.code = code = 0  # told to end twice, or before there was anything to save
        if code:
            # The ranks that wait for a stalled one will not end by themselves.
            self._rank_failed(rank, _how(code), _SILENT_FOLLOW_SECONDS if self._stall else _FOLLOW_SECONDS)

    def _rank_failed(self, rank, how, follow=_FOLLOW_SECONDS):
        if self._plan.elastic:
            self._say(f"{rank} ended: {how}; the job goes on if enough processes are left")
        elif self._failed is None:
            self._fail(rank, how, follow)

    def _check_silence(self):
        for rank in self._ranks.values():
            silent = time.monotonic() - rank.connection.heard
            if not rank.ended and silent > self._plan.lost_seconds:
                rank.ended = True
                how = f"nothing was heard from its machine for {silent:.0f} s: it hangs, or its network is gone"
                self._rank_failed(rank, how, _SILENT_FOLLOW_SECONDS)
                self._give_up(rank)

    def _note_stalled(self, line):
        """Has a rank killed that stalls in an elastic job, if a line of another rank says so."""
        stalled = stalled_process_in(line) if self._plan.elastic else None
        for rank in self._ranks.values():
            if stalled == (rank.host, rank.connection.peer["pid"]) and not rank.ended and rank.kill_at is None:
                rank.kill_at = time.monotonic() + _STACK_SECONDS

    def _kill_stalled(self):
        for rank in self._ranks.values():
            if rank.kill_at is not None and time.monotonic() > rank.kill_at and not rank.ended:
                rank.kill_at = None
                rank.connection.send("kill")

    def _give_up(self, rank):
        """Parts with a rank of an elastic job whose machine is lost. If that answers again, the rank ends itself."""
        if not self._plan.elastic:
            return
        rank.connection.close()
        self._roster.lost(rank.host)
        self._wait_for_more()
        self._end_helpers(rank.host)

    def _end_helpers(self, host):
        """Ends what the engine runs for a host, by ssh. An elastic engine would wait for its processes for ever."""
        with contextlib.suppress(psutil.Error):
            for helper in psutil.Process(self._engine.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    # horovodrun writes the name of the host into the command of each process.
                    if f"HOROVOD_HOSTNAME={host} " in " ".join(helper.cmdline()):
                        helper.kill()

    def _running(self):
        return sum(not rank.ended for rank in self._ranks.values())

    def _wait_for_more(self):
        """An elastic job in which all ranks have ended has a time for new ones to start."""
        if self._plan.elastic and not self._running() and self._deadline is None:
            self._deadline = time.monotonic() + self._start_seconds

    def _fail(self, rank, how, follow=0.0):
        self._failed, self._reason = rank, how
        if not self._stops:  # otherwise the others keep their time to save
            self._kill_at = time.monotonic() + follow

    def _missing(self):
        """Why the ranks did not start, in the words of the engine."""
        there = {rank.number for rank in self._ranks.values()}
        absent = [f"{number} ({host})" for number, host in enumerate(self._hosts) if number not in there]
        who = f"rank {', '.join(absent[:4])}{' and more' if len(absent) > 4 else ''}" if absent else "a rank"
        return f"{who} did not start within {self._start_seconds:.0f} s; the engine said: {self._engine_reason()}"

    # --------------------------------------------------------------------------------------------------------- the stop

    def _on_signal(self, number, frame):
        self._stops += 1

    def _stop(self, server):
        if self._stops > 1:
            self._kill_at = time.monotonic() - 1
            self._say("second signal: killing the ranks without saving")
            return
        self._gone = [rank for rank in self._ranks.values() if rank.ended and rank.code != 0]
        server.order("stop")  # first: the terminal that shows the line may be what is gone
        if self._failed is None:
            self._kill_at = time.monotonic() + self._stop_seconds
        what = "the ranks finish their step and save" if self._saves else "the ranks end"
        self._say(f"stopping: {what}, within {self._stop_seconds:.0f} s; a second signal kills")

    # ---------------------------------------------------------------------------------------------------------- the end

    def _end_all(self, server):
        """Leaves no process behind: kills the ranks that are left, then the engine."""
        if any(not rank.ended for rank in self._ranks.values()):
            server.order("kill")
            deadline = time.monotonic() + _KILL_SECONDS
            while time.monotonic() < deadline and any(not rank.ended for rank in self._ranks.values()):
                with contextlib.suppress(queue.Empty):
                    event = server.events.get(timeout=0.25)
                    if event.kind in ("exit", "lost") and event.connection in self._ranks:
                        self._ranks[event.connection].ended = True
        if self._engine is not None:
            self._end_engine()
        server.close()  # the ranks that have not heard the order end themselves now

    def _end_engine(self):
        # mpirun starts each ssh in a session of its own, so signals to the engine's group do not reach it.
        helpers = []
        with contextlib.suppress(psutil.Error):
            helpers = psutil.Process(self._engine.pid).children(recursive=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._engine.wait(_ENGINE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._engine.pid, signal.SIGKILL)
        self._engine.wait()
        for helper in helpers:
            with contextlib.suppress(psutil.Error):
                helper.kill()

    def _conclude(self):
        codes = [rank.code for rank in self._ranks.values() if rank not in self._gone]
        if self._plan.elastic and not self._stops:
            return self._conclude_elastic(codes)
        if self._failed is None and codes and all(code == 0 for code in codes):
            if self._stops and not self._saves:
                self._say("stopped before there was a result")
                return 1
            return 0
        if self._failed is None and self._stops:
            why = f"the ranks did not end within {self._stop_seconds:.0f} s and were killed"
            if self._stops > 1:
                why = "the ranks were killed before they had saved"
            elif self._kill_at is None or time.monotonic() < self._kill_at:
                why = "a rank failed while the others saved"
            self._say(f"{why}{self._advice}")
            return 1
        if self._failed is None and not self._reason:
            self._reason = f"no rank was started; the engine said: {self._engine_reason()}"
        if self._failed is not None and self._failed.code == 2:
            if not any(rank.code == 2 and rank.tail for rank in self._ranks.values()):
                self._say(f"{self._failed} failed first: {self._reason}; all ranks have been ended")
            return 2  # otherwise a rank has explained the mistake in one line
        if self._failed is not None:
            self._show_tail(self._failed)
            # It ended because it waited for a rank that stalls: that one is to blame.
            reason = self._stall or f"{self._failed} failed first: {self._reason}"
            self._say(f"{reason}; all ranks have been ended{self._advice}")
        else:
            self._say(self._reason)
        return 1

    def _conclude_elastic(self, codes):
        if self._engine.poll() == 0:
            return 0
        if codes and all(code == 2 for code in codes):
            return 2
        reason = self._reason or self._given_up() or f"the engine said: {self._engine_reason()}"
        self._say(f"the elastic job ended before it was complete: {reason}{self._advice}")
        return 1

    def _given_up(self):
        """Which limit made horovodrun end an elastic job. Its own last words only tell how a process ended."""
        elastic, said = self._plan.elastic, "\n".join(self._engine_lines)
        if f"at least {elastic.least} Horovod processes" in said:
            return f"for {elastic.timeout} s there were fewer than {elastic.least} processes (--min, --wait-seconds)"
        if elastic.reset_limit and "reset count" in said and "exceeded limit" in said:
            return f"the processes have changed more than {elastic.reset_limit} time(s) (--reset-limit)"
        return ""

    def _show_tail(self, rank):
        if rank.tail:
            self._say(f"the last lines of {rank}:")
            for line in rank.tail:
                self._show(f"    {line}", True)

    def _say(self, text):
        self._show(f"awsdet launch: {text}", True)

    def _engine_reason(self):
        """The engine's own last words, without the frames of a Python traceback."""
        words = [line for line in self._engine_lines if line and not _FRAME.match(line)]
        return " ".join(words[-3:]) if words else f"nothing (exit code {self._engine.poll()})"


_FRAME = re.compile(r"\s+|Traceback \(most recent|\[\d[\d,]*\]<std")


def _how(code):
    """How a process ended, in words."""
    if code > 0:
        return f"exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-code, "a real-time signal")
    cause = " (killed by hand, or by the system because memory ran out)" if -code == signal.SIGKILL else ""
    return f"ended by signal {-code}, {name}{cause}"
