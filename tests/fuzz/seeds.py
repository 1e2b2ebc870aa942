"""Inputs to begin with, for every target: whole files, and what earlier attacks were made of. Made when asked for."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from fuzz.places import DATA, GOLDEN, SERIES


def seeds(target: str) -> list[bytes]:
    """Return the inputs for a target of `fuzz.targets.TARGETS`."""
    return _SEEDS[target]()


def _manifests() -> list[bytes]:
    whole = [(DATA / name / "manifest.json").read_bytes() for name in ("golden_v1", "golden_v2", "golden_v2_series")]
    small = json.dumps(json.loads(whole[-1]), separators=(",", ":")).encode()
    return [*whole, small, small.replace(b'"name":', b'"name":"x","name":', 1), b"[" * 70, b'{"format":3}']


def _pulses() -> list[bytes]:
    from pulsecast.bundle.archive import write_archive

    whole = [(DATA / f"{name}.pulse").read_bytes() for name in ("golden_v2", "golden_v2_series")]
    small = io.BytesIO()
    write_archive(small, [("manifest.json", b"{}"), ("a/b", b"c" * 40)], compress=True)
    return [*whole, small.getvalue()]


def _arrays() -> list[bytes]:
    places = [GOLDEN / "weights.npz", GOLDEN / "golden.npz", SERIES / "golden.npz", SERIES / "series.npz"]
    return [bytes([i]) + path.read_bytes() for i, path in enumerate([*places, SERIES / "series.txt"])]


def _signatures() -> list[bytes]:
    key = (DATA / "golden_v2.pub").read_bytes()
    record = {"format": 1, "algorithm": "ed25519", "key_id": "0" * 64}
    texts = [base64.b64encode(bytes([i]) * 64).decode() for i in (0, 1)]
    return [key, *(json.dumps({**record, "signature": text}).encode() for text in texts), bytes(32), b"\1" + bytes(31)]


def _lone_files() -> list[bytes]:
    files = [GOLDEN / "onnx" / "model.w8.onnx", GOLDEN / "tflite" / "model.w8.tflite"]
    c = b'/* pulsecast\n{"contract": 1}\n*/\n'
    return [*(bytes([i]) + path.read_bytes() for i, path in enumerate(files)), b"\2" + c]


def _states() -> list[bytes]:
    from pulsecast import load

    model = load(GOLDEN, backend="numpy")
    stream, detector = model.stream(), model.detector()
    streams, monitor = model.stream(3), model.monitor()
    found = [stream.to_bytes(), detector.to_bytes()]
    for i in range(30):
        time = 1_736_121_600 + i * model.manifest.spec.step_s
        stream.push(float(i), timestamp=time)
        detector.push(float(i * i), timestamp=time)
        monitor.push(float(i), timestamp=time)
        streams.push([[float(i)], [2.0], [float("nan")]], timestamp=time)
    return [data[:-4] for data in (*found, *(one.to_bytes() for one in (stream, detector, streams, monitor)))]


def _keras() -> list[bytes]:
    from helpers.hostile.keras_files import config, keras_bytes, layer, lstm

    both = layer("Bidirectional", "both", layer=lstm(), merge_mode="concat")
    settings: list[Any] = [None, config(lstm(), layer("Dropout", "drop", rate=0.1)), config(both)]
    settings += [config(layer("GRU", "gru", units=4)), {"class_name": []}, b"[" * 100]
    packings = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return [keras_bytes(one, b"none", packing=packing) for one in settings for packing in packings]


def _h5() -> list[bytes]:
    def lines(*rows: object) -> bytes:
        return "\n".join(map(json.dumps, rows)).encode()

    numbers = [[0.25] * 16, [0.5] * 16]
    text = json.dumps({"config": {"layers": [{"class_name": "LSTM", "config": {"name": "lstm"}}]}})
    return [
        lines(*(["float32", f"layers/lstm/cell/vars/{i}", numbers] for i in range(3)), ["f", "layers/dense/vars/0", 1]),
        lines(
            ["attribute", "model_config", text],
            ["attribute", "model_weights/layer_names", ["lstm"]],
            ["attribute", "model_weights/lstm/weight_names", ["lstm/kernel"]],
            ["float32", "model_weights/lstm/lstm/kernel", numbers],
        ),
        lines(["link", "layers/a", ""], ["text", "b", "c"], ["int8", "layers/lstm_2/vars/x", 3]),
    ]


def _csv() -> str:
    from helpers.logs.log_files import hours

    return hours(list(range(24)))


def _csvs() -> list[bytes]:
    csv = _csv().encode()
    series = csv.replace(b"timestamp", b"series,timestamp").replace(b"\n2025", b'\n"a ""b""",2025')
    odd = [csv.replace(b",", b"\t"), csv.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + csv, csv.replace(b"2025", b"1e9")]
    return [b"\0" + csv, b"\2" + series, b"\3" + csv, b"\4" + series, b"\5" + csv, *(b"\0" + one for one in odd)]


