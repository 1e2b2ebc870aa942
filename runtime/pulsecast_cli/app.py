"""The typer application: its commands, and how an error is reported."""

from __future__ import annotations

import functools
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from pulsecast import __version__
from pulsecast.errors import MissingExtraError, PulsecastError, UsageError
from pulsecast.plain_text import message
from pulsecast.stages.environment import set_command
from pulsecast.stages.exits import FAILED, INTERRUPTED, MISSING_EXTRA, OK, USAGE, exit_code

from .commands.examples import examples_text
from .commands.table import COMMANDS, Command
from .terminal.exit_codes import exits_text
from .terminal.interrupts import ending
from .terminal.output import tell

app = typer.Typer(
    name="pulsecast",
    help="Train a forecaster on an engagement log, export it, prove every artifact, measure it where it will run.",
    no_args_is_help=True,
    epilog=exits_text(),
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name, epilog=examples_text(_name))(_command.function())

_parser = functools.cache(get_command)  # typer would read the signatures of all commands again at each call of `run`


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pulsecast {__version__}")
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the engines' own log; first on the line.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options of the whole program; they take effect before a command runs."""
    del verbose, version


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; an error is one sentence on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: its start-up log is not ours
    try:
        set_command(arguments)
        code = _parser(app)(arguments or ["--help"], standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of stdout closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (PulsecastError, TyperException, ModuleNotFoundError, OSError) as error:
        sentence, code = _explained(error, arguments)
        tell(f"error{_kind(error)}: {message(sentence)}")
    finally:
        set_command(None)
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code
        word, code = ending()
        if again := _again(arguments):
            tell(again)
        tell(word)
    return code if isinstance(code, int) else OK


def _kind(error: Exception) -> str:
    """Return an error's code in brackets, the anchor of its section in the documentation; the system's have none."""
    if isinstance(error, PulsecastError):
        return f"[{error.code}]"
    if isinstance(error, TyperException):
        return f"[{UsageError.code}]"
    return f"[{MissingExtraError.code}]" if isinstance(error, ModuleNotFoundError) else ""


def _explained(error: Exception, arguments: list[str]) -> tuple[str, int]:
    """Return an error's message and exit code."""
    if isinstance(error, PulsecastError):
        return str(error), exit_code(error)
    if isinstance(error, TyperException):  # an unknown command or option, a file that is not there
        said = error.format_message().replace("Value error, ", "")  # a prefix of pydantic's
        return " ".join(said.split()), USAGE
    if isinstance(error, ModuleNotFoundError):
        command = _command_of(arguments)
        extra = command.extra if command else "all"
        return f"this needs {error.name}, which is not installed: pip install 'pulsecast[{extra}]'", MISSING_EXTRA
    reason = error.strerror if isinstance(error, OSError) else None
    if reason and reason.startswith("No usable temporary directory"):  # the words of `tempfile`
        return "this needs a folder for temporary files, and none can be written: set TMPDIR to one that can", FAILED
    where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    return f"{reason or error}{where}", FAILED


def _command_of(arguments: list[str]) -> Command | None:
    return next((COMMANDS[argument] for argument in arguments if argument in COMMANDS), None)


def _again(arguments: list[str]) -> str:
    """Return how an interrupted command goes on; empty where there is nothing to say."""
    command = _command_of(arguments)
    return command.again if command else ""
