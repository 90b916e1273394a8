"""Which addresses are this machine."""

import socket

import pytest

from awsdet.launch import network


@pytest.mark.parametrize(
    "host, expected",
    [
        ("127.0.0.1", True),
        ("named", True),  # as this machine is by /etc/hosts
        ("127.0.1.1", True),
        ("127.0.0.2", False),  # may be that of a container
        ("192.0.2.7", False),
        ("unknown", False),
    ],
)
def test_hosts_that_are_this_machine(monkeypatch, host, expected):
    def resolve(name):
        names = {"named": "127.0.1.1", "unknown": None}
        address = names.get(name, name)
        if address is None:
            raise socket.gaierror(-2, "Name or service not known")
        return address

    monkeypatch.setattr(socket, "gethostname", lambda: "named")
    monkeypatch.setattr(socket, "gethostbyname", resolve)
    assert network.is_local(host) is expected


def test_addresses_of_this_machine_are_local():
    found = network.addresses()
    assert ("lo", "127.0.0.1") in found and all(network.is_local(address) for _, address in found)
