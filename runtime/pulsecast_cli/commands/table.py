"""The commands: one literal table. A new command is a row and a module. Imports cost time, so names are strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pulsecast.foundation.lazy import imported

_LOGS = ("polars",)
_TRAIN = ("tensorflow", "keras", "sklearn", *_LOGS)
_EXPORT = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer", "flatbuffers")


class Command(NamedTuple):
    """A row of COMMANDS.

    where  `module:function` below this package
    extra  what installs the packages that it imports
    needs  packages that it imports beyond numpy and those of the extra `cli`
    again  what to do when it was interrupted
    """

    where: str
    extra: str
    needs: tuple[str, ...] = ()
    again: str = ""

    def function(self) -> Callable[..., None]:
        """Return the function, imported."""
        function: Callable[..., None] = imported(self.where, __package__)
        return function


_GOES_ON = "the same command goes on where this one stopped"
_NOTHING = "nothing was written; the same command begins anew"
_DEMO = tuple(dict.fromkeys((*_TRAIN, *_EXPORT, "matplotlib")))

COMMANDS = {
    "demo": Command("models.demo:demo", "all", _DEMO, "the same command with --force begins anew"),
    "fetch": Command("logs.fetch:fetch", "cli", (), _GOES_ON),
    "look": Command("logs.look:look", "logs", _LOGS),
    "train": Command(
        "models.train:train",
        "train",
        _TRAIN,
        "the same command goes on after the last whole epoch; --restart begins anew",
    ),
    "evaluate": Command(
        "models.evaluate:evaluate", "evaluate", (*_TRAIN, "lightgbm", "statsmodels", "matplotlib"), _GOES_ON
    ),
    "export": Command("models.export:export", "export", _EXPORT, _NOTHING),
    "verify": Command("bundles.verify:verify", "cli"),
    "inspect": Command("bundles.inspect_bundle:inspect", "cli"),
    "bench": Command("benchmarks.bench:bench", "bench", (), _NOTHING),
    "bench-pack": Command("benchmarks.bench_pack:bench_pack", "bench"),
    "compare": Command("benchmarks.compare:compare", "bench"),
    "report": Command("benchmarks.report:report", "report", ("matplotlib",)),
    "predict": Command(
        "bundles.predict:predict", "logs", _LOGS, "forecasts of many files (--out) go on with the same command"
    ),
    "rhythm": Command("logs.rhythm:rhythm", "evaluate", (*_LOGS, "matplotlib")),
    "anomalies": Command("bundles.anomalies:anomalies", "logs", _LOGS),
    "serve": Command("bundles.serve:serve", "serve", ("starlette", "uvicorn", "httptools", "prometheus_client")),
    "stream": Command("bundles.stream:stream", "kafka", ("quixstreams", "msgpack")),
    "pack": Command("bundles.pack:pack", "cli"),
    "unpack": Command("bundles.pack:unpack", "cli"),
    "serve-config": Command("bundles.serve_config:serve_config", "cli"),
    "page": Command("bundles.page:page", "cli"),
    "keygen": Command("bundles.keys:keygen", "sign", ("cryptography",)),
    "sign": Command("bundles.keys:sign", "sign", ("cryptography",)),
    "doctor": Command("doctor:doctor", "cli"),
}
