"""One writer at a time for a folder: a lock file that says who writes, and how others tell whether that is still true.

    run.lock                JSON: host, process, when it started, …; its time of change is the last sign of life
    run.lock.<token>        held for an instant by the one that takes over from the owner with this token

The owner touches its lock every 2 s. Another process that finds a lock judges it so:

- Owner on this machine, in this namespace of process numbers: it lives if its process does (a number that was given to
  a newer process does not count). So a run that was killed can be started again at once.
- Owner was an earlier attempt of this Slurm job: dead, since Slurm ends an attempt before it starts the next.
- A rank of the same elastic job: the caller knows the lock's token and takes over at once. So another rank goes on
  writing when rank 0 is lost.
- Any other: another host of a shared file system, another container (a restarted pod has another host name, or the same
  name and other process numbers), a machine that was started anew. It lives if its signs of life go on. It is dead once
  there was none for 30 s, by the clock of the file system. A process that starts in between waits until then.

A lock is made by a hard link, or where there are none by exclusive creation, both of which are atomic on NFS too. Of
several processes that find a dead owner, the one that makes `run.lock.<token>` takes over. Locks of the kernel (flock)
are not used: NFS, FUSE and containers each have their own idea of them.
"""

import contextlib
import datetime
import errno
import json
import os
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from absl import logging

from awsdet.runtime.errors import UserError

_LINKLESS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Pulse(NamedTuple):
    """beat: seconds between two signs of life. lost: without one for so many seconds, the owner is dead."""

    beat: float = 2.0
    lost: float = 30.0


PULSE = Pulse()


class Claim(NamedTuple):
    """Who writes. An unknown number is -1, an unknown text empty."""

    token: str
    host: str = ""
    boot: str = ""  # of the machine, since it was started
    namespace: str = ""  # of process numbers: that of the container
    process: int = -1
    started: int = -1  # by the clock of /proc, to tell processes of one number apart
    job: str = ""  # of Slurm
    attempt: int = -1  # of that job
    since: str = ""

    @classmethod
    def of_this_process(cls) -> "Claim":
        """A new claim of this process."""
        return cls(
            secrets.token_hex(8),
            socket.gethostname(),
            _boot(),
            _namespace(),
            os.getpid(),
            -1 if (started := _started(os.getpid())) is None else started,
            os.environ.get("SLURM_JOB_ID", ""),
            int(os.environ.get("SLURM_RESTART_COUNT") or 0),
            datetime.datetime.now().isoformat(" ", "seconds"),
        )

    def lives(self) -> bool | None:
        """Whether the process lives; None if that cannot be seen from here."""
        if self.boot and (self.boot, self.namespace) == (_boot(), _namespace()):
            return _is_running(self.process, self.started)
        own = Claim.of_this_process()
        if self.job and self.job == own.job and self.attempt < own.attempt:
            return False
        return None


