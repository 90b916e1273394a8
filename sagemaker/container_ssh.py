"""The way from the first host to the others: an SSH server on each, for the time of the job.

Keys are made for each job: the first host makes a key pair and sends the public half over the link between the hosts.
So the image holds no key that opens another job's hosts. No passwords, no other users, no forwarding.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import psutil
from container_base import JobFailed, say

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
    """A new folder for keys that only this user can reach. Whoever asks for it removes it when the job ends.

    It lies where others can write to none of the folders above it, since sshd insists on that; /tmp would not do.
    """
    base = "/run" if os.access("/run", os.W_OK) else pathlib.Path.home()
    try:
        return pathlib.Path(tempfile.mkdtemp(prefix="awsdet-keys-", dir=base))
    except OSError as error:
        raise JobFailed(f"no folder for the job's SSH keys can be made in {base}: {error.strerror}") from error


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
        # Its own word counts, not a connection: another server may hold the port, for one kind of address or both.
        deadline = time.monotonic() + _START_SECONDS
        said = ""
        while time.monotonic() < deadline and self._process.poll() is None and "already in use" not in said:
            if "Server listening on" in said:
                return
            time.sleep(0.1)
            said = self._log.read_text()
        self.stop()
        said = self.complaints() or self._log.read_text().strip().splitlines() or ["it said nothing"]
        raise JobFailed(f"sshd did not start on port {port}: {said[-1]}; AWSDET_SSH_PORT sets another port")

    def complaints(self):
        """What the server refused, and why: lines of its log."""
        signs = ("refused", "error", "failed: ")
        return [line for line in self._log.read_text().splitlines() if any(sign in line for sign in signs)][-3:]

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
    """The text of sshd's SetEnv: variables of this process that its sessions get too.

    SetEnv has no way to write a quote, a backslash or a line break; variables that hold one are named and left out.
    """
    wanted = {
        name: value for name, value in environment.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    refused = sorted(name for name, value in wanted.items() if set(value) & set('"\\\n'))
    if refused:
        say(f"warning: the ranks of this host lack {', '.join(refused)}: sshd cannot pass on quotes or backslashes")
    return " ".join(f'"{name}={value}"' for name, value in sorted(wanted.items()) if name not in refused)
