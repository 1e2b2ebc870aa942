"""A folder of `serve-config --for pulsecast` behind `pulsecast serve`: its README's line, and a version added to it."""

from __future__ import annotations

import json
import shlex
import urllib.parse
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.outside.processes import wait_for
from helpers.serving_folders.folders import answer_said, curl_line
from pulsecast_export import ServeOptions, serve_config
from pulsecast_export.serving.servers import own

require("starlette", "uvicorn", "prometheus_client")

from helpers.serving import Client, running  # noqa: E402
from pulsecast_serve import ServerConfig  # noqa: E402

SEVERAL = Path(__file__).parents[2] / "data" / "golden_v2_series"
QUICK = ServerConfig(poll_s=0.05, backend="numpy")


def answered(client: Client, folder: Path) -> dict[str, list[float]]:
    """Send what README.md's line sends; return what README.md says of the answer."""
    words = shlex.split(curl_line(folder))
    header, file = words[words.index("--header") + 1], words[words.index("--data") + 1]
    reply = client.post(
        urllib.parse.urlsplit(words[-1]).path,
        (folder / file.removeprefix("@")).read_bytes(),
        dict([header.split(": ")]),
    )
    assert reply.status == 200, reply.body
    (content,) = reply.json["outputs"][0]["content"]
    return {
        "mean_forecast": content["mean_forecast"],
        **{f"interval.{bound}": content["interval"][bound] for bound in ("lower", "upper")},
    }


def is_as_said(client: Client, folder: Path) -> bool:
    found, said = answered(client, folder), answer_said(folder)
    assert {*found} == {*said}
    return all(np.allclose(found[name], said[name], rtol=1e-5) for name in said)


def test_the_readmes_line_gets_the_answer_that_the_readme_says_of_each_version(
    level_model: plain.PlainModel, tmp_path: Path
) -> None:
    """The running server follows the folder that is written into."""
    for name, model in (("first", level_model), ("second", plain.rescaled(level_model, 10.0, 900.0))):
        plain.write_bundle(tmp_path / name, model)
    folder = tmp_path / "serving"
    serve_config(tmp_path / "first", folder, ServeOptions(server="pulsecast"))
    with running(models=folder / "models", config=QUICK) as client:
        wait_for(lambda: client.get("/v2/health/ready").status == 200)
        assert is_as_said(client, folder)
        first = answer_said(folder)
        serve_config(tmp_path / "second", folder, ServeOptions(server="pulsecast", version=2, keep=1))
        assert answer_said(folder) != first
        wait_for(lambda: is_as_said(client, folder))


@pytest.mark.parametrize("server", ["pulsecast", "kserve-pulsecast"])
def test_a_named_series_is_asked_by_its_name(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "serving"
    serve_config(SEVERAL, folder, ServeOptions(server=server, name="pets"))
    assert json.loads((folder / "request.json").read_text())["inputs"][0]["name"] in {"birds", "cats", "dogs"}
    with running(models=folder / "models", config=QUICK) as client:
        wait_for(lambda: client.get("/v2/health/ready").status == 200)
        assert is_as_said(client, folder)


def test_the_container_starts_the_command_as_it_is() -> None:
    """Every word is an option of the command; a wrong one would end the container."""
    require("typer")
    from typer.main import get_command

    from pulsecast_cli.app import app

    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    words = own.arguments(ServeOptions(server="pulsecast", threads=3), "/models", grpc_port=own.GRPC_PORT)
    parsed = command.make_context("serve", [*words[1:]]).params
    assert (str(parsed["models"]), parsed["host"]) == ("/models", "0.0.0.0")  # noqa: S104  # of the container
    assert (parsed["port"], parsed["grpc_port"]) == (8080, 8081)
    assert (parsed["insecure"], parsed["threads"]) == (True, 3)
