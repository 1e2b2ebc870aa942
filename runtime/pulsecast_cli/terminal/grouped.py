"""Options that belong together as one parameter of a command, though typer wants a parameter for each."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` for typer: each parameter whose type is a dataclass is replaced by its fields.

    A field carries its option as a parameter would, `Annotated[int, typer.Option("--step")] = 1`. The command is then
    called with one value of the dataclass, and the options stand in the help where that parameter stands.
    """
    signature = inspect.signature(command, eval_str=True)
    groups = {name: _fields(p.annotation) for name, p in signature.parameters.items() if _is_group(p.annotation)}

    @functools.wraps(command)
    def spread(**arguments: Any) -> None:
        for name, fields in groups.items():
            group = signature.parameters[name].annotation
            arguments[name] = group(**{field.name: arguments.pop(field.name) for field in fields})
        command(**arguments)

    parameters = [one for name, p in signature.parameters.items() for one in groups.get(name, [p])]
    spread.__dict__["__signature__"] = signature.replace(parameters=parameters)
    spread.__annotations__ = {p.name: p.annotation for p in parameters}
    return spread


def _is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def _fields(group: Any) -> list[inspect.Parameter]:
    """Return a dataclass's fields as parameters; each has a default, as every option does."""
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(field.name, kind, default=field.default, annotation=hints[field.name])
        for field in dataclasses.fields(group)
    ]
