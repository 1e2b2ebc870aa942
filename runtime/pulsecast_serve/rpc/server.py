"""The gRPC server: who is let in, how much is read, how an error is told, and how it stops.

Every method is registered as one that takes a stream. On the wire that is the same, and here the time that a message
takes to arrive can be bounded: grpc itself waits for it without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from ..config import ServerConfig
from ..refusal import BAD_REQUEST, FAILED, GONE_SLOW, NOT_READY, TOO_MANY, UNAUTHENTICATED, RefusedError, refusal
from ..serving import Serving
from .messages import methods
from .ports import address, taken
from .services import Service, services

DRAIN_S = 30  # that answers may take once the server is told to stop
STREAMS = 64  # calls of health and reflection that stay open, at most
_HANDSHAKE_MS, _IDLE_MS, _PING_MS = 10_000, 300_000, 60_000
_RETRY_MS = "1000"
log = logging.getLogger("pulsecast.serve")
access = logging.getLogger("pulsecast.serve.access")

Admits = Callable[[bytes], bool]  # the value of `authorization` -> is it let in
Note = Callable[[str, str, float], None]  # address, code and seconds of a call
_Ended = Callable[[grpc.StatusCode, RefusedError | None], None]


class Tracer(Protocol):
    """Opens spans."""

    def opened(self, name: str, headers: Mapping[str, str]) -> contextlib.AbstractContextManager[Any]:
        """Return a span that is current while it is open; `headers` may name the client's."""

    def failed(self, span: Any) -> None:
        """Mark a span: the fault was the server's."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A method, and the messages that it takes."""

    service: Service
    name: str
    request: Any

    @property
    def address(self) -> str:
        return f"{self.service.whole_name}/{self.name}"


