"""Folders that are written for model servers, once for the tests of a module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers import plain
from helpers.serving_folders.folders import write_bundle
from pulsecast_export import ServeOptions, serve_config
from pulsecast_export.serving.servers import ovms


@pytest.fixture(scope="module")
def level(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without a calendar; its ONNX file is a stand-in."""
    return write_bundle(tmp_path_factory.mktemp("level") / "bundle", level_model)


@pytest.fixture(scope="module")
def written(level: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function of a bundle, a server and its options; each folder is written once."""
    base, made = tmp_path_factory.mktemp("written"), dict[str, Path]()

    def of(bundle: Path, server: str, **options: Any) -> Path:
        key = f"{bundle} {server} {options}"
        if key not in made:
            made[key] = base / f"{len(made)}"
            with pytest.MonkeyPatch.context() as patch:
                if bundle == level:  # no engine runs a stand-in
                    patch.setattr(ovms, "prove", lambda *_: None)
                serve_config(bundle, made[key], ServeOptions(server=server, name="tweets", **options))
        return made[key]

    return of
