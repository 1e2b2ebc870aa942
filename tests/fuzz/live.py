"""What is fuzzed of serving and streaming: bodies of HTTP, messages of gRPC, messages and events of brokers."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from fuzz.places import GOLDEN, SERIES, Check

MODEL = "golden_model"


class Address(NamedTuple):
    """Where a body goes; `nan` where the protocol writes NaN, which TensorFlow Serving's does."""

    path: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    nan: bool = False


_JSON = (b"content-type", b"application/json")
_HEADER_LENGTH = b"inference-header-content-length"
ADDRESSES = (
    Address("/v1/timeseries/forecast", (_JSON,)),
    Address("/v1/anomalies", (_JSON,)),
    Address(f"/v1/streams/{MODEL}/a", (_JSON,)),
    Address(f"/v2/models/{MODEL}/infer", (_JSON,)),
    Address(f"/v2/models/{MODEL}/infer"),  # binary: the next two bytes say how long the JSON is
    Address(f"/v1/models/{MODEL}:predict", (_JSON,), nan=True),
    Address(f"/v1/models/{MODEL}:classify", (_JSON,), nan=True),
    Address("/v1/timeseries/forecast", (_JSON, (b"content-encoding", b"gzip"))),
)
BINARY = 4


def body() -> Check:
    """A request of HTTP, in the process: the first byte says to which address. Each is answered, none with a fault."""
    from pulsecast_serve import ServerConfig, application

    config = ServerConfig(store="memory", backend="numpy", body_bytes=100_000, windows=64, streams=10)
    app, loop = application([GOLDEN], config=config), asyncio.new_event_loop()

    def check(data: bytes) -> None:
        number, address, headers, sent = request(data)
        status, answered = loop.run_until_complete(asked(app, address.path, headers, sent))
        assert status in (200, 400, 404, 409, 413, 507), (status, answered)
        if status != 200 or number not in (BINARY, 3):  # tensors may be binary in these
            said = json.loads(answered, parse_constant=float if address.nan else _no_constant)
            assert status == 200 or len(json.dumps(said)) < 5000, said

    return check


def request(data: bytes) -> tuple[int, Address, list[tuple[bytes, bytes]], bytes]:
    """Return the number of an address, the address, headers and body that `data` stands for."""
    number = data[0] % len(ADDRESSES) if data else 0
    address, sent = ADDRESSES[number], data[1:]
    if number != BINARY:
        return number, address, [*address.headers], sent
    return number, address, [(_HEADER_LENGTH, str(int.from_bytes(sent[:2], "big")).encode())], sent[2:]


def _no_constant(word: str) -> None:
    raise AssertionError(f"the answer holds {word}")


async def asked(app: Any, path: str, headers: list[tuple[bytes, bytes]], sent: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer to a POST."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("a", 80),
        "headers": [(b"content-length", str(len(sent)).encode()), *headers],
    }  # fmt: skip
    answered: list[Any] = []
    parts = [{"type": "http.request", "body": sent, "more_body": False}]

    async def receive() -> Any:
        return parts.pop() if parts else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        answered.append(message)

    await app(scope, receive, send)
    return answered[0]["status"], b"".join(one.get("body", b"") for one in answered[1:])


def rpc() -> Check:
    """A message of gRPC, without the network: the first byte says of which method. It is answered or refused."""
    from google.protobuf.message import DecodeError

    from pulsecast import load
    from pulsecast_serve import ServerConfig
    from pulsecast_serve.models.library import fixed
    from pulsecast_serve.models.served import Models
    from pulsecast_serve.refusal import FAILED, refusal
    from pulsecast_serve.rpc.messages import methods
    from pulsecast_serve.rpc.services import services
    from pulsecast_serve.serving import Serving

    models = Models()
    fixed(models, {MODEL: load(GOLDEN, backend="numpy"), "series": load(SERIES, backend="numpy")})
    serving, loop = Serving(models=models, config=ServerConfig(windows=64)), asyncio.new_event_loop()
    calls: list[tuple[Any, Callable[..., Any]]] = [
        (request, one.methods[name])
        for one in services()
        for name, request, _ in methods(one.file, one.name)
        if name in one.methods
    ]

    def check(data: bytes) -> None:
        request, answers = calls[data[0] % len(calls) if data else 0]
        try:
            message = request.FromString(data[1:])
        except DecodeError:
            return
        try:
            loop.run_until_complete(answers(serving, message)).SerializeToString()
        except Exception as error:
            if refusal(error).status == FAILED:
                raise
            raise refusal(error) from None  # whose words are looked at

    return check


def message() -> Check:
    """A message of a stream, JSON or MessagePack: a forecast or a dead letter, which both forms hold."""
    from pulsecast import load
    from pulsecast_streams import Policies, Received, answer
    from pulsecast_streams.messages.writing import written

    model, lenient = load(GOLDEN, backend="numpy"), Policies(unknown_fields="ignore")

    def check(data: bytes) -> None:
        for key, policies in ((b"likes", Policies()), (data[:9], lenient), (None, lenient)):
            found = answer(model, Received(key=key, value=data), policies=policies)
            record = found.dead_letter or found.forecast
            assert record is not None
            assert (found.state is None) == (found.dead_letter is not None)
            assert json.loads(written(record)) == record
            written(record, "msgpack")

    return check


def event() -> Check:
    """Events of a series, one on each line, shuffled and late as they are; and the state that they leave."""
    from pulsecast_streams import EventPolicies, Received, count, tick
    from pulsecast_streams.events.state import counting_of, written_state

    policies = [EventPolicies(step_s=3600, lateness_s=7200, of=of) for of in ("events", "sum", "mean")]  # type: ignore[arg-type]

    def check(data: bytes) -> None:
        chosen, state, last = policies[data[0] % 3 if data else 0], None, -1
        for line in data[1:].split(b"\n")[:8]:  # each may complete the steps of a year
            found = count(Received(key="likes", value=line), state, policies=chosen)
            times = [one["time"] for one in found.steps]
            assert times == sorted(times)
            assert not times or times[0] > last or last == -1
            last, state = (times or [last])[-1], found.state
        if state is not None:
            kept = counting_of(state)
            assert written_state(kept) == state
            tick(state, max(kept.latest_us // 10**6, 0) + 3600, policies=chosen)

    return check


def event_state() -> Check:
    """What is kept of counted events, under a right checksum: it goes on, or is refused."""
    from pulsecast_streams import EventPolicies, Received, count
    from pulsecast_streams.events.state import counting_of, written_state

    policies = EventPolicies(step_s=60, lateness_s=600)
    line = Received(key="likes", value=b'{"time": 1736121700, "id": "a"}')

    def check(data: bytes) -> None:
        state = b"PCEV\x02" + zlib.crc32(data).to_bytes(4, "big") + data
        kept = counting_of(state)
        assert counting_of(written_state(kept)) == kept
        count(line, state, policies=policies)

    return check
