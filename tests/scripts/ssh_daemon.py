"""An sshd of this test run's own: its keys, its port, no password, ended with the test."""

import os
import pathlib
import shutil
import socket
import subprocess
import time

SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing():
    """Why no sshd can be started here; empty if one can."""
    absent = [name for name in ("sshd", "ssh", "ssh-keygen") if shutil.which(name, path=SEARCHED) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: openssh-server)"
    return "" if os.geteuid() == 0 else "an sshd that starts processes needs root here"


class SshDaemon:
    """Listens on all loopback addresses. Attributes: port; identity, the private key that it takes."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # Debian's sshd wants it
        for name in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        self.identity = folder / "id"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        options = {
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "id.pub",
            "PidFile": "none",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            "UsePAM": "no",
            "PermitRootLogin": "prohibit-password",
        }
        command = [shutil.which("sshd", path=SEARCHED), "-D", "-e", "-p", str(self.port), "-f", "/dev/null"]
        command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        self._log = (folder / "sshd.log").open("w")
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.2", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError((folder / "sshd.log").read_text())

    def stop(self):
        """Ends the daemon."""
        self._process.terminate()
        self._process.wait(10)
        self._log.close()
