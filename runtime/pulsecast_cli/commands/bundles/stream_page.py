"""The page of a stream on a broker: `--page [HOST:]PORT`, with the locks of `serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import shown

from ...terminal.output import tell

if TYPE_CHECKING:
    from pulsecast import Forecaster
    from pulsecast_streams import StepAnswer

LOCKS = ("keys", "tls_certificate", "tls_key", "insecure")  # what ServerConfig calls them


@contextmanager
def page(model: Forecaster, where: str | None, locks: dict[str, Any]) -> Iterator[Callable[[StepAnswer], None] | None]:
    """Serve the page meanwhile, and yield what hears of each step; None where no page was asked for.

    where  PORT, or HOST:PORT; 127.0.0.1 without a host

    Raises UsageError: a host beyond this machine needs keys and TLS, as `serve` does.
    """
    if where is None:
        if locks:
            raise UsageError(f"{', '.join(locks)}: locks of the page; add --page PORT, or leave them out")
        yield None
        return
    from pulsecast_serve import ServerConfig, live_page

    host, port = address(where)
    try:
        config = ServerConfig(host=host, port=port, **locks)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with live_page(model, config=config, listening=lambda said: tell(f"page at {said}")) as say:
        yield lambda step: say(step.step["series"], words(step), step.answer.state)


def address(where: str) -> tuple[str, int]:
    """Return host and port; raises UsageError.

    >>> address("8080"), address("[::1]:80")
    (('127.0.0.1', 8080), ('::1', 80))
    """
    host, _, port = where.rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise UsageError(f"page is {shown(where)}; expected PORT or HOST:PORT, such as 8080 or 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def words(step: StepAnswer) -> dict[str, Any]:
    """Return what was answered to a step in the words of a push, which the page reads."""
    said, found = step.step, step.answer.forecast or {}
    values = said["values"] if "values" in said else [said["value"]]
    alarm = next((one for one in step.answer.alarms if one["time"] == said["time"]), None)
    bounds = {name: found.get(name) for name in ("level", "lower", "upper")}
    return {
        "time": said["time"],
        "values": values,
        "forecast": found.get("forecast"),
        "interval": None if bounds["lower"] is None else bounds,
        "no_forecast": None if found.get("forecast") else "the window is not whole",
        "anomaly": None if alarm is None else {**alarm, "anomalous": True},
        "model_version": found.get("version"),
    }
