"""A real Triton in a network namespace of its own: nvidia-pytriton's program, with its Python backend alone.

Triton listens on every interface, and a namespace has none but its own loopback: nothing outside reaches it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.engines import lacking, require_tool, require_tools
from helpers.outside.processes import wait_for

RUNTIME = Path(__file__).parents[3] / "runtime"
REQUIREMENTS = ("nvidia-pytriton==0.7.0", "onnxruntime==1.32.0")
KEPT = "PULSECAST_TRITON"  # a folder in which the environment stays from run to run
STUB = "triton_python_backend_stub"


@dataclass(frozen=True, kw_only=True)
class Triton:
    """A running server.

    log  what it wrote
    """

    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, line: str, folder: Path) -> str:
        """Run a command line in `folder` and in the server's namespace; return what it prints."""
        command = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", *shlex.split(line)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout if done.returncode == 0 else ""


def environment(folder: Path) -> Path:
    """Return an environment with Triton; skips with the reason where it cannot be installed."""
    kept = Path(os.environ.get(KEPT, folder / "environment"))
    python = kept / "bin" / "python"
    if python.exists():
        return kept
    subprocess.run([sys.executable, "-m", "venv", str(kept)], check=True, timeout=120)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        shutil.rmtree(kept)
        lacking(f"{REQUIREMENTS[0]} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    packages = next((kept / "lib").iterdir()) / "site-packages"
    (packages / "pulsecast.pth").write_text(f"{RUNTIME}\n")
    return kept


@contextlib.contextmanager
def triton(installed: Path, repository: Path, folder: Path) -> Iterator[Triton]:
    """Yield a server of `repository` that is ready; it sees the repository read-only, and may write into `folder`."""
    require_tools("unshare", "nsenter", "ip", "mount", "curl")
    if os.geteuid():
        lacking("a network namespace is for root")
    packages = next((installed / "lib").iterdir()) / "site-packages"
    program = packages / "pytriton" / "tritonserver"
    folder.mkdir()
    backends = shutil.copytree(program / "backends", folder / "backends")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(program / "python_backend_stubs" / version / STUB, backends / "python" / STUB)
    libraries = [str(packages / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
    environ = os.environ | {
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PATH": os.pathsep.join([str(installed / "bin"), os.environ["PATH"]]),
    }
    arguments = [
        str(program / "bin" / "tritonserver"), f"--model-repository={repository}", f"--backend-directory={backends}",
        "--model-control-mode=poll", "--repository-poll-secs=1", "--disable-auto-complete-config",
    ]  # fmt: skip
    start = ["sh", "-c", ALONE, "sh", str(repository), *arguments]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [require_tool("unshare"), "--net", "--mount", *start], env=environ, stdout=log, stderr=log
        )
    found = Triton(process=process, log=folder / "log")
    try:
        wait_for(lambda: process.poll() is not None or found.ask(READY, folder))
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        yield found
    finally:
        process.terminate()
        process.wait(60)


ALONE = """
set -e
ip link set lo up
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
shift
exec "$@"
"""
READY = "curl --silent --fail --write-out ready http://127.0.0.1:8000/v2/health/ready"
