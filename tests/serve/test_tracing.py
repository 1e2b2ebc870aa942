"""Spans of OpenTelemetry: one for each request, a child of the client's, with nothing of what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.engines import load
from helpers.serving import running, series_body
from pulsecast_serve import ServerConfig

trace = load("opentelemetry.trace")
sdk = load("opentelemetry.sdk.trace")
exporting = load("opentelemetry.sdk.trace.export")
memory = load("opentelemetry.sdk.trace.export.in_memory_span_exporter")

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_is_a_span_below_that_of_its_client(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(exporting.SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
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
