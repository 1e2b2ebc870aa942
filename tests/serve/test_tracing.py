"""Spans of OpenTelemetry: one for each request, a child of the client's, with nothing of what was sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.engines import load
from helpers.serving import running, series_body
from helpers.serving.rpc import running_both
from pulsecast_serve import ServerConfig
from pulsecast_serve.models.served import Models

trace = load("opentelemetry.trace")
sdk = load("opentelemetry.sdk.trace")
exporting = load("opentelemetry.sdk.trace.export")
memory = load("opentelemetry.sdk.trace.export.in_memory_span_exporter")

SERVICE = "inference.GRPCInferenceService"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def collected(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return where spans come, from now on."""
    spans = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(exporting.SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return spans


def test_a_call_of_grpc_is_a_span_below_that_of_its_client(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grpc, spans = load("grpc"), collected(monkeypatch)
    with running_both(bundle, config=ServerConfig(traces=True)) as server, grpc.insecure_channel(server.rpc) as channel:
        spans.clear()
        sent = (("traceparent", PARENT), ("secret-bin", b"24681357"))
        assert channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", metadata=sent) == b"\x08\x01"
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(f"/{SERVICE}/ModelInfer")(b"\x0a\x03abc")  # of the model abc
        monkeypatch.setattr(Models, "find", lambda *given, **named: 1 / 0)
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(f"/{SERVICE}/ModelInfer")(b"\x0a\x05plain")
    live, unknown, failed = spans.get_finished_spans()
    said = {"rpc.system": "grpc", "rpc.service": SERVICE}
    assert (live.name, live.kind) == (f"{SERVICE}/ServerLive", trace.SpanKind.SERVER)
    assert live.attributes == said | {"rpc.method": "ServerLive", "rpc.grpc.status_code": 0}
    assert f"{live.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{live.parent.span_id:016x}" == PARENT.split("-")[2]
    assert unknown.attributes == said | {"rpc.method": "ModelInfer", "rpc.grpc.status_code": 5}
    assert (unknown.status.is_ok, unknown.parent) == (True, None)
    assert failed.attributes == said | {"rpc.method": "ModelInfer", "rpc.grpc.status_code": 13}
    assert not failed.status.is_ok
    assert "24681357" not in live.to_json()
    assert not any(one.events for one in (live, unknown, failed))


def test_a_request_is_a_span_below_that_of_its_client(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = collected(monkeypatch)
    secret = 24681357.0
    with running(bundle, config=ServerConfig(traces=True)) as client:
        body = series_body("plain", [secret] * 90)
        assert client.post("/v1/timeseries/forecast", body, {"traceparent": PARENT}).status == 200
        assert client.get("/nothing").status == 404
    first, second = spans.get_finished_spans()
    assert first.name == "timeseries.forecast"
    assert first.attributes == {"http.response.status_code": 200, "http.route": "/v1/timeseries/forecast"}
    assert f"{first.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{first.parent.span_id:016x}" == PARENT.split("-")[2]
    assert second.attributes["http.response.status_code"] == 404
    assert str(int(secret)) not in first.to_json()