def _ndjson() -> bytes:
    rows = [{"timestamp": f"2025-01-06T{i:02}:00:00Z", "value": i, "user": {"name": "ann"}} for i in range(12)]
    return "\n".join(map(json.dumps, rows)).encode()


def _ndjsons() -> list[bytes]:
    rows = _ndjson()
    odd = [rows.replace(b'"ann"', b"[1]"), rows + b'\n{"a":' + b"[" * 70, rows.replace(b"6T01", b"6\\ud800")]
    return [bytes([i]) + rows for i in range(6)] + [b"\0" + one for one in odd]


def _zips() -> list[bytes]:
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("log.csv", _csv())
        found.append(b"\0" + buffer.getvalue())
    return found


def _parquets() -> list[bytes]:
    import polars as pl

    times = pl.Series([f"2025-01-06T{i:02}:00:00" for i in range(24)]).str.to_datetime(time_zone="UTC")
    found = []
    for more in ({}, {"series": [f"s{i % 2}" for i in range(24)]}, {"user": [{"name": "ann"}] * 24}):
        buffer = io.BytesIO()
        pl.DataFrame({"timestamp": times, "value": list(range(24)), **more}).write_parquet(buffer)
        found += [bytes([i]) + buffer.getvalue() for i in (0, 1, 2)]
    return found


def _workbooks() -> list[bytes]:
    import datetime
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from helpers.logs.workbooks import Broken, Formula, workbook

    start = datetime.datetime(2025, 1, 6, tzinfo=datetime.UTC)
    times = [start + datetime.timedelta(hours=i) for i in range(24)]
    rows = [["timestamp", "series", "value"], *([time, f"s{i % 2}", i] for i, time in enumerate(times))]
    odd = [["Title"], *rows[:-3], ["x", Broken("#N/A"), Formula(None)], ["", True, times[0].time()]]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.xlsx"
        made = [({"a": rows}, {}), ({"a": odd, "b": rows}, {"merged": ["A1:B2"], "hidden": ["b"], "since_1904": True})]
        return [bytes([i]) + workbook(path, sheets, **what).read_bytes() for i, (sheets, what) in enumerate(made)]


def _configs() -> list[bytes]:
    texts = [
        '[log]\ntime = "at"\nmetrics = ["likes"]\nstep = "1h"\ntimezone = "Europe/Oslo"\nmissing = ["-"]\n',
        '[train]\nrecipe = "textbook"\nwindow = 24\nunits = [8, 8]\nholidays = ["US"]\nholiday_zone = "UTC"\n',
        "[train]\nepochs = 99999999999999999999\nlearning_rate = nan\nvalidation_fraction = -inf\n",
    ]
    return [text.encode() for text in texts]


def _results() -> list[bytes]:
    from helpers.measured import result
    from pulsecast.foundation import strict_json

    text = strict_json.dumps(result()).encode()
    return [text, text.replace(b'"schema_version": 2', b'"schema_version": 1')]


def _pages() -> list[bytes]:
    documents: list[Any] = [
        {"data": [{"a": 1, "b": {"c": None}}], "meta": {"next_token": "b26v89c"}},
        {"data": [], "meta": {"next_token": "https://example.org/v1?x=1"}},
        {"data": [[1]], "meta": []},
        {"items": {"data": 1}},
    ]
    return [*(json.dumps(one).encode() for one in documents), b'{"data":[1e999]}', b'{"data":[' + b"9" * 500 + b"]}"]


def _messages() -> list[bytes]:
    import msgpack

    documents: list[Any] = [
        {"time": 1_736_121_600, "value": 1.5},
        {"time": "2025-01-06T00:00:00+00:00", "values": [None], "series": "likes"},
        {"time": 1_736_121_600_000, "value": True, "more": {"a": [1]}},
    ]
    packed: list[bytes] = [msgpack.packb(one) for one in documents]
    return [
        *(json.dumps(one).encode() for one in documents),
        *packed,
        b'{"time":1e999,"value":NaN}',
        b"\xdf\xff\xff\xff\xff",
    ]


