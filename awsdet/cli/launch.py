"""Starts a command on many hosts, watches it, and ends it everywhere: awsdet launch HOSTS COMMAND …

HOSTS is a list such as h1:8,h2:8 or a file with one host per line. COMMAND is train, evaluate or selftest, with its own
flags: awsdet launch h1:8,h2:8 train --config=configs/mask_rcnn_r50_fpn_1x.py --output=/shared/runs/mine. SIGTERM and
Ctrl-C make the ranks save and end; a second signal kills them. Exit codes: 0 done or stopped, 1 failed, 2 a mistake.
"""

import contextlib
import importlib
import os
import signal
import sys

from absl import flags

from awsdet import config as config_module
from awsdet.cli.arguments import define_path, parse
from awsdet.launch import checks, engines, network, remote
from awsdet.launch.discovery import find_program, wait_for_hosts, write_discovery
from awsdet.launch.hosts import is_file, parse_hosts
from awsdet.launch.job import Job
from awsdet.launch.remote import Ssh
from awsdet.runtime.errors import UserError

POSITIONAL = ("hosts",)
COMMANDS = ("train", "evaluate", "selftest")
_ELASTIC = ("min", "max", "reset_limit", "hosts_from", "wait_seconds")
_CHECK_SECONDS = 300.0
_RESUME = "whole checkpoints stay, and the same command with --resume goes on from the newest"


def define(flag_values):
    """Adds the flags of `awsdet launch`."""
    add = {"flag_values": flag_values}
    flags.DEFINE_string("hosts", None, "list or file of hosts; can be given without the flag's name", **add)
    flags.DEFINE_integer("slots", 0, "processes per host, for hosts without a number", lower_bound=0, **add)
    flags.DEFINE_enum("engine", "gloo", list(engines.ENGINES), "gloo: horovodrun; mpi: Open MPI's mpirun", **add)
    flags.DEFINE_string(
        "interface", "", "network interface of this machine; default: the one that leads to the hosts", **add
    )
    flags.DEFINE_integer("ssh_port", 0, "port of sshd on the hosts; 0: that of ~/.ssh/config", lower_bound=0, **add)
    define_path("ssh_identity", "", "private key for ssh; default: that of ~/.ssh/config", flag_values)
    flags.DEFINE_multi_string("env", [], "name of a further environment variable to pass on; can be repeated", **add)
    flags.DEFINE_float("lost_seconds", 30, "a host that is silent for longer is lost", lower_bound=5, **add)
    flags.DEFINE_float("stop_seconds", 90, "how long the ranks may take to save after a signal", lower_bound=1, **add)
    flags.DEFINE_bool("check", False, "only look for what would go wrong; start nothing", **add)
    flags.DEFINE_bool("elastic", False, "go on with fewer or more processes as hosts leave and join", **add)
    flags.DEFINE_integer("min", 0, "elastic: the fewest processes to go on with", lower_bound=0, **add)
    flags.DEFINE_integer("max", 0, "elastic: the most processes; 0: as many as there are", lower_bound=0, **add)
    define_path("hosts_from", "", "elastic: program that prints the present hosts, one per line", flag_values)
    flags.DEFINE_integer(
        "reset_limit", 0, "elastic: how often the world may change; 0: any number", lower_bound=0, **add
    )
    flags.DEFINE_integer("wait_seconds", 600, "elastic: how long to wait for --min processes", lower_bound=1, **add)


def split(arguments):
    """Separates the launcher's arguments from the command: (arguments, command)."""
    for index, argument in enumerate(arguments):
        if argument in COMMANDS:
            return arguments[:index], arguments[index:]
    words = [argument for argument in arguments if not argument.startswith("-")]
    if len(words) > 1:
        raise UserError(
            f"unexpected argument {words[1]}: launch starts {', '.join(COMMANDS)}; separate hosts by commas"
        )
    return arguments, []


