"""A real sshd on 127.0.0.1 with its own keys and configuration in one folder; it changes no file of the user."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.engines import lacking, require_tool, require_tools
from helpers.outside.ports import free_port

SEPARATION = Path("/run/sshd")  # an sshd of root refuses to start without this empty folder


@dataclass(frozen=True, kw_only=True)
class SshServer:
    """A running server.

    options    of ssh, to log in with the right key
    temporary  TMPDIR of the login
    """

    user: str
    port: int
    folder: Path
    temporary: Path
    process: subprocess.Popen[bytes]

    @property
    def host(self) -> str:
        """The destination for ssh."""
        return f"{self.user}@127.0.0.1"

    def options(self, key: str = "client") -> tuple[str, ...]:
        """Return options that keep ssh from reading the user's own files."""
        known = self.folder / "known_hosts"
        pairs = (f"Port={self.port}", f"IdentityFile={self.folder / key}", f"UserKnownHostsFile={known}")
        return ("-Fnone", *pairs, "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes")


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Yield a server that runs from `folder`; skips with the reason if there can be none, and in CI fails."""
    require_tools("ssh")
    sshd, keygen = require_tool("sshd"), require_tool("ssh-keygen")
    made = _separation()
    try:
        for key in ("server", "client", "stranger"):
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(folder / key)], check=True)
        (folder / "authorized").write_text((folder / "client.pub").read_text())
        (folder / "temporary").mkdir()
        with _started(sshd, folder) as server:
            yield server
    finally:
        if made:
            SEPARATION.rmdir()


def _separation() -> bool:
    """Make the folder that root's sshd needs, and return whether it was missing."""
    if os.getuid() != 0 or SEPARATION.exists():
        return False
    try:
        SEPARATION.mkdir(mode=0o755)
    except FileExistsError:  # another process made it meanwhile
        return False
    except OSError as error:
        lacking(f"sshd needs {SEPARATION}, which cannot be made: {error.strerror}")
    return True


@contextlib.contextmanager
def _started(program: str, folder: Path) -> Iterator[SshServer]:
    port = free_port()
    public = (folder / "server.pub").read_text().rsplit(" ", 1)[0]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    settings = (
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder / 'server'}",
        f"AuthorizedKeysFile {folder / 'authorized'}",
        "PidFile none",
        "StrictModes no",  # the parent of the test's folder is writable for all users
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        f"SetEnv TMPDIR={folder / 'temporary'}",
    )
    (folder / "sshd_config").write_text("\n".join(settings) + "\n")
    process = subprocess.Popen(
        [program, "-D", "-e", "-f", str(folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = b""
    try:
        for line in process.stderr or ():
            said += line
            if b"listening on 127.0.0.1" in line:
                break
        else:
            lacking(f"sshd does not start here: {said.decode(errors='replace').strip()}")
        yield SshServer(
            user=pwd.getpwuid(os.getuid()).pw_name,
            port=port,
            folder=folder,
            temporary=folder / "temporary",
            process=process,
        )
    finally:
        process.terminate()
        process.communicate()
