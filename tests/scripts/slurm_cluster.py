"""A small Slurm cluster on this machine: munge, one controller, two nodes. All of its files lie in one folder.

Both nodes are this machine. They are called 127.0.0.1 and 127.0.0.2, so that what a job starts on them finds them.
"""

import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "srun")
NODES = ("127.0.0.1", "127.0.0.2")
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
# Slurm starts a job that was requeued once its credentials have expired, by default after two minutes.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=6
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=2
KillWait=30
NodeName=127.0.0.1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=127.0.0.2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Why a cluster cannot be started here; empty if it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


class Cluster:
    """Starts the daemons.

    Attributes: folder, which holds logs and state; environment, in which Slurm's commands find this cluster.
    """

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short: sockets have short paths
        self.folder.chmod(0o755)  # munge wants its socket to be accessible
        self._daemons = []
        (self.folder / "state").mkdir()
        config = self.folder / "slurm.conf"
        host = socket.gethostname().split(".")[0]
        config.write_text(CONFIG.format(host=host, folder=self.folder, ports=free_ports(3)))
        self.environment = {**os.environ, "SLURM_CONF": str(config), "PATH": SEARCHED}
        try:
            self._start_munge()
            self._start("slurmctld", "-D", "-c")
            for node in NODES:
                (self.folder / f"spool-{node}").mkdir(exist_ok=True)
                self._start("slurmd", "-D", "-N", node)
            self._wait_until(lambda: self.run("sinfo", "-h", "-o", "%t").stdout.split() == ["idle"], 30, "idle nodes")
        except BaseException:
            self.stop()
            raise

    def run(self, *command, **options):
        """Runs one of Slurm's commands."""
        return subprocess.run(
            list(map(str, command)), env=self.environment, capture_output=True, text=True, check=False, **options
        )

    def submit(self, folder, *arguments, **variables):
        """Submits a job from `folder`. Returns a Job."""
        environment = {**self.environment, **variables}
        done = subprocess.run(
            ["sbatch", "--parsable", *map(str, arguments)],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        number = int(done.stdout.split(";")[0])
        return Job(self, number, pathlib.Path(folder) / f"awsdet-{number}.log")

    def stop(self):
        """Ends all jobs and daemons."""
        if len(self._daemons) == 2 + len(NODES):
            self.run("scancel", "--full", "--signal=KILL", "--user=root")  # so that no script requeues its job
            self.run("scancel", "--user=root", "--state=PENDING")
            self._wait_until(lambda: not self.run("squeue", "-h").stdout.strip(), 60, "the end of all jobs")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_munge(self):
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = [f"--{name}={self.folder}/munge.{name.split('-')[0]}" for name in ("pid-file", "log-file", "seed-file")]
        self._start("munged", "-F", "-S", self.folder / "munge.socket", f"--key-file={key}", *files)
        self._wait_until((self.folder / "munge.socket").exists, 10, "munge")

    def _start(self, program, *arguments):
        command = [shutil.which(program, path=SEARCHED), *map(str, arguments)]
        with (self.folder / f"{program}.out").open("a") as out:
            self._daemons.append(subprocess.Popen(command, env=self.environment, stdout=out, stderr=out))

    def _wait_until(self, condition, seconds, what):
        deadline = time.monotonic() + seconds
        while not condition():
            logs = "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.[lo]*")))
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{logs}"
            time.sleep(0.2)


class Job:
    """A job of the cluster."""

    def __init__(self, cluster, number, log):
        self._cluster, self.number, self._log = cluster, number, log

    def facts(self):
        """What `scontrol show job` tells: {"JobState": "RUNNING", …}."""
        words = self._cluster.run("scontrol", "show", "job", "--oneliner", self.number).stdout.split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def said(self):
        """What the job has printed."""
        return self._log.read_text() if self._log.is_file() else ""

    def signal(self, name):
        """Sends a signal to the job's script."""
        done = self._cluster.run("scancel", "--batch", f"--signal={name}", self.number)
        assert done.returncode == 0, done.stderr

    def wait(self, condition, seconds=400):
        """Waits until condition(self) holds."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, f"{self.facts()}\n{self.said()}"
            time.sleep(0.3)

    def end(self, seconds=400):
        """Waits for the end. Returns (state, exit code)."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        self.wait(lambda job: job.facts()["JobState"] in ended, seconds)
        facts = self.facts()
        return facts["JobState"], int(facts["ExitCode"].split(":")[0])


def free_ports(count):
    """Numbers of TCP ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
