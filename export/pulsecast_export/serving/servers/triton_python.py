"""Triton's Python backend: the whole bundle behind `pulsecast.load`, with all of its checks.

    DIR/models/NAME/config.pbtxt, warmup/
    DIR/models/NAME/VERSION/model.py
    DIR/models/NAME/VERSION/bundle/
    DIR/Dockerfile                     Triton's image with pulsecast and its engine
    DIR/compose.yaml

The bundle's hashes and its golden are checked when a version is loaded.
"""

from __future__ import annotations

from importlib.resources import files

from . import triton
from .compose import compose
from .example import REQUEST, infer_body
from .image import install, wheels
from .order import USER, Layout, Order, encoded, whole
from .readme import Words, readme

_TYPES = {"values": "FP32", "time": "INT64", "series": "STRING"}


def layout(order: Order) -> Layout:
    """Return the files."""
    options = order.options
    root = f"models/{options.name}"
    model = files(__package__).joinpath("triton_model.py.in").read_bytes()
    texts = {
        f"{root}/config.pbtxt": _config(order),
        "Dockerfile": _dockerfile(order),
        "compose.yaml": compose(
            "build: .", command=triton.COMMAND, ports=triton.PORTS, volumes=("models",), more=("shm_size: 256mb",)
        ),
        "README.md": readme(order, _words(order)),
        REQUEST: infer_body(order.example, rows=False, batch=True),
    }
    return Layout(
        root=root,
        version={"model.py": model, **{f"bundle/{path}": data for path, data in whole(order.bundle).items()}},
        around={**encoded(texts), **wheels(options)},
        lasting=triton.warm_up_files(order, root, rows=False),
    )


def _words(order: Order) -> Words:
    return Words(
        start="docker compose up --build",
        url=triton.url(order.options.name),
        notes=(
            "A window that cannot be forecast is an error of its request, in a sentence. Other requests have theirs.",
            "`pulsecast.load` checks every hash of the bundle and forecasts its golden before a version is ready.",
            "Mount the folder read-only, as `compose.yaml` does: else Python writes `__pycache__` beside `model.py`.",
            *triton.batch_notes(order),
        ),
        update=triton.UPDATE,
    )


def _dockerfile(order: Order) -> str:
    return f"""# syntax=docker/dockerfile:1
FROM {order.options.image or triton.IMAGE}
USER 0
{install(order)}
USER {USER}:{USER}
"""


def _config(order: Order) -> str:
    return f"""name: "{order.options.name}"
backend: "python"
{triton.contract(order.bundle.manifest, _TYPES.__getitem__)}\
version_policy {{ latest {{ num_versions: 1 }} }}
instance_group [ {{ count: {order.options.threads} kind: KIND_CPU }} ]
{triton.warm_up(order, rows=False)}"""
