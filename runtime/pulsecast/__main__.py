"""`python -m pulsecast` is the command line, if it is installed; an app that embeds the runtime does not need it."""

from __future__ import annotations

import importlib.util
import runpy
import sys

if importlib.util.find_spec("pulsecast_cli") is None:
    sys.exit("error: this copy of pulsecast has no command line; install it with: pip install 'pulsecast[cli]'")
runpy.run_module("pulsecast_cli", run_name="__main__", alter_sys=True)
