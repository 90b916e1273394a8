"""Looks for what would go wrong before a job starts: probes all hosts at the same time and compares their reports."""

import concurrent.futures
import contextlib
import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from awsdet.launch import network, remote
from awsdet.launch.hosts import Host
from awsdet.launch.remote import Ssh

_PROBE_SECONDS = 60.0
_MOST_AT_ONCE = 64
_SSH_PORT = 22
_PEERS = 7  # how many other hosts each host tries to reach
_CLOCK_SECONDS = 5.0
_BUSY_MB = 2000  # a GPU with more memory in use belongs to somebody else
_LEAST_FREE_BYTES = 2e9  # a few checkpoints of a ResNet-50 detector
# Families of EC2 instances whose larger sizes have EFA.
_EFA_FAMILIES = ("p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "p6", "g4dn", "g5", "g6", "g6e", "g7e", "trn", "dl1")
_EFA_SIZES = ("24xlarge", "32xlarge", "48xlarge", "metal")
_SAME = "install the same commit of awsdet on all hosts and run make setup there"


class Question(NamedTuple):
    """What a job needs on its hosts.

    config, output, checkpoint: paths, or "". records: folders of records. launcher: the address and port that hosts
    must reach. visible_gpus: the CUDA_VISIBLE_DEVICES of the ranks, or None. needs_mpi: whether Horovod must have MPI.
    peers: (name, address, port) of the hosts that a host should reach; `examine` fills it in.
    """

    config: str = ""
    output: str = ""
    records: Sequence[str] = ()
    launcher: tuple[str, int] | None = None
    visible_gpus: str | None = None
    checkpoint: str = ""
    needs_mpi: bool = False
    peers: Sequence[tuple[str, str, int]] = ()


class Finding(NamedTuple):
    """Something that is wrong. is_error: whether the job cannot start with it; otherwise it is a warning."""

    is_error: bool
    text: str


class Examination(NamedTuple):
    """The reports of the hosts that answered, by name (see `probe`), and what is wrong."""

    reports: dict[str, dict]
    findings: list[Finding]

    @property
    def errors(self) -> list[str]:
        """The texts of the errors."""
        return [finding.text for finding in self.findings if finding.is_error]


def examine(hosts: Sequence[Host], ssh: Ssh, question: Question) -> Examination:
    """Probes all hosts, and compares them with the first one that answers.

    Config, records and checkpoint of a single host are not looked at, since the command itself says more about them.
    """
    if len(hosts) == 1:
        question = question._replace(config="", records=(), checkpoint="")
    with _listening(question) as asked:
        with concurrent.futures.ThreadPoolExecutor(min(len(hosts), _MOST_AT_ONCE)) as pool:
            answers = list(pool.map(lambda at: _ask(hosts, at, ssh, asked), range(len(hosts))))
    reports, findings = {}, []
    for host, answer in zip(hosts, answers):
        if isinstance(answer, str):
            findings.append(Finding(True, answer))
        else:
            reports[host.name] = answer
    present = [host for host in hosts if host.name in reports]
    return Examination(reports, findings + compare(present, reports, question))


def compare(hosts: Sequence[Host], reports: Mapping[str, dict], question: Question) -> list[Finding]:
    """What is wrong with hosts that answered, in the order of the hosts."""
    findings = []
    for host in hosts:
        report, first = reports[host.name], reports[hosts[0].name]
        findings += _of_one(host, report)
        findings += _of_data(host.name, report, hosts[0].name, first, question)
        if host is not hosts[0]:
            findings += _of_versions(host.name, report, hosts[0].name, first)
    return findings


def table(hosts: Sequence[Host], reports: Mapping[str, dict]) -> list[str]:
    """The reports as lines of a table."""
    rows = [("host", "processes", "awsdet", "TensorFlow", "Horovod", "GPUs", "address", "EFA", "memory")]
    for host in hosts:
        report = reports.get(host.name)
        if report is None:
            rows.append((host.name, str(host.slots), *("-" * 7)))
            continue
        packages, gpus = report["packages"], report["gpus"]
        efa = f"{report['efa']}{'' if report['nccl_plugin'] else ' without plug-in'}" if report["efa"] else "none"
        rows.append(
            (
                host.name,
                str(host.slots),
                f"{packages['awsdet']} ({report['sources'][:7]})",
                packages.get("tensorflow") or "none",
                packages["horovod"] or "none",
                "none" if gpus is None else str(len(gpus)),
                " ".join(a for a in report["addresses"].values() if not a.startswith("127.")) or "127.0.0.1",
                efa,
                f"{report['memory_gb']:.0f} GB",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


# --------------------------------------------------------------------------------------------------------- one host


def _ask(hosts, at, ssh, question):
    """The report of the host at an index, or why there is none."""
    host = hosts[at]
    asked = question._replace(peers=_peers(hosts, at, ssh.port or _SSH_PORT))
    if at:
        asked = asked._replace(output="")  # only rank 0 writes
    command = [sys.executable, "-m", "awsdet.launch.probe", json.dumps(asked._asdict())]
    start = time.time()
    answer = remote.run(host.name, command, ssh, _PROBE_SECONDS)
    if answer.code is None:
        return f"host {host.name} {answer.error}"
    if answer.code in (126, 127):
        return f"host {host.name} has no {sys.executable}: awsdet must be installed at the same path on each host"
    try:
        report = json.loads(answer.out.splitlines()[-1])
    except (IndexError, ValueError):
        said = (answer.err.strip() or answer.out.strip() or f"code {answer.code}").splitlines()[-1]
        return f"host {host.name} cannot run awsdet ({said}): {_SAME}"
    # The clock was read at some time between the question and the answer.
    report["clock_ahead"] = max(0.0, report["clock"] - time.time()) or min(0.0, report["clock"] - start)
    return report


def _peers(hosts, at, port):
    """Those that a host tries to reach: the next few, so that all pairs are tried only in small clusters."""
    following = [hosts[(at + step) % len(hosts)].name for step in range(1, min(_PEERS + 1, len(hosts)))]
    addresses = [(name, network.address_of_host(name)) for name in following]
    return [(name, address, port) for name, address in addresses if address and not address.startswith("127.")]


@contextlib.contextmanager
def _listening(question):
    """A context in which a port is open at the launcher's address; gives the question with that port."""
    if question.launcher is None:
        yield question
        return
    with socket.create_server((question.launcher[0], 0), backlog=256) as listener:
        yield question._replace(launcher=listener.getsockname()[:2])


# ------------------------------------------------------------------------------------------------------------- rules


def _of_one(host, report):
    """What is wrong with a host by itself."""
    name, gpus = host.name, report["gpus"]
    if not report["own_name_resolves"]:
        own = next((a for a in report["addresses"].values() if not a.startswith("127.")), "127.0.0.1")
        yield _error(
            f"host {name} cannot resolve its own name {report['host']}: add '{own} {report['host']}' to its /etc/hosts"
        )
    if report["reaches_launcher"] not in (None, True):
        yield _error(
            f"host {name} cannot reach the launcher ({report['reaches_launcher']}): let all traffic between the hosts "
            "through the firewall or security group, or name another --interface"
        )
    if report["unreached"]:
        # No error: a firewall may let through what the processes use, but not ssh.
        yield _warning(
            f"host {name} gets no answer from {', '.join(report['unreached'])}: let all traffic between the hosts "
            "through the firewall or security group"
        )
    if not report["packages"]["horovod"]:
        yield _error(f"host {name} has no Horovod: run make setup there")
    elif report["horovod_mpi"] is False:
        yield _error(
            f"the Horovod of host {name} was built without MPI: install Open MPI there and run make setup again, or "
            "use --engine=gloo"
        )
    if report["operators"] is None:
        yield _error(f"host {name} has no compiled operators: run make setup there")
    if gpus is not None and len(gpus) < host.slots:
        yield _error(f"host {name} has {len(gpus)} GPU(s) for {host.slots} processes: write {name}:{len(gpus)}")
    for index, used in enumerate((gpus or [])[: host.slots]):
        if used > _BUSY_MB:
            # No error: who shares a machine knows whether the rest of the memory will do.
            yield _warning(
                f"GPU {index} of host {name} is in use ({used} MB): end what runs there, as nvidia-smi shows it, or "
                "choose others by CUDA_VISIBLE_DEVICES"
            )
    if abs(report["clock_ahead"]) > _CLOCK_SECONDS:
        ahead = report["clock_ahead"]
        yield _warning(
            f"the clock of host {name} is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}: start chrony there"
        )
    yield from _of_efa(name, report)


def _of_efa(name, report):
    family, _, size = (report["instance_type"] or "").partition(".")
    if report["efa"] and report["gpus"] and not report["nccl_plugin"]:
        yield _warning(
            f"host {name} has EFA, but no NCCL plug-in for it was found, so NCCL would use TCP: install aws-ofi-nccl"
        )
    if not report["efa"] and family.startswith(_EFA_FAMILIES) and size.startswith(_EFA_SIZES):
        yield _warning(
            f"host {name} ({family}.{size}) could have EFA, but shows none, so NCCL uses TCP: attach an EFA interface"
        )


def _of_data(name, report, first_name, first, question):
    """What is wrong with the files that the job needs."""
    if question.config and report["config"] is None:
        yield _error(f"config {question.config} is missing on host {name}: copy it there, to the same path")
    elif question.config and first["config"] and report["config"] != first["config"]:
        yield _error(f"config {question.config} on host {name} differs from that on {first_name}: copy it there")
    if question.checkpoint and report["checkpoint"] is None:
        yield _error(
            f"checkpoint {question.checkpoint} is missing on host {name}: copy it there, to the same path, or use a "
            "shared disk"
        )
    elif question.checkpoint and first["checkpoint"] and report["checkpoint"] != first["checkpoint"]:
        yield _error(f"checkpoint {question.checkpoint} on host {name} is another than on {first_name}: copy it again")
    for path, digest in report["records"].items():
        if digest is None:
            yield _error(
                f"records {path} are missing on host {name}: copy them there, to the same path, or use a shared disk"
            )
        elif first["records"][path] and digest != first["records"][path]:
            yield _error(f"records {path} on host {name} are others than on {first_name}: copy them again")
        elif report["broken_shards"][path]:
            shards = report["broken_shards"][path]
            which = f"{shards[0]}{f' and {len(shards) - 1} more' if shards[1:] else ''}"
            yield _error(f"records {path} on host {name} are not complete ({which}): copy them again")
    if report["output"] is not None:
        writable, free = report["output"]
        if writable is not True:
            yield _error(f"output {question.output} cannot be written on host {name}: {writable}")
        elif free < _LEAST_FREE_BYTES:
            yield _warning(
                f"output {question.output} on host {name} has only {free / 1e9:.1f} GB left: make room for checkpoints"
            )


def _of_versions(name, report, first_name, first):
    """What a host has in other versions than the first one."""
    differing = [
        f"{package} {report['packages'].get(package) or 'missing'} ({version or 'missing'} on {first_name})"
        for package, version in first["packages"].items()
        if report["packages"].get(package) != version
    ]
    if report["python"].rsplit(".", 1)[0] != first["python"].rsplit(".", 1)[0]:
        differing.append(f"Python {report['python']} ({first['python']} on {first_name})")
    if differing:
        yield _error(f"host {name} has {', '.join(differing)}: {_SAME}")
    elif report["sources"] != first["sources"]:
        yield _error(
            f"host {name} has other sources of awsdet {report['packages']['awsdet']} than {first_name}: {_SAME}"
        )
    elif report["operators"] and report["operators"] != first["operators"]:
        yield _warning(
            f"the operators on host {name} are another build than on {first_name}: fine if both are of one commit"
        )
    if (report["gpus"] is None) != (first["gpus"] is None):
        without, other = (name, first_name) if report["gpus"] is None else (first_name, name)
        yield _error(f"host {without} shows no GPU, but {other} does: check nvidia-smi and the driver there")


def _error(text: str) -> Finding:
    return Finding(True, text)


def _warning(text: str) -> Finding:
    return Finding(False, text)
