"""Steps of a page that is watched, read from its server-sent events."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from helpers.brokers.servers import WAIT_S


def watched(address: str, count: int) -> list[dict[str, Any]]:
    """Return the first `count` steps that an address sends."""
    found: list[dict[str, Any]] = []
    with urllib.request.urlopen(address, timeout=WAIT_S) as reply:  # noqa: S310
        for line in reply:
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:]))
            if len(found) == count:
                return found
    return found
