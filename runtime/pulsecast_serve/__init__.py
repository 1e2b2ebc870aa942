"""Bundles behind HTTP and gRPC: every protocol leads to the same checked `Forecaster`.

from pulsecast_serve import serve
serve("bundle")
"""

from __future__ import annotations

from pulsecast.foundation.lazy import lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import ServerConfig
    from .front import application, serve
    from .watching import live_page

# name -> module, imported on first use: the command line asks for the configuration alone
_HOME = {
    "ServerConfig": "config",
    "application": "front",
    "live_page": "watching",
    "serve": "front",
}
__all__ = [
    "ServerConfig",
    "application",
    "live_page",
    "serve",
]

__getattr__, __dir__ = lazily(globals(), _HOME)
