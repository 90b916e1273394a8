"""Addresses and network interfaces of this machine."""

import ipaddress
import socket

import psutil

from awsdet.runtime.errors import UserError

LOOPBACK = "127.0.0.1"


def address_towards(host: str) -> str:
    """The address of this machine from which it reaches `host`. Raises UserError if the name cannot be resolved."""
    try:
        address = socket.gethostbyname(host)
    except OSError as error:
        raise UserError(
            f"host {host} has no address ({error.strerror or error}); correct its name, or add it to /etc/hosts"
        ) from error
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))  # of a datagram socket: sends nothing, only chooses the route
        except OSError as error:
            raise UserError(f"there is no route to host {host} ({address}): {error.strerror}") from error
        return probe.getsockname()[0]


def address_of_host(host: str) -> str | None:
    """The IPv4 address of a host name; None if it has none."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return None


def is_local(host: str) -> bool:
    """Whether a name or address stands for this machine. False if the name cannot be resolved.

    Of 127.0.0.0/8 only 127.0.0.1 does, and what this machine's own name has: often 127.0.1.1 on Debian. Another address
    may lead to an sshd in a container, and horovodrun uses ssh for it too.
    """
    address = address_of_host(host)
    if address is None or any(address == own for _, own in addresses()):
        return address is not None
    return address.startswith("127.") and address == address_of_host(socket.gethostname())


def interface_of(address: str) -> str | None:
    """The name of the interface that has an IPv4 address; None if this machine has none."""
    for name, found in psutil.net_if_addrs().items():
        for entry in found:
            if entry.family == socket.AF_INET and address == entry.address:
                return name
            if entry.family == socket.AF_INET and address.startswith("127.") and entry.address == LOOPBACK:
                return name
    return None


def addresses() -> list[tuple[str, str]]:
    """(interface, IPv4 address) of this machine."""
    return [
        (name, entry.address)
        for name, found in psutil.net_if_addrs().items()
        for entry in found
        if entry.family == socket.AF_INET
    ]


def address_of(interface: str) -> str:
    """The IPv4 address of an interface. Raises UserError if there is no such interface or it has none."""
    found = psutil.net_if_addrs()
    if interface not in found:
        raise UserError(f"this machine has no network interface {interface}; it has {', '.join(sorted(found))}")
    for entry in found[interface]:
        if entry.family == socket.AF_INET:
            return entry.address
    raise UserError(f"network interface {interface} has no IPv4 address; name another one")


def subnet_of(address: str) -> str | None:
    """The network of one of this machine's addresses, as in "10.0.0.0/24"; None if no interface has the address."""
    for found in psutil.net_if_addrs().values():
        for entry in found:
            if entry.family == socket.AF_INET and entry.address == address and entry.netmask:
                return str(ipaddress.ip_network(f"{address}/{entry.netmask}", strict=False))
    return None
