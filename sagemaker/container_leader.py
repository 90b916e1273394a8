"""What the first host of a job does: waits for the others, trains over all hosts, and tells them how it ended."""

import os
import queue
import shutil
import signal
import time

import psutil
from container_base import Child, JobFailed, Outcome, awsdet, say
from container_job import start_preparing
from container_link import LOST, Event, FirstHost
from container_results import Reporter, explain, leave_exported, leave_results
from container_resume import resumes
from container_ssh import key_folder, make_key

from awsdet.runtime.errors import UserError

_SAY_SECONDS = 15
_STOP_SECONDS = 100  # SageMaker kills 120 s after SIGTERM
_SAVE_SECONDS = 75  # of these for the ranks to save
_RESULTS_BEFORE = 70  # seconds after SIGTERM up to which there is time to write the results


def lead(ready, events, children):
    """Runs the job. Returns its Outcome, which the other hosts have been told."""
    others = [host for host in ready.description.hosts[1:]]
    link = folder = None
    outcome = Outcome(1, "the first host was interrupted")
    try:
        if others:
            folder = key_folder()
            welcome = {"key": make_key(folder / "key")}
            token = ready.description.token
            link = FirstHost(ready.link_port, token, others, welcome, events, ready.lost_seconds)
        outcome = _Leader(ready, events, children, link, folder).run()
    except UserError as error:
        outcome = Outcome(2, " ".join(str(error).split()))
    except JobFailed as error:
        outcome = Outcome(1, " ".join(str(error).split()))
    except Exception as error:
        outcome = Outcome(1, f"a fault of awsdet itself: {type(error).__name__}: {' '.join(str(error).split())}")
        raise
    finally:
        if link is not None:
            link.finish(*outcome)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return outcome


