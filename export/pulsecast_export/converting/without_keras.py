"""TensorFlow without Keras, for child processes that convert or measure and end."""

from __future__ import annotations

import sys


def leave_out_keras() -> None:
    """Let this process import TensorFlow as if Keras were not installed, if it has not imported it yet.

    `import tensorflow` also imports Keras, and with it scikit-learn and Matplotlib: half of the time of the import.
    Networks are built from weights here, so no converter needs them. Graphs of Keras layers do.
    """
    sys.modules.setdefault("keras", None)  # type: ignore[arg-type]  # the documented way to make an import fail
