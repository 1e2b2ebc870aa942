"""Thousands of damaged requests over both protocols: each is answered, or refused in one sentence; none is a fault."""

from __future__ import annotations

import copy
import http.client
import json
import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from helpers.serving import WAIT_S
from helpers.serving.rpc import Both
from pulsecast_serve.rpc.messages import message

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, 2**64, 10**30, 1e308, 1e39, 1.5, "", "x", "é", "\ud800", [], {}, [[]], [None],
    {"a": 1}, "FP64", "FP16", "BYTES", "UINT8", "BOOL", [3, 73], [0, 73, 1], [-1], [2**62] * 3, "values", "series",
]  # fmt: skip
LENGTHS = (0, 1, 10**9)  # wrong ones of the JSON
AMOUNTS = [150, pytest.param(50_000, marks=pytest.mark.soak)]
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def places(part: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of everything in a document; of long lists the first elements."""
    for key in list(part) if isinstance(part, dict) else range(min(len(part), 3)):
        yield part, key
        if isinstance(part[key], dict | list):
            yield from places(part[key])


def damaged(rng: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of `document` with odd values in some places, or without what was there."""
    found = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 2, 3))):
        part, key = rng.choice(list(places(found)) or [(found, "inputs")])
        if rng.random() < 0.2:
            del part[key]
        else:
            part[key] = copy.deepcopy(rng.choice(ODD))
    return found


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_damaged_request_of_rest_is_never_a_fault(server: Both, asked: Any, amount: int) -> None:
    rng = random.Random(3)
    in_json = asked.document(id="a", outputs=[{"name": "upper", "parameters": {"binary_data": True}}])
    data = asked.values.tobytes() + asked.time.tobytes()
    behind = copy.deepcopy(in_json)
    for one, size in zip(behind["inputs"], (asked.values.nbytes, asked.time.nbytes), strict=True):
        del one["data"]
        one["parameters"] = {"binary_data_size": size}
    connection = http.client.HTTPConnection(server.place, timeout=WAIT_S)
    statuses = set()
    for _ in range(amount):
        is_binary = rng.random() < 0.5
        body = json.dumps(damaged(rng, behind if is_binary else in_json)).encode()
        length = len(body) if rng.random() < 0.9 else rng.choice(LENGTHS)
        headers = {"Inference-Header-Content-Length": str(length)} if is_binary else {}
        sent = body + data[: len(data) - rng.choice((0, 0, 0, 5))] if is_binary else body
        connection.request("POST", "/v2/models/plain/infer", sent, headers)
        reply = connection.getresponse()
        statuses.add(reply.status)
        answer = reply.read()
        assert reply.status in {200, 400}, (sent, answer)
        assert reply.status == 200 or list(json.loads(answer)) == ["error"]
    connection.close()
    assert statuses == {200, 400}


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_damaged_message_is_never_a_fault(server: Both, asked: Any, amount: int) -> None:
    rng = random.Random(4)
    request = message("inference.ModelInferRequest")(model_name="plain")
    request.inputs.add(name="values", datatype="FP32", shape=asked.values.shape)
    request.inputs.add(name="time", datatype="INT64", shape=asked.time.shape)
    request.raw_input_contents.extend([asked.values.tobytes(), asked.time.tobytes()])
    whole = request.SerializeToString()
    codes = set()
    with grpc.insecure_channel(server.rpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", bytes, bytes)
        for _ in range(amount):
            data = bytearray(whole)
            for _ in range(rng.choice((1, 2, 5))):
                place = rng.randrange(80 if rng.random() < 0.7 else len(data))
                data[place : place + rng.choice((0, 1, 1))] = bytes([rng.randrange(256)] * rng.choice((0, 1, 1)))
            answer = call.future(bytes(data), timeout=WAIT_S)
            codes.add(answer.code())
            assert answer.code() in {grpc.StatusCode.OK, *REFUSED}, (bytes(data), answer.details())
    assert codes == {grpc.StatusCode.OK, *REFUSED}
