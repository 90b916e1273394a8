"""Launches a program on hosts as an elastic job: launch_program.py HOSTS LOST_SECONDS PROGRAM ARGUMENTS …"""

import sys

from awsdet.cli.launch import show
from awsdet.launch import network
from awsdet.launch.discovery import write_discovery
from awsdet.launch.engines import Elastic, Plan
from awsdet.launch.hosts import parse_hosts
from awsdet.launch.job import Job
from awsdet.launch.remote import Ssh

text, lost_seconds, *command = sys.argv[1:]
hosts = parse_hosts(text)
count = sum(host.slots for host in hosts)
elastic = Elastic(1, count, count, write_discovery(text, hosts), return_seconds=(1, 2))
address = network.address_towards(hosts[-1].name)
plan = Plan("gloo", hosts, [sys.executable, *command], address, Ssh(), elastic, lost_seconds=float(lost_seconds))
sys.exit(Job(plan, show, stop_seconds=30).run())
