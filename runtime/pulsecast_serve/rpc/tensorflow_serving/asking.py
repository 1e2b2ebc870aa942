"""What all calls share: the model that a ModelSpec names, and the codes of errors that HTTP has no status for."""

from __future__ import annotations

from typing import Any

import grpc

from ...protocols.tensorflow_serving.finding import Wanted
from ...refusal import BAD_REQUEST, RefusedError
from ..services import usual_code

PRECONDITION, UNIMPLEMENTED = 412, 501
_CODES = {PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION, UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED}


def code(refused: RefusedError) -> grpc.StatusCode:
    """Return the code of an error."""
    return _CODES.get(refused.status) or usual_code(refused)


def wanted(asked: Any) -> Wanted:
    """Return the model that a message names in `model_spec`; raises RefusedError (400)."""
    if not asked.HasField("model_spec"):
        raise RefusedError(BAD_REQUEST, "Missing ModelSpec")
    spec = asked.model_spec
    if not spec.name:
        raise RefusedError(BAD_REQUEST, "ModelSpec has no name specified.")
    chosen = spec.WhichOneof("version_choice")
    return Wanted(
        name=spec.name,
        version=spec.version.value if chosen == "version" else None,
        label=spec.version_label if chosen == "version_label" else None,
    )