class RpcServer:
    """Answers gRPC on `config.grpc_port` from `start` to `stop`.

    admits   None lets everyone in
    started  called once it listens
    tracer   opens a span for each call; None opens none
    """

    def __init__(
        self, serving: Serving, *, admits: Admits | None, note: Note, started: Callable[[], None] | None = None,
        tracer: Tracer | None = None,
    ) -> None:  # fmt: skip
        self._serving = serving
        self._admits = admits
        self._note = note
        self._started = started
        self._tracer = tracer
        self._active = 0
        self._streams: set[asyncio.Task[Any] | None] = set()
        self._stopping = False
        self._server: Any = None

    async def start(self) -> None:
        """Listen; raises UsageError if the port is taken."""
        config = self._serving.config
        self._server = grpc.aio.server(options=_options(config))
        for service in services():
            self._server.add_generic_rpc_handlers((self._handler(service),))
        try:
            port = _bind(self._server, config)
        except RuntimeError:
            raise taken(config) from None
        await self._server.start()
        log.info("gRPC answers on %s", address(config.host, port))
        if self._started is not None:
            self._started()

    async def stop(self) -> None:
        """Take no more calls, and finish those at work; streams, which have no end, are cut."""
        self._stopping = True
        drained = asyncio.create_task(self._server.stop(DRAIN_S))
        await asyncio.sleep(0)  # from now on nothing new begins
        for stream in tuple(self._streams):
            if stream is not None:
                stream.cancel()
        await drained

    def _handler(self, service: Service) -> Any:
        found = {}
        for name, request, _ in methods(service.file, service.name):
            call = _Call(service=service, name=name, request=request)
            if name in service.methods:
                found[name] = grpc.stream_unary_rpc_method_handler(self._unary(call))
            elif name in service.streams:
                found[name] = grpc.stream_stream_rpc_method_handler(self._stream(call))
        return grpc.method_handlers_generic_handler(service.whole_name, found)

    def _unary(self, call: _Call) -> Callable[[AsyncIterator[bytes], Any], Any]:
        answers = call.service.methods[call.name]

        async def behaviour(messages: AsyncIterator[bytes], context: Any) -> bytes:
            self._active += 1
            try:
                async with self._told(call, context):
                    if self._active > self._serving.config.active:
                        raise _full(f"{self._serving.config.active:,} calls are at work")
                    asked = await anext(self._read(call, messages))
                    answer: bytes = (await answers(self._serving, asked)).SerializeToString()
                    return answer
            finally:
                self._active -= 1

        return behaviour

    def _stream(self, call: _Call) -> Callable[[AsyncIterator[bytes], Any], Any]:
        answers = call.service.streams[call.name]

        async def behaviour(messages: AsyncIterator[bytes], context: Any) -> None:
            task = asyncio.current_task()
            self._streams.add(task)
            try:
                async with self._told(call, context):
                    if len(self._streams) > STREAMS:
                        raise _full(f"{STREAMS} calls are open")
                    try:
                        async for answer in answers(self._serving, self._read(call, messages)):
                            await context.write(answer.SerializeToString())
                    except asyncio.CancelledError:
                        if not self._stopping:
                            raise
                        raise RefusedError(NOT_READY, "the server stops; ask again, or another one") from None
            finally:
                self._streams.discard(task)

        return behaviour

    @contextlib.asynccontextmanager
    async def _told(self, call: _Call, context: Any) -> AsyncIterator[None]:
        """Let a call in or not, count it, and tell the client of an error, without a traceback."""
        began, code, refused = time.perf_counter(), grpc.StatusCode.CANCELLED, None
        with self._span(call, context) as ended:
            try:
                if call.name not in call.service.open:
                    self._check_key(context)
                yield
                code = grpc.StatusCode.OK
            except Exception as error:
                refused = refusal(error)
                code = call.service.code(refused)
                if refused.status == FAILED:
                    log.exception("%s failed", call.address)
            finally:
                self._count(call, code, time.perf_counter() - began)
                ended(code, refused)
        if refused is not None:
            again = (("grpc-retry-pushback-ms", _RETRY_MS),) if refused.status in {TOO_MANY, NOT_READY} else ()
            await context.abort(code, str(refused), again)

    @contextlib.contextmanager
    def _span(self, call: _Call, context: Any) -> Iterator[_Ended]:
        """Open a span around a call, and yield what notes how it ended."""
        tracer = self._tracer
        if tracer is None:
            yield lambda code, refused: None
            return
        sent = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
        with tracer.opened(call.address, sent) as span:
            span.set_attribute("rpc.system", "grpc")
            span.set_attribute("rpc.service", call.service.whole_name)
            span.set_attribute("rpc.method", call.name)

            def ended(code: grpc.StatusCode, refused: RefusedError | None) -> None:
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                if refused is not None and refused.status == FAILED:
                    tracer.failed(span)

            yield ended

    def _count(self, call: _Call, code: grpc.StatusCode, seconds: float) -> None:
        self._note(call.address, code.name, seconds)
        if self._serving.config.access_log:
            access.info("gRPC %s %s %.1f ms", call.address, code.name, 1000 * seconds)

    def _check_key(self, context: Any) -> None:
        if self._admits is None:
            return
        sent = [value for name, value in context.invocation_metadata() if name == "authorization"]
        presented = sent[0] if sent else b""
        if not self._admits(presented.encode() if isinstance(presented, str) else presented):
            raise RefusedError(
                UNAUTHENTICATED, "a key is missing or unknown; send it as the metadata 'authorization: Bearer KEY'"
            )

    async def _read(self, call: _Call, messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the messages of a call; raises RefusedError: 408 (they come too slowly), 400 (something else)."""
        first = True
        while True:
            try:
                async with asyncio.timeout(self._serving.config.request_s):
                    data = await anext(messages)
            except TimeoutError:
                raise RefusedError(GONE_SLOW, "the request did not arrive in time; send it faster") from None
            except StopAsyncIteration:
                if first:
                    raise RefusedError(BAD_REQUEST, "the call ended before its message was whole") from None
                return
            first = False
            yield _parsed(call, data)


def _parsed(call: _Call, data: bytes) -> Any:
    try:
        return call.request.FromString(data)
    except DecodeError:
        name = call.request.DESCRIPTOR.full_name
        raise RefusedError(BAD_REQUEST, f"the message cannot be read; expected a {name}") from None


def _full(why: str) -> RefusedError:
    return RefusedError(TOO_MANY, f"{why}; try again in a moment")


def _options(config: ServerConfig) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", config.body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", config.active + STREAMS),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.keepalive_time_ms", _PING_MS),  # a client that is gone without a word would keep its stream
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.so_reuseport", int(config.workers > 1)),
    ]


def _bind(server: Any, config: ServerConfig) -> int:
    where = address(config.host, config.grpc_port or 0)
    if config.tls_certificate is None or config.tls_key is None:
        return int(server.add_insecure_port(where))
    pair = (Path(config.tls_key).read_bytes(), Path(config.tls_certificate).read_bytes())
    roots = None if config.client_ca is None else Path(config.client_ca).read_bytes()
    credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)
    return int(server.add_secure_port(where, credentials))