class _Leader:
    def __init__(self, ready, events, children, link, keys):
        self._ready, self._events, self._children, self._link, self._keys = ready, events, children, link, keys
        self._paths = ready.paths
        self._stopped_at = self._kill_at = None
        self._lost = ""

    def run(self):
        """Returns the Outcome."""
        overrides = self._gather()
        if self._stopped_at:
            say("told to stop before the training began; nothing is lost")
            return Outcome(0)
        self._check_processes()
        resume = resumes(self._paths.run)
        reporter = Reporter(self._paths)
        code, lines = self._train(overrides, resume, reporter)
        reporter.close()
        if self._stopped_at and code == -signal.SIGTERM:
            code = 0  # it was told to stop before it had begun, or after it had saved everything
        if code == 0 and self._stopped_at:
            say("the training was stopped and has saved; the same job goes on from there")
        if code == 0 and not self._time_left():
            say("the results are left out, since there is no time left before this host is killed")
            return Outcome(0)
        problem = leave_results(self._paths, whole=code == 0, children=self._children)
        if self._ready.exports and code == 0 and not problem and not self._stopped_at:
            leave_exported(self._paths, self._children)
        if code == 0:
            # A run that was stopped early may have no checkpoint yet, and so no weights to export.
            return Outcome(1, problem) if problem and not self._stopped_at else Outcome(0)
        reason = explain(lines, code)
        if self._lost:
            reason = f"{self._lost}; {reason}"
        if resume and code == 2:
            reason += f" (the run was brought back from S3 to {self._paths.run}; to start anew, use another S3 address)"
        return Outcome(code if code in (1, 2) else 1, reason)

    # ------------------------------------------------------------------------------------------------------- the start

    def _gather(self):
        """Makes the data ready and waits until all hosts are. Returns the overrides that name the data."""
        start_preparing(self._ready, self._events, self._children)
        waiting = set(self._ready.description.hosts)
        me = self._ready.description.current_host
        overrides, start = [], time.monotonic()
        say_at = start + _SAY_SECONDS
        while waiting and not self._stopped_at:
            event = self._next(0.5)
            if event is not None:
                if event.kind == "prepared":
                    overrides = event.content["overrides"]
                    waiting.discard(me)
                elif event.kind == "ready":
                    waiting.discard(event.host)
                elif event.kind == "failed":
                    where = f"{event.host}: " if event.host else ""
                    self._fail(event.content["code"], where + event.content["reason"])
                elif event.kind == LOST:
                    raise JobFailed(f"host {event.host} vanished before the training began; see its log")
            now = time.monotonic()
            if now - start > self._ready.start_seconds:
                raise JobFailed(f"after {now - start:.0f} s these hosts were not ready: {self._states(waiting)}")
            if waiting and now > say_at:
                say(f"waiting for {self._states(waiting)} ({now - start:.0f} s)")
                say_at = now + _SAY_SECONDS
        return overrides

    def _check_processes(self):
        """Raises JobFailed if a host has fewer GPUs than the others: it would go unnoticed, and cost speed or crash."""
        me = self._ready.description.current_host
        counts = {me: self._ready.processes, **(self._link.processes if self._link else {})}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{host} has {counts[host]}" for host in self._ready.description.hosts)
            raise JobFailed(
                f"the hosts have different numbers of GPUs or processes: {told}; if no GPU is broken, set "
                "AWSDET_PROCESSES_PER_HOST"
            )

    def _states(self, waiting):
        """The hosts that are waited for, and how far they are."""
        missing = set(self._link.missing) if self._link else set()
        how = {host: "not heard of" if host in missing else "preparing data" for host in waiting}
        return ", ".join(f"{host} ({how[host]})" for host in self._ready.description.hosts if host in waiting)

    def _fail(self, code, reason):
        raise (UserError if code == 2 else JobFailed)(reason)

    def _next(self, seconds):
        """The next Event, or None. Notes a stop."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return None
        if event.kind == "stop" and not self._stopped_at:
            self._stopped_at = time.monotonic()
            say(f"{event.host or 'this host'} was told to stop")
        return event

    # ---------------------------------------------------------------------------------------------------- the training

    def _train(self, overrides, resume, reporter):
        """Trains on all hosts. Returns (exit code, last lines)."""
        command = self._command(overrides, resume)
        say(f"starting: {' '.join(command)}")
        self._paths.output.mkdir(parents=True, exist_ok=True)
        log = self._paths.output / "train.log"
        launcher = Child(command, lambda code: self._events.put(Event("", "ended", {"code": code})), log)
        self._children.add(launcher)
        told = False
        while True:
            event = self._next(1)
            reporter.report()
            if event is not None and event.kind == "ended":
                self._children.discard(launcher)
                return event.content["code"], list(launcher.tail)
            if event is not None and event.kind == LOST and not self._lost:
                self._lost = f"host {event.host} vanished: its connection broke or it was silent"
                say(f"{self._lost}; the launcher ends the job")
                self._kill_at = self._kill_at or time.monotonic() + 2 * self._ready.lost_seconds + 30
            if self._stopped_at and not told:
                told = True  # once: a second signal would make the launcher kill
                launcher.signal(signal.SIGTERM)
                self._kill_at = self._stopped_at + _STOP_SECONDS
            if self._kill_at and time.monotonic() > self._kill_at:
                say("the launcher did not end in time; killing it")
                launcher.kill()
                self._kill_at = None

    def _command(self, overrides, resume):
        ready, description = self._ready, self._ready.description
        train = [f"--config={ready.settings.file}", f"--output={ready.paths.run}", *(["--resume"] if resume else [])]
        train += [f"--config.{override}" for override in (*ready.settings.overrides, *overrides)]
        hosts = description.hosts
        if len(hosts) == 1 and ready.processes == 1:
            return awsdet("train", *train)
        return launch_command(
            [f"{host}:{ready.processes}" for host in hosts] if len(hosts) > 1 else [f"localhost:{ready.processes}"],
            train,
            interface=self._interface(),
            port=ready.ssh_port,
            identity=self._keys / "key" if self._keys else "",
            lost_seconds=ready.lost_seconds,
        )

    def _interface(self):
        """The interface that SageMaker names, if it is there and needed; otherwise the launcher finds one."""
        name = self._ready.description.interface
        if len(self._ready.description.hosts) == 1 or not name:
            return ""
        if name not in psutil.net_if_addrs():
            say(f"resourceconfig.json names the interface {name}, which is not there; the launcher looks for one")
            return ""
        return name

    def _time_left(self):
        return not self._stopped_at or time.monotonic() < self._stopped_at + _RESULTS_BEFORE


def launch_command(hosts, train, interface, port, identity, lost_seconds):
    """The command that trains on all hosts; it makes sure that all processes take part.

    Args:
        hosts: list of "name:processes". train: flags of `awsdet train`. interface: "" to leave it to the launcher.
        port: of the hosts' SSH servers. identity: private key. lost_seconds: see `awsdet launch`.
    """
    flags = [f"--stop-seconds={_SAVE_SECONDS}", f"--lost-seconds={lost_seconds}"]
    engine = os.environ.get("AWSDET_ENGINE")
    flags += [f"--engine={engine}"] if engine else []
    flags += [f"--interface={interface}"] if interface else []
    flags += [f"--ssh-port={port}", f"--ssh-identity={identity}"] if identity else []
    return awsdet("launch", *flags, ",".join(hosts), "train", *train)
