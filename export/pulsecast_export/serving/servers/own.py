"""`pulsecast serve`: an image of it, docker compose, and the bundles in version directories.

    DIR/models/NAME/VERSION/    a bundle
    DIR/Dockerfile              pulsecast with its engine, as a user without rights
    DIR/compose.yaml

The ports are published to this machine alone.
"""

from __future__ import annotations

from pulsecast.model.windows import FORECAST, LOWER, UPPER

from ..options import ServeOptions
from .compose import compose
from .example import REQUEST, series_body
from .image import install, wheels
from .order import USER, Layout, Order, encoded, whole
from .readme import Words, readme

IMAGE = "python:3.11-slim"
PORT, GRPC_PORT = 8080, 8081
ADDRESS = "/v1/timeseries/forecast"  # KServe's time-series API: a series goes by its name
CALLED = {FORECAST: "mean_forecast", LOWER: "interval.lower", UPPER: "interval.upper"}
_EXTRAS = ("cli", "serve")


def layout(order: Order) -> Layout:
    """Return the files."""
    options = order.options
    words = Words(
        start="docker compose up --build",
        url=f"http://127.0.0.1:{PORT}{ADDRESS}",
        called=CALLED,
        notes=(
            *notes(order),
            f"gRPC answers on 127.0.0.1:{GRPC_PORT}: Open Inference v2 and TensorFlow Serving's services.",
            "`compose.yaml` publishes the ports to this machine alone, so the server is started with `--insecure`.",
            "For others to reach it, replace that by `--keys FILE --tls-cert FILE --tls-key FILE`.",
        ),
        update="The server looks for new versions every second, checks and warms one, and then swaps it in.",
    )
    texts = {
        "Dockerfile": _dockerfile(order),
        "compose.yaml": compose(
            "build: .",
            command=arguments(options, "/models", grpc_port=GRPC_PORT),
            ports=(PORT, GRPC_PORT),
            volumes=("models",),
            more=("healthcheck:", f"  test: [{', '.join(_health())}]", "  interval: 5s", "  start_period: 30s"),
        ),
        "README.md": readme(order, words),
        REQUEST: series_body(order.example, options.name),
    }
    return Layout(root=root(order), version=version(order), around={**encoded(texts), **wheels(options)})


def root(order: Order) -> str:
    """Return the folder of the version directories."""
    return f"models/{order.options.name}"


def version(order: Order) -> dict[str, bytes]:
    """Return the files of a version directory: the bundle."""
    return whole(order.bundle)


def arguments(options: ServeOptions, models: str, *, grpc_port: int | None = None) -> tuple[str, ...]:
    """Return the words of `pulsecast serve` in a container, which others reach only through its ports."""
    return (
        "serve",
        "--models",
        models,
        "--host",
        "0.0.0.0",  # noqa: S104  # of the container
        "--port",
        str(PORT),
        *(() if grpc_port is None else ("--grpc-port", str(grpc_port))),
        "--threads",
        str(options.threads),
        "--insecure",
    )


def notes(order: Order) -> tuple[str, ...]:
    """Return what a user must know."""
    level = order.bundle.manifest.level
    return (
        "A series that cannot be forecast is an error in a sentence, not a number.",
        "A version is ready only after its hashes and its golden were checked.",
        *([] if level is None else [f"`interval` covers with probability {level:g}."]),
        *_source(order.options),
    )


def _source(options: ServeOptions) -> tuple[str, ...]:
    """Return what must be there before the image can be built."""
    if options.wheel is not None:
        return ()
    return (
        "The image installs pulsecast by its name, from the index that pip is set up with.",
        "To build it from a wheel of a checkout, write this folder with `--wheel dist/FILE.whl`.",
    )


def _health() -> tuple[str, ...]:
    program = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/v2/health/ready', timeout=2)"
    return ('"CMD"', '"python"', '"-c"', f'"{program}"')


def _dockerfile(order: Order) -> str:
    # alone, the image refuses to start: it asks for keys and TLS, or for --insecure, which compose.yaml says
    return f"""# syntax=docker/dockerfile:1
FROM {order.options.image or IMAGE}
{install(order, *_EXTRAS)}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER {USER}:{USER}
EXPOSE {PORT} {GRPC_PORT}
ENTRYPOINT ["pulsecast"]
CMD ["serve", "--models", "/models", "--host", "0.0.0.0", "--port", "{PORT}", "--grpc-port", "{GRPC_PORT}"]
"""
