"""The SSH server of a host, and where the keys of a job lie."""

import os
import pathlib
import socket

import pytest

from tests.sagemaker.fake_jobs import need_programs

import container_base  # isort: skip
import container_ssh  # isort: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for keys, as a user who may not write to /run gets it."""
    home = tmp_path / "home"
    (home / "awsdet").mkdir(parents=True)
    (home / "awsdet" / "clone").touch()
    monkeypatch.setenv("HOME", str(home))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != "/run" and access(path, mode))
    return container_ssh.key_folder()


def test_keys_get_a_new_folder_and_nothing_is_removed(folder):
    assert folder.parent == pathlib.Path.home() and folder.name.startswith("awsdet-keys-")
    assert folder.stat().st_mode & 0o777 == 0o700 and container_ssh.key_folder() != folder
    assert (pathlib.Path.home() / "awsdet" / "clone").is_file()


def test_a_home_that_cannot_be_written(folder, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null")
    with pytest.raises(container_base.JobFailed, match="SSH keys can be made in /dev/null"):
        container_ssh.key_folder()


@pytest.fixture
def key(folder):
    need_programs("sshd", "ssh-keygen")
    return container_ssh.make_key(folder / "key")


def test_a_server_starts_and_ends(folder, key):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
    server = container_ssh.SshServer(folder, port, key)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        assert client.recv(4) == b"SSH-"
    server.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.parametrize("kind, address", [(socket.AF_INET, ""), (socket.AF_INET6, "::")])
def test_a_port_that_another_server_holds(folder, key, kind, address):
    """A connection would succeed, and every login would fail later."""
    if kind == socket.AF_INET6 and not socket.has_ipv6:
        pytest.skip("there is no IPv6")
    with socket.create_server((address, 0), family=kind) as other:
        port = other.getsockname()[1]
        with pytest.raises(container_base.JobFailed, match=f"port {port}.*already in use.*AWSDET_SSH_PORT"):
            container_ssh.SshServer(folder, port, key)


def test_variables_that_sshd_cannot_pass_on_are_named(capsys):
    given = {"AWSDET_A": "a b", "NCCL_B": 'say "b"', "FI_C": "c\\d", "HOME": '"', "PATH": "/bin"}
    assert container_ssh.session_variables(given) == '"AWSDET_A=a b" "PATH=/bin"'
    said = capsys.readouterr().out
    assert "lack FI_C, NCCL_B" in said and said.count("\n") == 1 and "HOME" not in said
    container_ssh.session_variables({"PATH": "/bin"})
    assert capsys.readouterr().out == ""