class Ownership:
    """A lock that this process holds; see `acquire`. token: tells this lock from all others."""

    def __init__(self, path: pathlib.Path, token: str, pulse: Pulse):
        self.path, self.token = path, token
        self._descriptor = os.open(path, os.O_RDWR)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(pulse.beat,), daemon=True, name="lock")
        self._thread.start()

    def is_mine(self) -> bool:
        """Whether nobody else has taken the lock, as one may that has seen no sign of life of this process."""
        claim = _read(self.path)
        return claim is not None and claim.token == self.token

    def release(self) -> None:
        """Gives the lock back. Does nothing the second time."""
        if self._over.is_set():
            return
        self.drop()
        with contextlib.suppress(OSError):  # the next one finds that this process has ended
            if self.is_mine():
                self.path.unlink()

    def drop(self) -> None:
        """Stops the signs of life, since another process has taken over; the lock file stays."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            os.close(self._descriptor)

    def _beat(self, seconds):
        while not self._over.wait(seconds):
            with contextlib.suppress(OSError):  # a moment without the file system is no reason to stop
                os.utime(self._descriptor)


def acquire(path: str | os.PathLike, what: str, known: Collection[str] = (), pulse: Pulse = PULSE) -> Ownership:
    """Takes the lock at `path`, whose folder exists.

    Args:
        path: the lock file.
        what: it protects, for errors, as in "output runs/mine".
        known: tokens of owners that have made room for this process.
        pulse: the same for all processes.

    Raises UserError if another process holds it, OSError if it cannot be written.
    """
    path, claim = pathlib.Path(path), Claim.of_this_process()
    while not _create(path, claim):
        owner = _read(path)
        if owner is None:  # given back in the meantime
            continue
        if owner.token not in known:
            _refuse_living(path, owner, what, pulse)
        taking = acquire(path.with_name(f"{path.name}.{owner.token}"), what, pulse=pulse)
        try:
            if _read(path) == owner:
                _replace(path, claim)
                break
        finally:
            taking.release()
    return Ownership(path, claim.token, pulse)


def check_free(path: str | os.PathLike, what: str, pulse: Pulse = PULSE) -> None:
    """Raises UserError if another process holds the lock at `path`, which need not exist. Takes nothing."""
    path = pathlib.Path(path)
    owner = _read(path)
    if owner is not None:
        _refuse_living(path, owner, what, pulse)


def last_sign(path: str | os.PathLike) -> float | None:
    """When the owner of the lock at `path` gave its last sign of life, in seconds by the clock of the file system.

    None if there is no lock. Raises OSError.
    """
    try:
        with open(path, "rb") as file:  # NFS asks its server when a file is opened
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None


def _refuse_living(path, owner, what, pulse):
    """Returns once the owner is known to be dead. Raises UserError if it lives."""
    lives = owner.lives()
    if lives is None:
        lives = _gives_signs(path, owner, what, pulse)
    who = f"process {owner.process} on host {owner.host or '(unknown)'}"
    if not lives:
        logging.info("%s: taking over from %s, which has ended without giving it back", what, who)
        return
    removal = "" if owner.lives() else f"; if you know that it no longer runs, remove {path}"
    raise UserError(
        f"{what} is being written by another run ({who}, since {owner.since or 'an unknown time'}); stop that one, or "
        f"wait for its end, or give another folder{removal}"
    )


def _gives_signs(path, owner, what, pulse):
    """Whether an owner that cannot be seen touches its lock. Waits for the time that is left to it, if it must."""
    last = _touched(path, owner)
    if last is None:
        return False
    left = pulse.lost - (_now(path.parent) - last)
    if left > pulse.beat:
        logging.info("%s: waiting up to %.0f s for a sign of life of host %s", what, left, owner.host or "(unknown)")
    limit = time.monotonic() + left
    while time.monotonic() < limit:
        time.sleep(min(pulse.beat / 4, max(limit - time.monotonic(), 0)))
        again = _touched(path, owner)
        if again is None:
            return False
        if again != last:
            return True
    return False


def _touched(path, owner):
    """When a lock was touched, in seconds; None if it is no longer this owner's."""
    try:
        with path.open("rb") as file:  # NFS asks its server when a file is opened
            claim = _parsed(file.read())
            return os.fstat(file.fileno()).st_mtime if claim == owner else None
    except FileNotFoundError:
        return None


def _now(folder):
    """The time by the clock of the file system, in seconds."""
    path = folder / f".clock-{secrets.token_hex(4)}"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, b"1")
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        path.unlink()


def _create(path, claim):
    """Makes the lock in one instant. Returns False if there is one."""
    with _beside(path, claim) as new:
        try:
            os.link(new, path)
            return True
        except FileExistsError:
            return os.stat(new).st_nlink == 2  # an answer of NFS was lost, and the question came twice
        except OSError as error:
            if error.errno not in _LINKLESS:
                raise
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with open(descriptor, "wb") as file:
            file.write(_written(claim))
        return True


def _replace(path, claim):
    with _beside(path, claim) as new:
        os.replace(new, path)


@contextlib.contextmanager
def _beside(path, claim) -> Iterator[pathlib.Path]:
    new = path.with_name(f".{path.name[:40]}-{claim.token}")
    try:
        new.write_bytes(_written(claim))
        yield new
    finally:
        new.unlink(missing_ok=True)


def _written(claim):
    return json.dumps(claim._asdict(), indent=1).encode()


def _read(path):
    """The Claim in a lock; None if there is none. A damaged or half-written one is a Claim that says nothing."""
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        return None


def _parsed(content: bytes) -> Claim:
    try:
        found: Any = json.loads(content)
        claim = Claim(**found)
        kinds = [type(default) for default in Claim("")]
        return claim if [type(value) for value in claim] == kinds and claim.token.isalnum() else Claim("damaged")
    except (ValueError, TypeError):
        return Claim("damaged")


def _boot():
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace():
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _is_running(process, started):
    if process < 1:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    now = _started(process)
    return now is None or started < 0 or now == started


def _started(process):
    """When a process started, in ticks of the machine's clock; -1 if it is dead and only not yet buried. None if that
    cannot be seen."""
    try:
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    return -1 if fields[0] in "ZX" else int(fields[19])
