"""`compose.yaml`: one service without rights on a read-only file system, which only this machine reaches."""

from __future__ import annotations

from collections.abc import Iterable

from .order import USER


def compose(
    source: str,
    *,
    command: Iterable[str],
    ports: Iterable[int],
    volumes: Iterable[str],
    more: Iterable[str] = (),
) -> str:
    """Return the file.

    source   `image: NAME` or `build: .`
    command  arguments of the image's program
    ports    of the container; the same ones of this machine's loopback interface lead to them
    volumes  folders beside the file, each read-only at `/` and its name
    more     further lines of the service
    """
    lines = [
        source,
        *_list("command", (f'"{word}"' for word in command)),
        f'user: "{USER}:{USER}"',
        "read_only: true",
        "cap_drop: [ALL]",
        'security_opt: ["no-new-privileges:true"]',
        "tmpfs: [/tmp]",
        *more,
        *_list("ports", (f'"127.0.0.1:{port}:{port}"' for port in ports)),
        *_list("volumes", (f"./{name}:/{name}:ro" for name in volumes)),
    ]
    return "services:\n  pulsecast:\n" + "".join(f"    {line}\n" for line in lines)


def _list(key: str, items: Iterable[str]) -> list[str]:
    return [f"{key}:", *(f"  - {item}" for item in items)]
