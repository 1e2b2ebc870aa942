"""What is fuzzed: one literal table. A target takes any bytes and returns, or raises PulsecastError; else it failed.

A function here makes the target once, so that what it needs is imported and loaded before the first case. Seeds are
made from `tests/data` and the helpers, when they are asked for.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fuzz import live
from fuzz.places import DATA, GOLDEN, SERIES, Check

CRASHES = DATA / "fuzz"  # the smallest input of every fault that was found, by target


def manifest() -> Check:
    """`manifest.json`: what is read is written as it was, and read again."""
    from pulsecast.bundle.manifest import parse_manifest
    from pulsecast.foundation import strict_json

    def check(data: bytes) -> None:
        found = parse_manifest(data)
        assert parse_manifest(strict_json.dumps(found).encode()) == found

    return check


def pulse() -> Check:
    """A `.pulse` file: opened, its golden and its weights read."""
    from pulsecast.bundle.bundle import Bundle

    path = place("bundle.pulse")

    def check(data: bytes) -> None:
        path.write_bytes(data)
        bundle = Bundle.open(path)
        bundle.golden()
        bundle.weights()

    return check


def arrays() -> Check:
    """Weights and golden, whose hashes a stranger can write: the first byte says as which of them the rest is read."""
    from pulsecast.bundle.bundle import Bundle
    from pulsecast.bundle.golden import read_golden
    from pulsecast.model.series import read_names, read_table
    from pulsecast.model.weights import read_weights

    single, several = Bundle.open(GOLDEN), Bundle.open(SERIES)
    names, manifest = several.series_names, several.manifest
    assert names is not None
    assert manifest.intervals is not None
    levels = len(manifest.intervals.levels)
    readers: list[Callable[[bytes], object]] = [
        lambda data: read_weights(data, single.manifest.spec),
        lambda data: read_golden(data, single.manifest),
        lambda data: read_golden(data, manifest),
        lambda data: read_table(data, names, manifest.scaler, manifest.spec, levels),
        read_names,
    ]

    def check(data: bytes) -> None:
        readers[data[0] % len(readers) if data else 0](data[1:])

    return check


def signature() -> Check:
    """`manifest.sig`, with and without a key; and a key's file."""
    from pulsecast.bundle.signing import examine, read_public_key
    from pulsecast.errors import PulsecastError

    text, key = (GOLDEN / "manifest.json").read_bytes(), (DATA / "golden_v2.pub").read_bytes()

    def check(data: bytes) -> None:
        with contextlib.suppress(PulsecastError):
            read_public_key(data)
        with contextlib.suppress(PulsecastError):
            assert examine(text, data, None).state == "not checked"
        examine(text, data, key)

    return check


def lone_file() -> Check:
    """A lone `.onnx`, `.tflite`, `saved_model.pb` or `model.c`, by the first byte: the contract in it."""
    from pulsecast.bundle.lone_files import lone_contract

    paths = [place(f"model{ending}") for ending in (".onnx", ".tflite", ".c")]

    def check(data: bytes) -> None:
        path = paths[data[0] % len(paths) if data else 0]
        path.write_bytes(data[1:])
        lone_contract(path)

    return check


def state() -> Check:
    """The bytes of a stream or detector, under a right checksum: it continues, or is refused; it is saved again."""
    from pulsecast import AnomalyDetector, Monitor, PulsecastError, Stream, load

    model = load(GOLDEN, backend="numpy")
    spec = model.manifest.spec

    def check(data: bytes) -> None:
        whole = data + struct.pack("<I", zlib.crc32(data))
        with contextlib.suppress(PulsecastError):
            stream = Stream.from_bytes(model, whole, carry_over=True)
            assert Stream.from_bytes(model, stream.to_bytes()).to_bytes() == stream.to_bytes()
        with contextlib.suppress(PulsecastError):
            monitor = Monitor.from_bytes(model, whole, carry_over=True)
            monitor.report()
            assert Monitor.from_bytes(model, monitor.to_bytes()).to_bytes() == monitor.to_bytes()
        detector = AnomalyDetector.from_bytes(model, whole, carry_over=True)
        detector.push([1.0] * spec.measured, timestamp=detector.due or 1_736_121_600)
        AnomalyDetector.from_bytes(model, detector.to_bytes())

    return check


def keras() -> Check:
    """A `.keras` file without its HDF5, which a child process reads: vetted, its network found, its sizes checked."""
    from pulsecast_export.keras_models import keras_file
    from pulsecast_export.keras_models.keras_layers import Found
    from pulsecast_export.keras_models.model_reading import read_model
    from pulsecast_export.keras_models.network_import import check_sizes

    path, whole = place("model.keras"), {"/layers/lstm/cell/vars/0": np.zeros((2, 16), np.float32)}
    keras_file.h5_arrays = lambda data, name: whole  # type: ignore[attr-defined]  # no child for each case

    def check(data: bytes) -> None:
        path.write_bytes(data)
        file = keras_file.read_keras_file(path)
        found, _ = read_model(file.config)
        if isinstance(found, Found):
            check_sizes(file, found)

    return check


