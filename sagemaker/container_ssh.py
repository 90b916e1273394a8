"""The way from the first host to the others: an SSH server on each, for the time of the job.

Keys are made for each job: the first host makes a key pair and sends the public half over the link between the hosts.
So the image holds no key that opens another job's hosts. No passwords, no other users, no forwarding.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import time

import psutil
from container_base import JobFailed

# What a session on another host needs to find its libraries; the launcher passes on what it sets itself.
_PASSED = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "TZ")
_PASSED_PREFIXES = ("AWSDET_", "CUDA_", "NVIDIA_", "NCCL_", "FI_", "OMPI_MCA_", "TF_", "SAGEMAKER_MANAGED_")
_START_SECONDS = 10
_CONFIG = """\
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes yes
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
MaxStartups 1000
UseDNS no
AllowUsers {user}
SetEnv {variables}
"""


def key_folder():
    """A folder for keys that only this user can reach, with no part that others may write to (sshd insists)."""
    base = pathlib.Path("/run") if os.access("/run", os.W_OK) else pathlib.Path.home()
    folder = base / "awsdet"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def make_key(path):
    """Makes a key pair without a passphrase. Returns the public half, one line."""
    done = subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "awsdet", "-f", path], capture_output=True, text=True
    )
    if done.returncode:
        raise JobFailed(f"ssh-keygen failed: {done.stderr.strip()}")
    return path.with_name(path.name + ".pub").read_text().strip()


class SshServer:
    """An SSH server for the user of this process.

    Args:
        folder: see `key_folder`. port: where it listens. public_key: the one that may log in.

    Raises JobFailed if it does not start.
    """

    def __init__(self, folder, port, public_key):
        make_key(folder / "host_key")
        authorized = folder / "authorized_keys"
        authorized.write_text(f"restrict,pty {public_key}\n")
        authorized.chmod(0o600)
        config = folder / "sshd_config"
        user = psutil.Process().username()
        config.write_text(_CONFIG.format(port=port, folder=folder, user=user, variables=session_variables(os.environ)))
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd separates its privileges there
        self._log = folder / "sshd.log"
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise JobFailed("there is no sshd in this image; jobs of more than one host need one")
        with self._log.open("w") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", config], stdout=log, stderr=log)
        self._wait(port)

    def _wait(self, port):
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        said = self._log.read_text().strip().splitlines() or ["it said nothing"]
        self.stop()
        raise JobFailed(f"sshd did not start on port {port}: {said[-1]}")

    def complaints(self):
        """What the server refused, and why: lines of its log."""
        return [line for line in self._log.read_text().splitlines() if "refused" in line or "error" in line][-3:]

    def stop(self):
        """Ends the server and all sessions."""
        try:
            family = [*psutil.Process(self._process.pid).children(recursive=True), psutil.Process(self._process.pid)]
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait()


def session_variables(environment):
    """The text of sshd's SetEnv: variables of this process that its sessions get too."""
    passed = {
        name: value
        for name, value in environment.items()
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and not set(value) & set('"\\\n')
    }
    return " ".join(f'"{name}={value}"' for name, value in sorted(passed.items()))
