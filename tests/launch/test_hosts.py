"""Host lists and host files, as users of horovodrun, Open MPI and Kubernetes write them."""

import pytest

from awsdet.launch.hosts import Host, host_list, is_file, parse_hosts, parse_lines, rank_hosts
from awsdet.runtime.errors import UserError


@pytest.mark.parametrize(
    "text, hosts",
    [
        ("h1:8,h2:4", [("h1", 8), ("h2", 4)]),
        (" h1:8 , 10.0.0.2:1,", [("h1", 8), ("10.0.0.2", 1)]),
        ("ip-10-0-0-1.ec2.internal:2", [("ip-10-0-0-1.ec2.internal", 2)]),
    ],
)
def test_lists(text, hosts):
    assert parse_hosts(text) == hosts
    assert host_list(parse_hosts(text)) == ",".join(f"{name}:{slots}" for name, slots in hosts)


def test_file_in_every_style(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("# two machines\nh1 slots=8  # the first\nh2:4\n\nh3 2\nh4 slots = 3 max_slots=9\nh5\n")
    assert parse_hosts(str(file), slots=6) == [("h1", 8), ("h2", 4), ("h3", 2), ("h4", 3), ("h5", 6)]


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "names no host"),
        (" , ", "names no host"),
        ("h1", "h1 has no number of processes; write h1:8"),
        ("h1:0", "h1 has 0 processes"),
        ("h1:-2", "h1 has -2 processes"),
        ("h1:eight", "'h1:eight' is not a host"),
        ("h1:8:2", "'h1:8:2' is not a host"),
        ("me@h1:8", "user name belongs in ~/.ssh/config"),
        ("-oProxyCommand=x:8", "is not a host"),
        ("h1:2,h2:2,h1:2", "names h1 more than once"),
        ("nowhere/hosts.txt", "host file nowhere/hosts.txt does not exist"),
    ],
)
def test_mistakes(text, says):
    with pytest.raises(UserError, match="^[^\n]*$") as caught:
        parse_hosts(text)
    assert says in str(caught.value)


def test_own_numbers_come_before_slots_and_nothing_is_fine_for_a_discovery():
    assert parse_hosts("h1:2,h2", slots=8) == [("h1", 2), ("h2", 8)]
    assert parse_lines([], "the program") == []


def test_list_that_is_too_long_for_the_name_of_a_file():
    names = [f"ip-10-0-12-{number}.us-west-2.compute.internal" for number in range(100)]
    hosts = parse_hosts(",".join(f"{name}:8" for name in names))
    assert [host.name for host in hosts] == names
    assert not is_file("h1:8,h2:8") and is_file(__file__)


def test_hosts_of_the_ranks():
    assert rank_hosts([Host("h1", 2), Host("h2", 1)]) == ["h1", "h1", "h2"]


def test_files_that_are_not_text_or_have_a_mark(tmp_path):
    file = tmp_path / "hosts"
    file.write_bytes("h1:2\n".encode("utf-8-sig"))
    assert parse_hosts(str(file)) == [("h1", 2)]
    file.write_bytes("h1:2\n".encode("utf-16"))
    with pytest.raises(UserError, match="cannot be read as text"):
        parse_hosts(str(file))
