"""Options that a command gets as one value are single options on the command line."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from helpers.engines import require

require("typer")

import typer  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from pulsecast_cli.terminal.grouped import grouped  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Paint:
    """Options of a test."""

    colour: Annotated[str, typer.Option("--colour", help="Of the wall.")] = "white"
    coats: Annotated[list[int] | None, typer.Option("--coat", help="Millimetres, repeatable.")] = None


@dataclass(frozen=True, kw_only=True)
class Tools:
    """More options of a test."""

    ladder: Annotated[bool, typer.Option("--ladder/--no-ladder", help="Bring one.")] = True


PAINT, TOOLS = Paint(), Tools()
seen: list[Any] = []


@grouped
def decorate(
    room: Annotated[str, typer.Argument()],
    first: Annotated[int, typer.Option("--first")] = 1,
    paint: Paint = PAINT,
    tools: Tools = TOOLS,
    last: Annotated[int, typer.Option("--last")] = 9,
) -> None:
    """Decorate a room."""
    seen.append((room, first, paint, tools, last))


def invoke(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(decorate)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), (1, Paint(), Tools(), 9)),
        (("--coat", "2", "--coat", "3", "--no-ladder"), (1, Paint(coats=[2, 3]), Tools(ladder=False), 9)),
        (("--colour", "red", "--last", "4", "--first", "3"), (3, Paint(colour="red"), Tools(), 4)),
    ],
)
def test_a_command_is_called_with_its_groups_filled(arguments: tuple[str, ...], expected: tuple[Any, ...]) -> None:
    seen.clear()
    assert invoke("kitchen", *arguments).exit_code == 0
    assert seen == [("kitchen", *expected)]


def test_a_groups_options_stand_in_the_help_where_the_group_stands() -> None:
    shown = invoke("--help").output
    at = [shown.index(flag) for flag in ("--first", "--colour", "--coat", "--ladder", "--last")]
    assert at == sorted(at)
    assert "Decorate a room." in shown
    assert "Of the wall." in shown


def test_a_wrong_value_of_a_grouped_option_is_a_usage_error() -> None:
    assert invoke("kitchen", "--coat", "thick").exit_code == 2
