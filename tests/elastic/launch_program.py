"""Launches a program as an elastic job: launch_program.py '{"hosts": …}' PROGRAM ARGUMENTS …

The first argument is JSON: `hosts`, a list of hosts; `lost_seconds`; `script`, the program that prints the hosts; and
other fields of Elastic, where they differ.
"""

import json
import sys

from awsdet.cli.launch import show
from awsdet.launch import network
from awsdet.launch.discovery import write_discovery
from awsdet.launch.engines import Elastic, Plan
from awsdet.launch.hosts import parse_hosts
from awsdet.launch.job import Job
from awsdet.launch.remote import Ssh

given, command = json.loads(sys.argv[1]), sys.argv[2:]
text, lost_seconds = given.pop("hosts"), given.pop("lost_seconds", 60)
hosts = parse_hosts(text)
count = sum(host.slots for host in hosts)
script = given.pop("script", None) or write_discovery(text, hosts)
elastic = Elastic(**{"least": 1, "most": count, "first": count, "script": script, "return_seconds": (1, 2), **given})
address = network.address_towards(hosts[-1].name)
plan = Plan("gloo", hosts, [sys.executable, *command], address, Ssh(), elastic, lost_seconds=lost_seconds)
sys.exit(Job(plan, show, stop_seconds=30).run())
