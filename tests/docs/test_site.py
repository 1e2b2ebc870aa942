"""The site: it builds from local files alone, a link that leads nowhere fails it, and it is legible on a phone."""

from __future__ import annotations

import doctest
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.documents import DOCS
from helpers.engines import require
from helpers.outside.browser import chromium
from helpers.source_tree import REPOSITORY
from pulsecast import RangeWarning
from pulsecast.stages.exits import EXITS

BUILDING = sorted(path.stem for path in (DOCS / "building").glob("*.py") if path.stem != "__init__")
WIDEST = ("index.html", "where-it-runs.html", "first-forecast.html", "errors.html", "reference/artifacts.html")


def build(docs: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build a site, without running its notebooks."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", *options, str(docs), str(out)]
    environment = {
        "PULSECAST_NOTEBOOKS": "off",
        "PYTHONPATH": ":".join(p for p in sys.path if p),
        "HOME": str(out.parent),
    }
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    require("sphinx", "myst_nb", "furo", "typer", "polars", "starlette")
    out = tmp_path_factory.mktemp("site") / "docs"
    done = build(DOCS, out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.mark.slow
def test_every_error_and_exit_code_has_the_anchor_that_a_message_names(site: Path) -> None:
    from building.errors import classes

    anchors = re.findall(r'id="([a-z0-9-]+)"', (site / "errors.html").read_text("utf-8"))
    codes = [kind.code for kind in classes()]
    assert len(set(codes)) == len(codes) >= 18
    assert [code for code in [*codes, RangeWarning.code] if code not in anchors] == []
    assert [one.code for one in EXITS if f"exit-{one.code}" not in anchors] == []


@pytest.mark.slow
def test_every_command_and_every_public_name_is_on_the_site(site: Path) -> None:
    from helpers.source_tree import PACKAGES
    from pulsecast_cli.commands.table import COMMANDS

    commands = (site / "reference" / "command-line.html").read_text("utf-8")
    assert [name for name in COMMANDS if f'id="command-{name}"' not in commands] == []
    python = (site / "reference" / "python.html").read_text("utf-8")
    names = [f"{package}.{name}" for package in PACKAGES if package != "pulsecast_cli" for name in _listed(package)]
    assert len(names) > 100
    assert [name for name in names if f'id="{name}"' not in python] == []


def _listed(package: str) -> list[str]:
    """Return the functions and classes that a package lists; constants have no docstring that could be shown."""
    module = importlib.import_module(package)
    return [name for name in module.__all__ if callable(getattr(module, name)) and name not in ("POOL", "SILENT")]


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere_and_no_page_is_wider_than_a_phone(site: Path, tmp_path: Path) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"')
    foreign = {path.name: loaded.findall(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert {name: found for name, found in foreign.items() if found} == {}
    with chromium(tmp_path / "profile") as page:
        for name in WIDEST:
            page.open(site / name, width=390)
            assert page.evaluate("document.documentElement.scrollWidth") == 390, name
            assert [url for url in page.requests() if not url.startswith("file:")] == []


@pytest.mark.slow
def test_links_that_lead_nowhere_fail_the_build_each_with_its_place(tmp_path: Path) -> None:
    require("sphinx", "myst_nb", "furo")
    docs = tmp_path / "docs"
    shutil.copytree(DOCS / "building", docs / "building")
    (docs / "conf.py").write_text((DOCS / "conf.py").read_text("utf-8").replace('["look"]', "[]"))
    (docs / "other.md").write_text("# Other\n\n## A heading\n")
    dead = ("nowhere.md", "other.md#no-such-heading", "#no-such-heading", "../nowhere.txt")
    links = "".join(f"[to]({target})\n" for target in ("other.md", "other.md#a-heading", *dead))
    (docs / "index.md").write_text(f"# Site\n\n{links}\n```{{toctree}}\nother\n```\n")
    done = build(docs, tmp_path / "out")
    assert done.returncode == 1
    assert re.findall(r"index\.md:\d+: WARNING: .*'([^']+)' \[myst\.xref_missing\]", done.stderr) == [
        "nowhere.md",
        "no-such-heading",
        "no-such-heading",
        "../nowhere.txt",
    ]


def test_a_link_of_a_stage_s_file_that_leads_nowhere_is_an_error() -> None:
    from building.repository import as_pages

    assert as_pages("[a](#trust)", file="runtime/README.md", page="proven.md") == "[a](reference/running.md#trust)"
    anchored = as_pages('[a](#b)\n\n<a id="b"></a>\nB', file="SECURITY.md", page="reference/security.md")
    assert anchored == "[a](security.md#b)\n\n(b)=\nB"
    assert as_pages("[a](LICENSE)", file="README.md", page="reference/x.md") == "[a](../../LICENSE)"
    assert as_pages("[a](../docs/errors.md#data)", file="runtime/README.md", page="proven.md") == "[a](errors.md#data)"
    with pytest.raises(ValueError, match=r"train/README\.md links to nowhere\.md, which is not there"):
        as_pages("[a](nowhere.md)", file="train/README.md", page="reference/training.md")


@pytest.mark.parametrize("name", BUILDING)
def test_examples_of_what_builds_the_site_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"building.{name}")).failed == 0


def test_every_stage_s_readme_stands_on_a_page() -> None:
    from building.repository import PAGES

    readmes = {path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("*/**/README.md")}
    ours = {path for path in readmes if path.split("/")[0] in ("runtime", "train", "export", "benchmarks")}
    assert ours - set(PAGES) == set()
    assert [page for page in PAGES.values() if not (DOCS / page).is_file()] == []
