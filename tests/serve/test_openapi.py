"""The OpenAPI document says what is answered; schemathesis, which knows nothing of us, finds no other answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.engines import require
from helpers.serving import Client, running
from pulsecast_serve import ServerConfig
from pulsecast_serve.protocols.protocol import protocols

require("schemathesis")

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


def test_every_address_is_in_the_document_and_says_what_it_does(client: Client) -> None:
    found = client.get("/openapi.json").json
    listed = {(path, method) for path, methods in found["paths"].items() for method in methods}
    known = {
        (re.sub(r":\w+}", "}", one.path), one.method.lower())
        for protocol in protocols()
        for one in protocol.addresses
        if one.listed
    }
    assert listed == known | {("/metrics", "get")}
    operations = [one for methods in found["paths"].values() for one in methods.values()]
    assert all(re.match(r"[A-Z].+\.$", one["summary"]) for one in operations)
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert "security" not in found


def test_a_server_with_keys_says_that_it_asks_for_one(bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("k" * 32)
    keys.chmod(0o600)
    with running(bundle, config=ServerConfig(keys=str(keys))) as client:
        found = client.get("/openapi.json", {"authorization": "Bearer " + "k" * 32}).json
    assert found["security"] == [{"key": []}]


def test_an_address_that_is_not_there_points_to_the_document(client: Client) -> None:
    assert "/openapi.json lists the addresses" in client.get("/nothing").json["error"]["message"]


def run_schemathesis(client: Client, examples: int, seed: int) -> None:
    import hypothesis
    import schemathesis

    schema = schemathesis.openapi.from_url(f"{client.address}/openapi.json")
    wanted = [one for one in schemathesis.checks.CHECKS.get_all() if one.__name__ in CHECKS]
    assert len(wanted) == len(CHECKS)
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples, deadline=None, database=None, suppress_health_check=[*hypothesis.HealthCheck]
        )
        @hypothesis.given(operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=wanted)

        ask()
    assert asked >= examples


@pytest.mark.slow
def test_schemathesis_finds_nothing(client: Client) -> None:
    run_schemathesis(client, 12, 1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_schemathesis_finds_nothing_in_thousands_of_requests(client: Client, seed: int) -> None:
    run_schemathesis(client, 2000, seed)