def run(flag_values, command):
    """Runs the command on all hosts. Returns the exit code."""
    if not command:
        raise UserError(
            f"the command is missing; write it after the hosts: {', '.join(COMMANDS)} (see awsdet launch --help)"
        )
    if flag_values.elastic and command[0] != "train":
        raise UserError(
            f"{command[0]} cannot go on with other processes, only train can; leave out --elastic and its flags"
        )
    _check_flags(flag_values)
    signals = {number: signal.signal(number, _stop_early) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        plan, code = _prepare(flag_values, command)
    except KeyboardInterrupt:
        show("awsdet launch: stopped before anything was started", True)
        return 1
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
    if code or flag_values.check:
        return code
    trains = command[0] == "train"
    return Job(plan, show, flag_values.stop_seconds, _RESUME if trains else "", saves=trains).run()


def _stop_early(number, frame):
    """Ends the checks, with what they run, as Ctrl-C does."""
    raise KeyboardInterrupt


def _prepare(flag_values, command):
    """(Plan, exit code of the checks)."""
    hosts = _hosts(flag_values)
    given = _given(command)
    elastic = _elastic(flag_values, hosts) if flag_values.elastic else None
    plan = engines.Plan(
        engine=flag_values.engine,
        hosts=hosts,
        command=[sys.executable, "-m", "awsdet.cli.main", *command],
        address=_address(flag_values, hosts),
        ssh=Ssh(flag_values.ssh_port, flag_values.ssh_identity),
        elastic=elastic,
        slots=flag_values.slots,
        extra_env=flag_values.env,
        lost_seconds=flag_values.lost_seconds,
    )
    if elastic is not None and any(word.startswith("--processes=") for word in command):
        raise UserError("--processes contradicts --elastic, under which their number changes; leave it out")
    if command[0] == "train" and elastic is None:
        plan = plan._replace(command=[*plan.command, _processes(command, plan.processes)])
    return plan, _check(plan, _question(command[0], *given), flag_values.check)


def show(text, is_error):
    """Prints a line of a job. If nobody reads it any more (a terminal is gone), the job must not end for that."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr if is_error else sys.stdout, flush=True)


def _check_flags(flag_values):
    """Refuses flags that would do nothing."""
    for name in _ELASTIC:
        if flag_values[name].present and not flag_values.elastic:
            raise UserError(f"--{name.replace('_', '-')} belongs to an elastic job; add --elastic, or leave it out")
    for name in flag_values.env:
        if name not in os.environ:
            raise UserError(
                f"--env={name}: there is no such environment variable; export NAME=VALUE, and give --env=NAME"
            )
    if flag_values.ssh_port > 65535:
        raise UserError(f"--ssh-port={flag_values.ssh_port}: ports end at 65535")
    try:
        os.getcwd()
    except OSError as error:
        raise UserError("the working folder has been removed; change to another one") from error
    engines.check_engine(flag_values.engine, flag_values.elastic, flag_values.ssh_identity)
    if flag_values.ssh_identity and not os.path.isfile(flag_values.ssh_identity):
        raise UserError(f"--ssh-identity={flag_values.ssh_identity}: there is no such file")


def _processes(command, count):
    """The flag by which each rank checks the number of processes. Raises UserError if the command asks for another."""
    values, _ = _given(command)
    if values.processes not in (0, count):
        raise UserError(f"--processes={values.processes}, but the hosts have {count}; leave --processes out")
    return f"--processes={count}"


def _hosts(flag_values):
    if flag_values.hosts and flag_values.hosts_from:
        raise UserError("both HOSTS and --hosts-from are given; use one of them")
    if flag_values.hosts_from:
        say = lambda text: show(f"awsdet launch: {text}", True)  # noqa: E731
        least = flag_values.min or 1
        return wait_for_hosts(flag_values.hosts_from, flag_values.slots, least, flag_values.wait_seconds, say)
    if not flag_values.hosts:
        raise UserError("the hosts are missing; write awsdet launch h1:8,h2:8 train …, or name a file of hosts")
    flag_values.hosts = os.path.expanduser(flag_values.hosts)  # a list of hosts, or a path
    return parse_hosts(flag_values.hosts, flag_values.slots)


def _address(flag_values, hosts):
    """The address at which the hosts reach this machine."""
    if flag_values.interface:
        return network.address_of(flag_values.interface)
    remote = [host.name for host in hosts if not network.is_local(host.name)]
    if remote:
        return network.address_towards(remote[0])
    may_grow = flag_values.elastic and (flag_values.hosts_from or is_file(flag_values.hosts))
    others = [name for name, address in network.addresses() if not address.startswith("127.")]
    if may_grow and len(others) > 1:
        raise UserError(f"all hosts are this machine so far, and others may join: name --interface={'|'.join(others)}")
    return network.address_of(others[0]) if may_grow and others else network.LOOPBACK


def _elastic(flag_values, hosts):
    slots = sum(host.slots for host in hosts)
    least, most = flag_values.min or 1, flag_values.max or 1_000_000
    if least > most:
        raise UserError(f"--min={least} is more than --max={most}")
    if flag_values.hosts and slots < least:
        raise UserError(
            f"--min={least}, but the hosts have only {slots} processes; give more hosts, or a smaller --min"
        )
    script = (
        find_program(flag_values.hosts_from) if flag_values.hosts_from else write_discovery(flag_values.hosts, hosts)
    )
    return engines.Elastic(
        least, most, max(least, min(slots, most)), script, flag_values.reset_limit, flag_values.wait_seconds
    )


def _check(plan, question, show_table):
    """Looks for mistakes before anything is started, so that each is reported once. Returns the exit code."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    question = question._replace(launcher=(plan.address, 0), visible_gpus=visible, needs_mpi=plan.engine == "mpi")
    found = checks.examine(plan.hosts, plan.ssh, question)
    if show_table:
        show("\n".join(checks.table(plan.hosts, found.reports)), False)
    for finding in found.findings:
        show(f"awsdet launch: {'' if finding.is_error else 'warning: '}{finding.text}", True)
    if found.errors:
        return 2
    code = _check_command(plan)
    if code:
        return code
    if show_table:
        show(f"ready for {plan.processes} process(es) on {len(plan.hosts)} host(s)", False)
    return 0


def _given(command):
    """(flags, overrides) of the command. Raises UserError if one is invalid."""
    name, *arguments = command
    module = importlib.import_module(f"awsdet.cli.{name}")
    values = flags.FlagValues()
    module.define(values)
    return values, parse(name, values, arguments, getattr(module, "POSITIONAL", ()))


def _question(name, values, overrides):
    """What a command with these flags needs on the hosts. Raises UserError if its config is invalid."""
    names = ("config", "output", "records", "checkpoint")
    given = {flag: values[flag].value or "" for flag in names if flag in values}
    records = [given["records"]] if given.get("records") else []
    if name == "train" and given["config"]:
        data = config_module.load(given["config"], overrides).data
        records = [path for path in dict.fromkeys((data.train_records, data.eval_records)) if path]
    output = given.get("output", "") if name == "train" else ""
    return checks.Question(given.get("config", ""), output, records, checkpoint=given.get("checkpoint", ""))


def _check_command(plan):
    """Lets the host of rank 0 check the command as the run itself would. Returns the exit code."""
    host = plan.hosts[0]
    command = [*plan.command, "--check", f"--processes-per-host={max(host.slots for host in plan.hosts)}"]
    command += ["--elastic"] if plan.elastic else []
    answer = remote.run(host.name, command, plan.ssh, _CHECK_SECONDS)
    if answer.code is None:
        show(f"awsdet launch: host {host.name} {answer.error}", True)
        return 1
    if answer.code:
        show(answer.err.strip(), True)
    for line in answer.out.splitlines():
        if line.startswith("weights "):  # what would be fetched, and from where
            show(f"awsdet launch: {line}", False)
    return answer.code
