"""Reflection: a client such as grpcurl asks which services there are, and for their messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from grpc_reflection.v1alpha import reflection, reflection_pb2

from ..serving import Serving
from . import services
from .messages import POOL, share
from .services import Service


def reflect(serving: Serving, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield what was asked about names, files and messages."""
    del serving
    for one in services.services():
        if one.file.pool is not POOL:
            share(one.file)
    answers = reflection.aio.ReflectionServicer(services.service_names(), POOL)
    found: AsyncIterator[Any] = answers.ServerReflectionInfo(messages, None)
    return found


SERVICE = Service(
    file=reflection_pb2.DESCRIPTOR,
    name="ServerReflection",
    streams={"ServerReflectionInfo": reflect},
)
