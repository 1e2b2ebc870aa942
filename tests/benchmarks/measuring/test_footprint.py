"""What a backend needs installed is followed through requirements and counted in bytes on this machine."""

from importlib.metadata import distribution
from pathlib import Path

from helpers.engines import require
from pulsecast.backends import BACKENDS
from pulsecast_bench.measuring.footprint import DISTRIBUTIONS, closure, package, packages
from pulsecast_bench.subjects.peers import PEERS


def test_every_backend_has_its_distributions_and_numpy_needs_none() -> None:
    assert set(DISTRIBUTIONS) == set(BACKENDS)
    assert closure(DISTRIBUTIONS["numpy"]) == ()


def test_requirements_are_followed_and_those_of_an_extra_are_not() -> None:
    require("ai_edge_litert")
    found = closure(["ai_edge.litert"])  # any spelling of a name
    assert "ai-edge-litert" in found
    assert "flatbuffers" in found
    assert "numpy" not in found
    assert "pytest" not in closure(["hypothesis"])


def test_the_bytes_are_those_of_the_files_on_disk() -> None:
    found = package("numpy")
    root = Path(str(distribution("numpy").locate_file("numpy")))
    on_disk = sum(path.stat().st_size for path in root.rglob("*.so"))
    assert found.size_bytes is not None
    assert found.size_bytes > on_disk > 1_000_000
    assert found.version == distribution("numpy").version


def test_each_package_is_listed_once_with_numpy_first() -> None:
    require("onnxruntime")
    names = [one.name for one in packages([closure(["onnxruntime"]), closure(["onnxruntime"]), None])]
    assert names[0] == "numpy"
    assert len(names) == len(set(names))
    assert "onnxruntime" in names
    assert [one.name for one in packages([()])] == ["numpy"]


def test_every_peer_names_distributions_that_exist_or_none() -> None:
    assert [name for name, row in PEERS.items() if not row.needs] == ["numpy.loop", "c.loop"]
