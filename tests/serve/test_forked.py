"""An application that has answered before a fork answers in the child too: gunicorn --preload after a warm-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.serving import forking


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_application_forecasts_and_follows_streams_as_its_parent_does(bundle: Path, tmp_path: Path) -> None:
    """The threads that computed and that kept streams are gone in the child, and its file is open in the parent."""
    done = subprocess.run(
        [sys.executable, forking.__file__, str(bundle), str(tmp_path / "s.sqlite")],
        capture_output=True, text=True, check=False, timeout=4 * forking.DEADLINE_S,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["same", [200, "next"]], [200, "next"]]
