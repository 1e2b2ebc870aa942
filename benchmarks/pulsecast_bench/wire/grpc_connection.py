"""One gRPC connection; messages are bytes here, so that packing them is no part of a latency."""

from __future__ import annotations

from pathlib import Path

from pulsecast.errors import EngineError, MissingExtraError
from pulsecast.foundation.arguments import shown

from .http_connection import ANSWER_S
from .server import Server, authorization, tls_context

# a connection of its own for each caller, straight to the server, and no limit on an answer but the protocol's
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 << 20),
)


def _pem(server: Server) -> list[bytes | None]:
    """Return the authority, the client's key and its certificate, each None where the server has none."""
    tls_context(server)  # reads them as a connection of HTTP would, and says what is wrong
    files = (server.ca, server.certificate_key, server.certificate)
    return [None if file is None else Path(file).read_bytes() for file in files]


class GrpcConnection:
    """Calls one method, again and again."""

    def __init__(self, server: Server, method: str) -> None:
        """Connect.

        Raises EngineError if there is no server, UsageError if its certificates cannot be used, MissingExtraError
        without grpcio.
        """
        try:
            import grpc
        except ImportError:
            raise MissingExtraError("a protocol over gRPC needs grpcio: pip install 'pulsecast[serve]'") from None
        self._error = grpc.RpcError
        target = f"{f'[{server.host}]' if ':' in server.host else server.host}:{server.port}"
        self._channel = (
            grpc.secure_channel(target, grpc.ssl_channel_credentials(*_pem(server)), _OPTIONS)
            if server.tls
            else grpc.insecure_channel(target, _OPTIONS)
        )
        key = authorization(server)
        self._metadata = None if key is None else (("authorization", key),)
        self._call = self._channel.unary_unary(method)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=ANSWER_S)
        except grpc.FutureTimeoutError:
            self.close()
            raise EngineError(
                f"the server cannot be reached over gRPC within {ANSWER_S:g} s; is it running at that address?"
            ) from None

    def ask(self, request: bytes) -> bytes:
        """Return the answer; raises EngineError if it is late, is an error, or does not come."""
        try:
            answer: bytes = self._call(request, timeout=ANSWER_S, metadata=self._metadata)
        except self._error as error:
            if error.code().name == "DEADLINE_EXCEEDED":
                raise EngineError(f"the server did not answer within {ANSWER_S:g} s") from None
            words = shown((error.details() or "")[:300])
            raise EngineError(f"the server answered {error.code().name}: {words}") from None
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
