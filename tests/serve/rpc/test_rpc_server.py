"""The gRPC server: who is let in, how long it waits, what it tells of an error, how it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from helpers.engines import require_tools
from helpers.serving import WAIT_S, running, started
from helpers.serving.rpc import Both, running_both
from pulsecast.errors import UsageError
from pulsecast_serve import ServerConfig, serve
from pulsecast_serve.refusal import RefusedError
from pulsecast_serve.rpc import health, inference
from pulsecast_serve.rpc import server as rpc_server
from pulsecast_serve.rpc.ports import reserved
from pulsecast_serve.rpc.services import CODES, service_names, services

KEY = "k" * 32
CHECK, METADATA = "/grpc.health.v1.Health/Check", "/inference.GRPCInferenceService/ServerMetadata"
SERVING, NOT_SERVING = 1, 2


def same(data: bytes) -> bytes:
    return data


@contextmanager
def channel_to(server: Both, **credentials: Any) -> Iterator[grpc.Channel]:
    channel = (
        grpc.secure_channel(server.rpc, grpc.ssl_channel_credentials(**credentials))
        if credentials
        else grpc.insecure_channel(server.rpc)
    )
    with channel:
        yield channel


def call(channel: grpc.Channel, path: str, data: bytes = b"", **options: Any) -> bytes:
    """Return the answer to one message, or raise RpcError."""
    found: bytes = channel.unary_unary(path, same, same)(data, timeout=WAIT_S, **options)
    return found


def refusal_of(channel: grpc.Channel, path: str, data: bytes = b"", **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, path, data, **options)
    return caught.value.code(), caught.value.details()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def test_grpc_is_off_unless_it_is_asked_for(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server.RpcServer, "start", lambda self: pytest.fail("gRPC was started"))
    with running(bundle) as client:
        assert client.get("/v2/health/ready").status == 200


def test_a_key_opens_everything_and_health_needs_none(bundle: Path, keys: Path) -> None:
    with running_both(bundle, config=ServerConfig(keys=str(keys))) as server, channel_to(server) as channel:
        assert health_pb2.HealthCheckResponse.FromString(call(channel, CHECK)).status == SERVING
        assert call(channel, "/inference.GRPCInferenceService/ServerReady") == b"\x08\x01"
        for sent in ((), ("Bearer " + "x" * 32,), (KEY,), (f"Basic {KEY}",), ("Bearer",)):
            metadata = [("authorization", value) for value in sent]
            code, said = refusal_of(channel, METADATA, metadata=metadata)
            assert code == grpc.StatusCode.UNAUTHENTICATED
            assert "authorization: Bearer KEY" in said
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            ProtoReflectionDescriptorDatabase(channel).get_services()
        assert b"pulsecast" in call(channel, METADATA, metadata=[("authorization", f"bearer {KEY}")])


def test_health_is_of_the_models_and_known_by_service(bundle: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with running_both(models=models, config=ServerConfig(poll_s=0.02)) as server, channel_to(server) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
        assert next(watched).status == NOT_SERVING
        (models / "plain").symlink_to(bundle)
        assert next(watched).status == SERVING  # only the change is told
        for name in ("", *service_names()):
            assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING
        assert set(stub.List(health_pb2.HealthListRequest()).statuses) == {"", *service_names()}
        code, said = refusal_of(channel, CHECK, health_pb2.HealthCheckRequest(service="x").SerializeToString())
        assert (code, said.partition(";")[0]) == (grpc.StatusCode.NOT_FOUND, "no service 'x'")
        assert "inference.GRPCInferenceService" in said
        watched.cancel()


def test_reflection_describes_every_service(bundle: Path) -> None:
    with running_both(bundle) as server, channel_to(server) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert list(database.get_services()) == sorted(service_names())
        for one in services():
            assert database.FindFileContainingSymbol(one.whole_name).package == one.file.package


def test_bytes_that_are_no_message_and_unknown_methods_are_refused(bundle: Path) -> None:
    with running_both(bundle) as server, channel_to(server) as channel:
        code, said = refusal_of(channel, CHECK, b"\xff\xff")
        assert (code, said) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "the message cannot be read; expected a grpc.health.v1.HealthCheckRequest",
        )
        assert refusal_of(channel, "/inference.GRPCInferenceService/Nothing")[0] == grpc.StatusCode.UNIMPLEMENTED
        with pytest.raises(grpc.RpcError, match="ended before its message was whole"):
            channel.stream_unary(CHECK, same, same)(iter(()), timeout=WAIT_S)


def test_a_message_that_does_not_come_is_not_waited_for(bundle: Path) -> None:
    never = threading.Event()

    def silent() -> Iterator[bytes]:
        never.wait(WAIT_S)
        yield from ()

    with running_both(bundle, config=ServerConfig(request_s=0.1)) as server, channel_to(server) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(CHECK, same, same)(silent(), timeout=WAIT_S)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "did not arrive in time" in caught.value.details()
        never.set()


def test_silent_clients_do_not_keep_others_from_an_answer(bundle: Path) -> None:
    """With a thread for each call, as many of them as there are threads would."""
    never = threading.Event()

    def silent() -> Iterator[bytes]:
        never.wait(WAIT_S)
        yield from ()

    with running_both(bundle) as server, channel_to(server) as channel:
        calls = [channel.stream_unary(CHECK, same, same).future(silent(), timeout=WAIT_S) for _ in range(60)]
        assert health_pb2.HealthCheckResponse.FromString(call(channel, CHECK)).status == SERVING
        never.set()
        for one in calls:
            assert one.exception(WAIT_S).code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_that_is_too_large_is_refused(bundle: Path) -> None:
    with running_both(bundle, config=ServerConfig(body_bytes=1000)) as server, channel_to(server) as channel:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            code, said = refusal_of(channel, CHECK, bytes(100_000), compression=compression)
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "larger than max" in said


def test_one_call_too_many_is_asked_to_come_again(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def silent() -> Iterator[bytes]:
        never.wait(WAIT_S)
        yield from ()

    arrived = threading.Semaphore(0)
    read = rpc_server.RpcServer._read
    monkeypatch.setattr(rpc_server.RpcServer, "_read", lambda *given: (arrived.release(), read(*given))[1])
    with running_both(bundle, config=ServerConfig(active=2)) as server, channel_to(server) as channel:
        calls = [channel.stream_unary(CHECK, same, same).future(silent(), timeout=WAIT_S) for _ in range(2)]
        for _ in calls:
            assert arrived.acquire(timeout=WAIT_S)
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, CHECK)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "2 calls are at work; try again in a moment"
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        never.set()
        assert {one.exception(WAIT_S).code() for one in calls} == {grpc.StatusCode.INVALID_ARGUMENT}


def test_streams_are_few_and_do_not_count_as_calls(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_server, "STREAMS", 2)
    with running_both(bundle, config=ServerConfig(active=1)) as server, channel_to(server) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watched = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_S) for _ in range(2)]
        assert [next(one).status for one in watched] == [SERVING] * 2
        with pytest.raises(grpc.RpcError, match="2 calls are open; try again"):
            next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_S))
        assert b"pulsecast" in call(channel, METADATA)
        for one in watched:
            one.cancel()


def test_a_fault_of_the_server_says_nothing_of_itself(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(serving: Any, asked: Any) -> Any:
        raise ZeroDivisionError("/a/path")

    monkeypatch.setitem(inference.SERVICE.methods, "ServerMetadata", broken)
    with running_both(bundle) as server, channel_to(server) as channel:
        assert refusal_of(channel, METADATA) == (
            grpc.StatusCode.INTERNAL, "the server failed to answer; its log says why",
        )  # fmt: skip
    assert "/a/path" in caplog.text


def test_calls_are_counted_by_method_and_code(bundle: Path) -> None:
    with running_both(bundle) as server, channel_to(server) as channel:
        call(channel, METADATA)
        refusal_of(channel, CHECK, b"\xff")
        text = server.http.get("/metrics").body.decode()
    assert 'address="inference.GRPCInferenceService/ServerMetadata",status="OK"} 1.0' in text
    assert 'address="grpc.health.v1.Health/Check",status="INVALID_ARGUMENT"} 1.0' in text


def test_every_status_that_is_raised_has_a_code() -> None:
    from pulsecast_serve import refusal

    raised = {value for name, value in vars(refusal).items() if name.isupper() and isinstance(value, int)}
    assert raised <= CODES.keys()
    assert services()[0].code(RefusedError(418, "x")) == grpc.StatusCode.INTERNAL


def test_a_taken_port_is_said_before_anything_is_served(bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of gRPC cannot be listened on; choose another --grpc-port"):
            serve(bundle, config=ServerConfig(port=0, grpc_port=port))


def test_a_server_that_cannot_begin_does_not_end_as_if_all_was_well(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(rpc_server, "_bind", lambda server, config: 1 / 0)
    with pytest.raises(UsageError, match="the server could not begin to answer; its log says why"):
        serve(bundle, config=ServerConfig(port=0, grpc_port=0), listening=said.append)
    assert [one.partition(":")[0] for one in said] == ["http"]  # gRPC never listened


def test_workers_share_a_port_that_others_cannot_take() -> None:
    with reserved(ServerConfig(grpc_port=0, workers=2)) as settled, socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind((settled.host, settled.grpc_port))
        worker.listen()
        for workers in (1, 2):
            with (
                pytest.raises(UsageError, match="cannot be listened on"),
                reserved(replace(settled, workers=workers)),
            ):
                pass


@pytest.mark.parametrize(
    ("options", "said"),
    [({"grpc_port": -1}, "grpc_port is -1"), ({"port": 9000, "grpc_port": 9000}, "each need a port of their own")],
)
def test_a_port_that_cannot_be_is_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ServerConfig(**options)


@pytest.mark.slow
def test_workers_answer_on_one_port_until_they_are_told_to_stop(bundle: Path) -> None:
    with started(bundle, "--workers", "2", "--grpc-port", "0") as served:
        assert served.process.stderr is not None
        said = served.process.stderr.readline()
        assert said.startswith("answering on grpc://127.0.0.1:")
        place = said.split("grpc://")[1].split(";")[0]
        for _ in range(8):  # each on a connection of its own
            with grpc.insecure_channel(place, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                found = stub.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_S, wait_for_ready=True)
                assert found.status == SERVING
        served.process.terminate()
        assert served.process.wait(WAIT_S) == 0


def test_the_address_of_grpc_is_said_once_it_answers(bundle: Path) -> None:
    asked: list[int] = []

    def ask(address: str) -> None:
        if address.startswith("grpc://"):
            threading.Thread(
                target=lambda: (asked.append(_health_at(address)), os.kill(os.getpid(), signal.SIGTERM))
            ).start()

    serve(bundle, config=ServerConfig(port=0, grpc_port=0), listening=ask)
    assert asked == [SERVING]


def _health_at(address: str) -> int:
    with grpc.insecure_channel(address.removeprefix("grpc://")) as channel:
        return int(health_pb2.HealthCheckResponse.FromString(call(channel, CHECK)).status)


def certificates(folder: Path) -> dict[str, Path]:
    """Make an authority, and a certificate of it for the server and for a client."""
    require_tools("openssl")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name in ("server", "client"):
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            f"{name}.pem", "-extfile", "ext", "-days", "2",
        )  # fmt: skip
    return {path.name: path for path in folder.iterdir()}


def test_tls_asks_for_a_certificate_of_the_named_authority(bundle: Path, tmp_path: Path) -> None:
    made = certificates(tmp_path)
    config = ServerConfig(
        tls_certificate=str(made["server.pem"]), tls_key=str(made["server.key"]), client_ca=str(made["ca.pem"])
    )
    roots = made["ca.pem"].read_bytes()
    with running_both(bundle, config=config) as server:
        pair = {"private_key": made["client.key"].read_bytes(), "certificate_chain": made["client.pem"].read_bytes()}
        with channel_to(server, root_certificates=roots, **pair) as channel:
            assert b"pulsecast" in call(channel, METADATA)
        for credentials in ({"root_certificates": roots}, {}):
            with channel_to(server, **credentials) as channel:
                assert refusal_of(channel, METADATA)[0] == grpc.StatusCode.UNAVAILABLE


def test_what_is_at_work_is_answered_before_the_server_stops(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end = threading.Event(), threading.Event()

    async def slow(serving: Any, asked: Any) -> Any:
        began.set()
        await serving.run(100, lambda: may_end.wait(WAIT_S))
        return await health.check(serving, health_pb2.HealthCheckRequest())

    monkeypatch.setitem(inference.SERVICE.methods, "ServerMetadata", slow)
    with ExitStack() as serving:
        server = serving.enter_context(running_both(bundle))
        with channel_to(server) as channel:
            watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=WAIT_S)
            assert next(watched).status == SERVING
            answer = channel.unary_unary(METADATA, same, same).future(b"", timeout=WAIT_S)
            assert began.wait(WAIT_S)
            threading.Thread(target=lambda: (_ended(watched), may_end.set())).start()  # the stream is cut at once
            serving.close()
            assert answer.result(WAIT_S) == b"\x08\x01"


def _ended(stream: Any) -> None:
    with pytest.raises(grpc.RpcError, match="the server stops"):
        next(stream)
