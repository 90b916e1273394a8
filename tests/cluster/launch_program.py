"""Launches a program instead of awsdet on hosts: launch_program.py ENGINE HOSTS PROGRAM LOST_SECONDS.

What happens to the processes of a job does not depend on what they compute, and a small program starts in a fraction of
the time.
"""

import sys

from awsdet.cli.launch import show
from awsdet.launch import network
from awsdet.launch.engines import Plan
from awsdet.launch.hosts import parse_hosts
from awsdet.launch.job import Job
from awsdet.launch.remote import Ssh

engine, text, program, lost_seconds = sys.argv[1:]
hosts = parse_hosts(text)
address = network.address_towards(hosts[-1].name)
plan = Plan(engine, hosts, [sys.executable, program], address, Ssh(), lost_seconds=float(lost_seconds))
sys.exit(Job(plan, show, stop_seconds=30).run())
