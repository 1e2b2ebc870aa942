"""From a trained model, or a Keras file, to a verified bundle of artifacts.

from pulsecast_export import export
export("model", out="bundle")
"""

from __future__ import annotations

from pulsecast.foundation.lazy import lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .exporter import Exported
    from .front import export
    from .serving.options import ServeOptions
    from .serving.page import write_page
    from .serving.serve_config import serve_config
    from .targets import TARGETS, Target

# name -> module, imported on first use: converters take seconds
_HOME = {
    "Exported": "exporter",
    "ServeOptions": "serving.options",
    "TARGETS": "targets",
    "Target": "targets",
    "export": "front",
    "serve_config": "serving.serve_config",
    "write_page": "serving.page",
}
__all__ = [
    "TARGETS",
    "Exported",
    "ServeOptions",
    "Target",
    "export",
    "serve_config",
    "write_page",
]

__getattr__, __dir__ = lazily(globals(), _HOME)
