"""ModelService: the state of versions."""

from __future__ import annotations

from typing import Any

from ...protocols.tensorflow_serving.finding import states
from ...refusal import RefusedError
from ...serving import Serving
from ..messages import described, message
from ..services import Service
from . import schema
from .asking import UNIMPLEMENTED, code, wanted

_FILE = described(schema.MODEL)


async def status(serving: Serving, asked: Any) -> Any:
    """Answer the state of a model's versions, the newest first."""
    answer = message("tensorflow.serving.GetModelStatusResponse")()
    for found in states(serving.models, wanted(asked)):
        one = answer.model_version_status.add(version=found.version, state=found.state)
        one.status.error_code = (
            one.status.DESCRIPTOR.fields_by_name["error_code"].enum_type.values_by_name[found.code].number
        )
        one.status.error_message = found.message
    return answer


async def reload(serving: Serving, asked: Any) -> Any:
    """Refuse a new configuration: with one, anyone who reaches the port could have other files served."""
    del serving, asked
    raise RefusedError(
        UNIMPLEMENTED,
        "this server takes no configuration over the wire; it follows its folder of models: put a bundle at "
        "DIR/NAME/VERSION/ and start it with --models DIR",
    )


SERVICE = Service(
    file=_FILE,
    name="ModelService",
    methods={"GetModelStatus": status, "HandleReloadConfigRequest": reload},
    code=code,
)
