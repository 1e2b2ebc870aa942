"""Each protocol of `pulsecast serve`, asked for golden windows of one series and of several: the bundle's forecasts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import native_models, plain, series_models
from helpers.engines import require

require("starlette", "uvicorn", "httptools", "prometheus_client", "grpc", "grpc_health", "grpc_reflection")

from helpers.serving.rpc import Both, running_both  # noqa: E402
from pulsecast.bundle.bundle import Bundle  # noqa: E402
from pulsecast.errors import EngineError, ToleranceError  # noqa: E402
from pulsecast_bench.results.case import PROTOCOLS  # noqa: E402
from pulsecast_bench.wire.probing import asking_of, probe  # noqa: E402
from pulsecast_bench.wire.protocols import WIRES  # noqa: E402
from pulsecast_bench.wire.server import Server  # noqa: E402


@pytest.fixture(scope="module")
def bundles(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("protocols")
    plain.write_bundle(folder / "plain", change_model)
    series_models.write_bundle(folder / "table", series_models.with_table(native_models.directory(change_model)))
    return {"plain": folder / "plain", "table": folder / "table"}


@pytest.fixture(scope="module")
def both(bundles: dict[str, Path]) -> Iterator[Both]:
    with running_both(*(f"{name}={path}" for name, path in bundles.items())) as found:
        yield found


def server(both: Both, protocol: str, model: str) -> Server:
    url = f"grpc://{both.rpc}" if WIRES[protocol].grpc else both.http.address
    return Server(url=url, model=model)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["plain", "table"])
def test_a_server_answers_the_bundles_forecasts(protocol: str, name: str, both: Both, bundles: dict[str, Path]) -> None:
    bundle = Bundle.open(bundles[name])
    golden, wire = bundle.golden(), WIRES[protocol]
    asked = server(both, protocol, f"{name}/1")  # series by row, in TensorFlow's protocols, want the version
    probe(bundle, "numpy", asked, protocol)
    connection = wire.connect(asked)
    answer = connection.ask(wire.request(asked, asking_of(bundle, asked, protocol), golden.windows))
    connection.close()
    assert golden.largest_error(wire.forecasts(answer, len(golden.windows), golden.reference.shape[1])) < 2e-6


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_model_of_the_same_server_is_told_from_the_bundle(
    protocol: str, both: Both, bundles: dict[str, Path]
) -> None:
    with pytest.raises((EngineError, ToleranceError), match="the server"):
        probe(Bundle.open(bundles["plain"]), "numpy", server(both, protocol, "table"), protocol)
    with pytest.raises(EngineError, match=r"the server answered (404|NOT_FOUND): "):
        probe(Bundle.open(bundles["plain"]), "numpy", server(both, protocol, "nothing"), protocol)
