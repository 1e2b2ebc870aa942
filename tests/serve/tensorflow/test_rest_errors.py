"""Every refusal of the REST API: the status and the sentence of TensorFlow Serving, a row each."""

from __future__ import annotations

from typing import Any

import pytest

from pulsecast_serve.models.served import Models, Shelf
from pulsecast_serve.protocols.tensorflow_serving.finding import State, Wanted, find, states
from pulsecast_serve.refusal import RefusedError

from .conftest import Server

PLAIN, LEVEL = "/v1/models/plain:predict", "/v1/models/level:predict"
WAS = "Was: tensorflow/serving/predict"
FINE = [[1.0]] * 50
CASES: list[tuple[str, str, object, int, str]] = [
    # paths
    ("GET", "/v1/foo", None, 400, "Malformed request: GET /v1/foo"),
    ("POST", "/v1/foo", {}, 400, "Malformed request: POST /v1/foo"),
    ("GET", "/v1/", None, 400, "Malformed request: GET /v1/"),
    ("POST", "/v1/models", {}, 400, "Malformed request: POST /v1/models"),
    ("GET", PLAIN, None, 400, "Malformed request: GET /v1/models/plain:predict"),
    ("POST", "/v1/models/plain/metadata", {}, 400, "Malformed request: POST /v1/models/plain/metadata"),
    ("POST", "/v1/models/plain/version/50:regress", {}, 400, "Malformed request: POST"),
    ("POST", "/v1/models/plain/versions/HELLO:regress", {}, 400, "Malformed request: POST"),
    ("POST", "/v1/models/plain/versions/-1:predict", {}, 400, "Malformed request: POST"),
    ("POST", "/v1/models/plain/versions/1/labels/a:predict", {}, 400, "Malformed request: POST"),
    ("POST", "/v1/models/plain:forecast", {}, 400, "Malformed request: POST"),
    ("GET", "/v1/models/plain/", None, 400, "Malformed request: GET /v1/models/plain/"),
    ("PUT", "/v1/models/plain", {}, 400, "Malformed request: PUT /v1/models/plain"),
    ("DELETE", "/v1/models/plain", None, 400, "Malformed request: DELETE /v1/models/plain"),
    ("GET", "/v1/models", None, 400, "Missing model name in request."),
    ("GET", "/v1/models/versions/3", None, 400, "Missing model name in request."),
    ("GET", "/v1/models/metadata", None, 404, "Could not find any versions of model metadata"),
    ("POST", f"/v1/models/plain/versions/{2**64 - 1}:regress", {}, 400,
     f"Failed to convert version: {2**64 - 1} to numeric."),
    ("GET", f"/v1/models/plain/versions/{2**63}", None, 400, f"Failed to convert version: {2**63} to numeric."),
    ("GET", f"/v1/models/plain/versions/{'9' * 5000}", None, 400, "Failed to convert version: 999"),
    # models
    ("POST", "/v1/models/foo:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(foo)"),
    ("POST", "/v1/models/plain/versions/99:predict", {"instances": [1]}, 404,
     "Servable not found for request: Specific(plain, 99)"),
    ("GET", "/v1/models/foo/metadata", None, 404, "Servable not found for request: Latest(foo)"),
    ("GET", "/v1/models/Plain", None, 404, "Could not find any versions of model Plain"),
    ("GET", "/v1/models/foo", None, 404, "Could not find any versions of model foo"),
    ("GET", "/v1/models/plain/versions/7", None, 404, "Could not find version 7 of model plain"),
    ("POST", "/v1/models/plain/labels/nix:predict", {"instances": [1]}, 400,
     "Unrecognized servable version label: nix"),
    ("GET", "/v1/models/plain/labels/nix", None, 400, "Unrecognized servable version label: nix"),
    # documents
    ("POST", PLAIN, b"", 400, "JSON Parse error: The document is empty"),
    ("POST", "/v1/models/foo:predict", b"", 400, "JSON Parse error: The document is empty"),
    ("POST", PLAIN, b" \n", 400, "JSON Parse error: The document is empty. at offset: 2"),
    ("POST", PLAIN, b"instances = [1, 2]", 400, "JSON Parse error: Invalid value. at offset: 0"),
    ("POST", PLAIN, b'{"instances": [1, }', 400, "JSON Parse error: Invalid value. at offset: 18"),
    ("POST", PLAIN, b'{"instances": [1 2]}', 400, "JSON Parse error: Missing a comma or ] after an array element."),
    ("POST", PLAIN, b'{"a]": 1 "b": 2}', 400, "JSON Parse error: Missing a comma or } after an object member."),
    ("POST", PLAIN, b"{1: 2}", 400, "JSON Parse error: Missing a name for object member."),
    ("POST", PLAIN, b'{"a" 2}', 400, "JSON Parse error: Missing a colon after a name of object member."),
    ("POST", PLAIN, b'{"a": "b', 400, "JSON Parse error: Missing a closing quotation mark in string."),
    ("POST", PLAIN, b'{"a": "\\x"}', 400, "JSON Parse error: Invalid escape character in string."),
    ("POST", PLAIN, b"{} {}", 400, "JSON Parse error: The document root must not be followed by other values."),
    ("POST", PLAIN, '{"ä" 1}'.encode(), 400, "member. at offset: 6"),
    ("POST", PLAIN, b'{"a": "\xff"}', 400, "JSON Parse error: Invalid encoding in string. at offset: 7"),
    ("POST", PLAIN, b'{"a": 1e400}', 400, "JSON Parse error: Number too big to be stored in double"),
    ("POST", PLAIN, b'{"a": 0.1E+0400}', 400, "JSON Parse error: Number too big to be stored in double"),
    ("POST", PLAIN, b'{"a": 1' + b"0" * 250 + b'e99}', 400, "JSON Parse error: Number too big to be stored in double"),
    ("POST", PLAIN, b'{"a": ' + b"9" * 5000 + b"}", 400, "JSON Parse error: Number too big to be stored in double"),
    ("POST", PLAIN, b"[" * 100_000, 400, "JSON Parse error: the document is nested too deeply"),
    ("POST", PLAIN, b'{"instances": [1], "instances": [2]}', 400, "the key 'instances' stands more than once"),
    ("POST", PLAIN, b"[1, 2]", 400, "JSON Value: [1, 2] Is not object"),
    ("POST", PLAIN, b'"a"', 400, 'JSON Value: "a" Is not object'),
    # signatures and keys
    ("POST", PLAIN, {"signature_name": 5, "instances": []}, 400, "'signature_name' key must be a string value."),
    ("POST", PLAIN, {"signature_name": "X", "instances": []}, 400,
     'Serving signature name: "X" not found in signature def'),
    ("POST", PLAIN, {}, 400, "Missing 'inputs' or 'instances' key"),
    ("POST", PLAIN, {"instances": [], "inputs": []}, 400,
     "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"),
    ("POST", PLAIN, {"instances": {}}, 400, "Expecting 'instances' to be an list/array"),
    ("POST", PLAIN, {"instances": []}, 400, "No values in 'instances' array"),
    # rows
    ("POST", LEVEL, {"instances": [[["x"]]]}, 400, 'JSON Value: "x" Type: String is not of expected type: float'),
    ("POST", LEVEL, b'{"instances": ["\\ud800"]}', 400, "Type: String is not of expected type: float"),
    ("POST", LEVEL, {"instances": [[[None]]]}, 400, "JSON Value: null Type: Null is not of expected type: float"),
    ("POST", LEVEL, {"instances": [[[1], [True]]]}, 400, "JSON Value: true Type: True is not of expected type: float"),
    ("POST", LEVEL, {"instances": [[1, 2], [3, 4], [5, 6, 7]]}, 400,
     "Failed to process element: 2 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 but got: 3"),
    ("POST", LEVEL, {"instances": [[1, 2], [[3, 4]]]}, 400, "Expecting shape [2] but got: [1,2]"),
    ("POST", LEVEL, {"instances": [1, [1]]}, 400, "Expecting shape [] but got: [1]"),
    ("POST", LEVEL, {"instances": [[[1], [1, 2]]]}, 400,
     "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
    ("POST", LEVEL, {"instances": [[1, [2]]]}, 400, "Encountered list at unexpected level: 1 expected < 1"),
    ("POST", LEVEL, {"instances": [[[1], 2]]}, 400,
     "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ("POST", LEVEL, {"instances": [{"b64": "aGVsbG8="}]}, 400, "Type: Object is not of expected type: float"),
    ("POST", LEVEL, {"instances": [FINE, {"values": FINE}]}, 400,
     "Expecting value/list but got object at item 1 of input list"),
    ("POST", LEVEL, {"instances": [{"values": FINE}, FINE]}, 400, "Expecting object but got list at item 1"),
    ("POST", LEVEL, {"instances": [{"value": FINE}]}, 400,
     ("Failed to process element: 0 key: value of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not "
      "have named input: value")),
    ("POST", PLAIN, {"instances": [[1, 2]]}, 400,
     "instances is a plain list, but expecting list of objects as multiple input tensors required"),
    ("POST", PLAIN, {"instances": [{"values": FINE}]}, 400, "keys must be equal to: time,values"),
    ("POST", PLAIN, {"instances": [{"values": FINE, "time": 1.0}]}, 400,
     "JSON Value: 1.0 Type: Number is not of expected type: int64"),
    ("POST", PLAIN, {"instances": [{"values": FINE, "time": 2**63}]}, 400, "Number is not of expected type: int64"),
    ("POST", LEVEL, {"instances": [[[16777217]]]}, 400,
     "Cannot convert JSON value: 16777217 to float without loss of precision."),
    ("POST", LEVEL, {"instances": [[[-1.7976931348623157e308]]]}, 400, "to float without loss of precision."),
    ("POST", LEVEL, {"instances": [1.0]}, 400, "values has the shape [1]; expected [-1,50,1]"),
    ("POST", LEVEL, {"instances": [[[1.0]] * 51]}, 400, "values has the shape [1,51,1]; expected [-1,50,1]"),
    ("POST", LEVEL, {"instances": [[[1.0]] * 100]}, 400, "values has the shape [1,100,1]"),  # not two windows
    ("POST", LEVEL, {"instances": [[[[[[[[[1]]]]]]]]]}, 400, "lists are nested more than 8 deep"),
    ("POST", LEVEL, b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", 400, "lists are nested more than 8 deep"),
    # columns
    ("POST", LEVEL, {"inputs": {"value": [FINE]}}, 400, "Missing named input: values in 'inputs' object."),
    ("POST", PLAIN, {"inputs": [FINE]}, 400, "inputs is a plain value/list, but expecting an object as multiple"),
    ("POST", LEVEL, {"inputs": [[[1], [2, 3]]]}, 400, "Encountered list at unexpected size: 2 at level: 2"),
    ("POST", LEVEL, {"inputs": []}, 400, "values has the shape [0]; expected [-1,50,1]"),
    ("POST", LEVEL, {"inputs": 1}, 400, "values has the shape []; expected [-1,50,1]"),
    ("POST", PLAIN, {"inputs": {"values": [[[1.0]] * 73] * 2, "time": [0]}}, 400,
     "the inputs are of different batches: values has 2 and time has 1 rows"),
    ("POST", PLAIN, {"inputs": {"values": [[[1.0]] * 73], "time": 0}}, 400, "time has the shape []; expected [-1]"),
    ("POST", PLAIN, {"inputs": {"values": [[[1.0]] * 73], "time": [[0]]}}, 400, "time has the shape [1,1]"),
    # other methods
    ("POST", "/v1/models/plain:classify", {"examples": [{"a": 1}]}, 400,
     f"Expected classification signature method_name to be tensorflow/serving/classify. {WAS}"),
    ("POST", "/v1/models/plain:regress", {"examples": [{"a": 1}]}, 400,
     f"Expected regression signature method_name to be tensorflow/serving/regress. {WAS}"),
    ("POST", "/v1/models/plain:regress", {"signature_name": "X", "examples": [{}]}, 400,
     "No signature was found with the name: X"),
    ("POST", "/v1/models/foo:classify", {"examples": [{}]}, 404, "Servable not found for request: Latest(foo)"),
    ("POST", "/v1/models/plain:classify", {"instances": [1]}, 400, "key 'examples' is expected and was not found"),
    ("POST", "/v1/models/plain:classify", {"examples": {}}, 400, "Expecting 'examples' value to be an list/array"),
    ("POST", "/v1/models/plain:classify", {"examples": []}, 400, "'examples' value is an empty array"),
    ("POST", "/v1/models/plain:classify", {"examples": [[1]]}, 400, "Example must be JSON object but got JSON Array"),
    ("POST", "/v1/models/plain:classify", {"context": 1, "examples": [{}]}, 400, "Example must be JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), CASES)
def test_a_refusal_has_the_originals_status_and_sentence(
    server: Server, method: str, path: str, body: object, status: int, said: str
) -> None:
    reply = server.http.ask(method, path, body)
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["error"]
    assert said in reply.json["error"]
    assert reply.status == status


def test_a_path_of_another_protocol_keeps_its_own_words(server: Server) -> None:
    assert server.http.get("/v1/timeseries/forecast").status == 405
    outside = server.http.get("/v3/models")
    assert (outside.status, outside.json["error"]["code"]) == (404, 404)


def test_a_key_that_stands_twice_among_very_many_is_found_at_once(server: Server) -> None:
    """Counting each of them would keep every other request waiting for minutes."""
    names = [f'"{number:x}":0' for number in range(100_000)]
    body = ("{" + ",".join([*names, '"1":0']) + "}").encode()
    for path in (PLAIN, "/v1/timeseries/forecast"):
        assert "the key '1' stands more than once" in str(server.http.post(path, body).json)


def test_a_long_value_is_not_repeated_whole(server: Server) -> None:
    said = server.http.post(LEVEL, {"instances": [["x" * 5000]]}).json["error"]
    assert len(said) < 400
    assert "..." in said


def shelf(**parts: Any) -> Models:
    models = Models()
    models.replace({"m": Shelf(**parts)}, complete=True)
    return models


def test_versions_that_load_or_were_refused_have_their_states_the_newest_first() -> None:
    served: Any = object()
    models = shelf(
        versions={2: served}, labels={"stable": 2, "canary": 9}, loading=frozenset({4}), refused={3: "/a/path", 2: "b"}
    )
    why = "the bundle was refused; the server's log says why"
    assert states(models, Wanted(name="m")) == [
        State(version=4, state="LOADING"),
        State(version=3, state="END", code="FAILED_PRECONDITION", message=why),
        State(version=2, state="AVAILABLE"),
    ]
    assert states(models, Wanted(name="m", label="stable")) == [State(version=2, state="AVAILABLE")]
    assert find(models, Wanted(name="m")) is served
    for version in (3, 4):
        with pytest.raises(RefusedError, match=rf"Servable not found for request: Specific\(m, {version}\)"):
            find(models, Wanted(name="m", version=version))
    with pytest.raises(RefusedError, match=r"Servable not found for request: Specific\(m, 9\)"):
        find(models, Wanted(name="m", label="canary"))


def test_a_model_that_is_still_loading_is_not_found_and_its_status_says_so() -> None:
    models = shelf(loading=frozenset({1}))
    with pytest.raises(RefusedError, match=r"Servable not found for request: Latest\(m\)") as refused:
        find(models, Wanted(name="m"))
    assert refused.value.status == 404
    assert [one.state for one in states(models, Wanted(name="m"))] == ["LOADING"]
