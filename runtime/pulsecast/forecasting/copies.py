"""Copies of what holds an engine: an engine lives in one process, so a copy loads the bundle again.

`pickle`, `copy.copy` and `copy.deepcopy` carry where the bundle is, the options of its load, and a digest of its
manifest, which lists the hash of every file. A stream and a detector carry their model and their state as bytes.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ..errors import IntegrityError, UsageError
from ..foundation import strict_json
from ..foundation.arguments import one_path
from ..foundation.quick_dataclass import dataclass

if TYPE_CHECKING:
    from ..bundle.manifest import Manifest
    from ..bundle.signing import Key

_LOADERS = {"load": ".forecaster", "load_native": ".native_forecaster"}
Reduced = tuple[Callable[..., object], tuple[object, ...]]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How a model was loaded: by which function, from which absolute path, with which options."""

    loader: Literal["load", "load_native"]
    path: str
    artifact: str
    key: Key | None
    trust_code: bool
    threads: int | None = None


def lasting(key: Key | None) -> Key | None:
    """Return a key that holds in another current folder: its bytes, or its file's absolute path."""
    return key if key is None or isinstance(key, bytes) else str(one_path("key", key).absolute())


def reduced(model: object, found: Origin | None, manifest: Manifest) -> Reduced:
    """Return what pickle keeps of a loaded model; raises UsageError for one that was not loaded from a bundle."""
    if found is None:
        raise UsageError(
            f"this {type(model).__name__} cannot be pickled or copied, because its engine lives in one process and it "
            "was not loaded from a path: load a bundle in each process"
        )
    return _again, (found, manifest_digest(manifest))


def _again(found: Origin, digest: str) -> object:
    """Return the model, loaded in this process; raises IntegrityError if its bundle is another one now."""
    options: dict[str, Any] = {"artifact": found.artifact, "key": found.key, "trust_code": found.trust_code}
    if found.threads is not None:
        options["threads"] = found.threads
    module = importlib.import_module(_LOADERS[found.loader], __package__)
    model: Any = getattr(module, found.loader)(found.path, **options)
    if manifest_digest(model.manifest) != digest:
        raise IntegrityError(
            f"the bundle at {found.path} was changed after this model was pickled or copied: load the new one"
        )
    return model


def manifest_digest(manifest: Manifest) -> str:
    """Return the hash of a bundle's manifest, which lists the hash of every file: another bundle has another one."""
    return hashlib.sha256(strict_json.dumps(manifest).encode("utf-8")).hexdigest()


def resumed(kind: Any, model: object, state: bytes, by_window: bool) -> object:  # pickle passes it so
    """Return a stream or a detector of `model` that goes on from its bytes."""
    return kind.from_bytes(model, state, by_window=by_window)