def _bodies() -> list[bytes]:
    from fuzz.live import BINARY, MODEL
    from pulsecast import Bundle

    window = Bundle.open(GOLDEN).golden().windows.take([0])
    values, time = window.values[0].tolist(), int(window.time[0]) if window.time is not None else 0
    series = [row[0] for row in values]
    one = {"type": "univariate_time_series", "name": "a", "series": series, "frequency": "H"}
    dated = {"frequency": "H", "start_timestamp": "2025-01-06T00:00:00Z"}
    shape = [1, len(values), len(values[0])]
    tensors = [
        {"name": "values", "datatype": "FP32", "shape": shape},
        {"name": "time", "datatype": "INT64", "shape": [1]},
    ]
    data = (series, [time])
    in_json = {"inputs": [{**of, "data": given} for of, given in zip(tensors, data, strict=True)]}
    behind = [{**of, "parameters": {"binary_data_size": 4 * len(series)}} for of in tensors[:1]] + in_json["inputs"][1:]
    head = json.dumps({"inputs": behind}).encode()
    forecast = json.dumps({"model": MODEL, "inputs": [{**one, **dated}], "options": {"quantiles": [0.1]}}).encode()
    documents = [
        {"model": MODEL, "series": series, **dated},
        {"steps": [{"value": 1.5, "time": 1_736_121_600}], "restart": True},
        in_json,
        {"instances": [{"values": values, "time": time}]},
        {"inputs": {"values": [values], "time": [time]}, "signature_name": "serving_default"},
        {"examples": [{"values": series, "time": time}]},
    ]
    numbers = (1, 2, 3, 5, 5, 6)
    return [
        b"\0" + forecast,
        *(bytes([n]) + json.dumps(document).encode() for n, document in zip(numbers, documents, strict=True)),
        bytes([BINARY]) + len(head).to_bytes(2, "big") + head + window.values.astype("<f4").tobytes(),
        b"\7" + gzip.compress(forecast, mtime=0),
        b"\5" + b'{"instances":[1,"b" 2]}',
        b"\3" + b'{"inputs":' + b"[" * 900,
    ]


def _rpcs() -> list[bytes]:
    from fuzz.live import MODEL
    from pulsecast import Bundle
    from pulsecast_serve.rpc.messages import message
    from pulsecast_serve.rpc.services import services

    services()  # describes the messages
    window = Bundle.open(GOLDEN).golden().windows.take([0])
    infer = message("inference.ModelInferRequest")(model_name=MODEL)
    infer.inputs.add(name="values", datatype="FP32", shape=window.values.shape)
    infer.raw_input_contents.append(window.values.astype("<f4").tobytes())
    ask = message("tensorflow.serving.PredictRequest")()
    ask.model_spec.name = MODEL
    ask.inputs["values"].dtype = 1
    for size in window.values.shape:
        ask.inputs["values"].tensor_shape.dim.add(size=size)
    ask.inputs["values"].float_val.extend(window.values.ravel().tolist())
    if window.time is not None:
        infer.inputs.add(name="time", datatype="INT64", shape=[1])
        infer.raw_input_contents.append(window.time.tobytes())
        ask.inputs["time"].dtype = 9
        ask.inputs["time"].tensor_shape.dim.add(size=1)
        ask.inputs["time"].int64_val.extend(window.time.tolist())
    whole = [one.SerializeToString() for one in (infer, ask)]
    return [bytes([number]) + one for number in range(16) for one in whole]  # a method that is another's refuses it


def _events() -> list[bytes]:
    rows = [{"time": 1_736_121_600 + 37 * n, "id": f"e{n % 7}"} for n in range(9)]
    lines = "\n".join(map(json.dumps, rows)).encode()
    valued = "\n".join(json.dumps({**row, "value": n / 3}) for n, row in enumerate(rows)).encode()
    return [
        b"\0" + lines,
        b"\1" + valued,
        b"\2" + valued.replace(b"0.0", b"null"),
        b'\0{"time":"2025-01-06T00:00:00Z"}',
    ]


def _event_states() -> list[bytes]:
    from pulsecast_streams import EventPolicies, Received, count

    state = None
    for line in _events()[0][1:].split(b"\n"):
        policies = EventPolicies(step_s=60, lateness_s=600)
        state = count(Received(key="likes", value=line), state, policies=policies).state
    assert state is not None
    return [state[9:], state[9:].replace(b'"likes"', b"7"), b"{}"]


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "manifest": _manifests,
    "pulse": _pulses,
    "arrays": _arrays,
    "signature": _signatures,
    "lone-file": _lone_files,
    "state": _states,
    "keras": _keras,
    "h5": _h5,
    "log-csv": _csvs,
    "log-ndjson": _ndjsons,
    "log-gz": lambda: [b"\0" + gzip.compress(_csv().encode(), mtime=0), b"\0\x1f\x8b" + struct.pack("<I", 8)],
    "log-zip": _zips,
    "log-parquet": _parquets,
    "log-xlsx": _workbooks,
    "config": _configs,
    "result": _results,
    "page": _pages,
    "body": _bodies,
    "rpc": _rpcs,
    "message": _messages,
    "event": _events,
    "event-state": _event_states,
}