def h5() -> Check:
    """What the child does with an HDF5 file: attributes, groups and arrays of any content, in a file that HDF5 wrote.

    The bytes of the file itself are HDF5's to parse, which the child's limits are for; seeded damage does that.
    """
    import h5py

    from pulsecast_export.keras_models import h5_child

    h5_child.limit_memory = lambda size_bytes: None  # it is the fuzzer's
    path, out = place("model.h5"), place("arrays.npz")

    def check(data: bytes) -> None:
        with h5py.File(path, "w") as file:
            _fill(file, data)
        for what in ("layers", "arrays"):
            with contextlib.redirect_stderr(io.StringIO()) as said:
                assert h5_child.main([what, str(path), "model.h5", str(out)]) in (0, 1)
            assert all(line.isprintable() for line in said.getvalue().splitlines())

    return check


def _fill(file: Any, data: bytes) -> None:
    """Write what lines of JSON say: [kind, path, value], of which h5py may refuse any."""
    for line in data.split(b"\n")[:40]:
        with contextlib.suppress(Exception):  # not JSON, or nothing that HDF5 holds
            kind, path, value = json.loads(line)
            if kind == "attribute":
                group, _, name = path.rpartition("/")
                file.require_group(group or "/").attrs[name] = value
            elif kind == "link":
                import h5py

                file[path] = h5py.SoftLink(value) if value else h5py.ExternalLink("other.h5", "/a")
            else:
                file[path] = value if kind == "text" else np.array(value, kind)


def log_of(ending: str) -> Callable[[], Check]:
    """Return the target of one kind of log: read under one of the configurations, by the first byte."""

    def made() -> Check:
        from helpers.logs.log_files import NOW_S
        from helpers.logs.workbooks import run_workbook
        from helpers.outside.parquet_forks import Forks
        from pulsecast_train import LogConfig, read_log
        from pulsecast_train.logs.parquet import trial
        from pulsecast_train.logs.workbooks import sheet

        if ending == "parquet":
            trial.run_module = Forks().run_module  # a fork for each case, not a process
        if ending == "xlsx":
            sheet.run_module = run_workbook  # limits of memory are the fuzzer's
        path = place(f"log.{ending}")
        usual: dict[str, Any] = {"timezone": "UTC", "metrics": ("value",), "on_conflict": "first"}
        differences: list[dict[str, Any]] = [
            {},
            {"id": "user.name"},
            {"series": "series"},
            {"time_format": "%Y-%m-%dT%H:%M:%SZ"},
            {"category": "series", "events": True, "metrics": (), "step": "1h"},
            {"kind": "counter", "allow_reset": True, "step": "1h"},
        ]
        configs = [LogConfig(**usual | one) for one in differences]

        def check(data: bytes) -> None:
            path.write_bytes(data[1:])
            read_log(path, configs[data[0] % len(configs) if data else 0], now_s=NOW_S)

        return check

    return made


def config() -> Check:
    """A TOML file of `train --config`."""
    from pulsecast_train import read_config

    path = place("run.toml")

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_config(path)

    return check


def result() -> Check:
    """A result of `bench`, as `compare` and `report` read it."""
    from pulsecast_bench import read_result

    path = place("result.json")

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_result(path)

    return check


def page() -> Check:
    """A server's answer to `fetch`."""
    from pulsecast_train.fetching import http_source

    query = http_source.HttpQuery(url="https://example.org/v1", following="meta.next_token")

    def check(data: bytes) -> None:
        try:
            document = http_source._decoded(data)
        except http_source.TransientError:  # not JSON: asked for once more
            return
        http_source._page(document, query)

    return check


def place(name: str) -> Path:
    """Return a path for cases to be written to, in memory where the system has such a folder."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    return Path(tempfile.mkdtemp(prefix="pulsecast-fuzz-", dir=folder)) / name


class Target(NamedTuple):
    """A row of TARGETS: `make` returns the check; `fuzz.seeds` has inputs to begin with, under the same name."""

    make: Callable[[], Check]
    max_bytes: int = 100_000


TARGETS = {
    "manifest": Target(manifest),
    "pulse": Target(pulse, 200_000),
    "arrays": Target(arrays),
    "signature": Target(signature, 4096),
    "lone-file": Target(lone_file),
    "state": Target(state),
    "keras": Target(keras),
    "h5": Target(h5, 8192),
    "log-csv": Target(log_of("csv"), 8192),
    "log-ndjson": Target(log_of("ndjson"), 8192),
    "log-gz": Target(log_of("csv.gz"), 8192),
    "log-zip": Target(log_of("zip"), 8192),
    "log-parquet": Target(log_of("parquet"), 16384),
    "log-xlsx": Target(log_of("xlsx"), 16384),
    "config": Target(config, 4096),
    "result": Target(result),
    "page": Target(page, 8192),
    "body": Target(live.body, 16384),
    "rpc": Target(live.rpc, 8192),
    "message": Target(live.message, 4096),
    "event": Target(live.event, 4096),
    "event-state": Target(live.event_state, 4096),
}


def crashes(target: str) -> Iterator[Path]:
    """Yield the fixtures of `target`: inputs that once failed."""
    yield from sorted((CRASHES / target).glob("*"))
