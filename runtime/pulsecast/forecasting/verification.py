"""Does an artifact still compute the trained forecast, here? `checks`, through the runtime, of a bundle's artifacts."""

from __future__ import annotations

import numpy as np

from ..backends import (
    UNTRUSTED,
    Backend,
    engine_errors,
    engine_of,
    is_installed,
    is_trusted,
    open_backend,
    require_tolerance,
)
from ..bundle.bundle import Bundle
from ..bundle.golden import Golden
from ..bundle.manifest import Artifact
from ..bundle.signing import Key
from ..computing import reference
from ..errors import MissingExtraError, ToleranceError, UsageError
from ..foundation.arguments import StrPath, flag
from ..foundation.quick_dataclass import dataclass
from .checks import Check, check_backend

LOADED_WINDOWS = 8  # golden windows that every load forecasts
REFERENCE_LIMIT = 1e-9  # of the scaler's range: float64 sums in another order


@dataclass(frozen=True, kw_only=True)
class ArtifactReport:
    """All checks of one artifact; `skipped` says why there are none."""

    artifact: str
    engine: str
    device: str
    checks: tuple[Check, ...]
    skipped: str | None = None

    @property
    def passed(self) -> bool:
        """True if nothing failed; a skipped artifact has not failed."""
        return all(check.passed for check in self.checks)


def verify(
    bundle: StrPath | Bundle, *, artifact: str | None = None, key: Key | None = None, trust_code: bool = False
) -> tuple[ArtifactReport, ...]:
    """Check every artifact of a bundle (or one) whose engine is installed on this machine.

    bundle  its path, or the bundle as `Bundle.open` returned it; then the key was checked there
    key, trust_code  as for `pulsecast.load`; without either, artifacts that are code are skipped

    Raises what `Bundle.open` raises, SignatureError if `artifact` is code that is not trusted, and EngineError if an
    installed engine refuses its artifact. It does not raise for a failed check: look at `passed`.
    """
    trust_code = flag("trust_code", trust_code)
    if isinstance(bundle, Bundle) and key is not None:
        raise UsageError("the bundle is open already, and not checked by this key: pass the key to Bundle.open")
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, key=key)
    golden = opened.golden()
    if artifact is not None:
        return (verify_one(opened, golden, opened.manifest.artifact(artifact), trust_code=trust_code),)
    reasons = [(item, why_not_run(opened, item, trust_code=trust_code)) for item in opened.manifest.artifacts]
    return tuple(
        _skipped(item, reason) if reason else verify_one(opened, golden, item, trust_code=trust_code)
        for item, reason in reasons
    )


def check_loaded(bundle: Bundle, artifact: Artifact, backend: Backend) -> Golden:
    """Return the golden, of which a loaded backend forecast a few windows within its tolerance.

    Raises ToleranceError if it did not, EngineError if the engine fails.

    Cheap enough for every load. Hashes prove that the files match the manifest; this proves that manifest, files and
    the engine on this machine still compute the trained forecast.
    """
    golden = bundle.golden()
    last, parts = len(golden.windows) - 1, LOADED_WINDOWS - 1
    rows = sorted({round(i * last / parts) for i in range(LOADED_WINDOWS)})  # np.unique would import numpy.ma
    with engine_errors(f"{artifact.id} cannot be run by {engine_of(artifact)}"):
        forecasts = np.asarray(backend.predict(*golden.windows.take(rows).inputs), np.float32)
    expected = golden.reference[rows]
    if forecasts.shape != expected.shape:
        raise ToleranceError(f"{artifact.id} gives forecasts {forecasts.shape}; its golden has {expected.shape}")
    require_tolerance(artifact, golden.take(rows).largest_error(forecasts))
    return golden


def why_not_run(bundle: Bundle, artifact: Artifact, *, trust_code: bool = False) -> str | None:
    """Return why `artifact` cannot or may not run here; None if it may."""
    if not trust_code and not is_trusted(bundle, artifact):
        return UNTRUSTED
    return None if is_installed(artifact.backend) else _not_installed(artifact)


def _not_installed(artifact: Artifact) -> str:
    return f"the engine of backend {artifact.backend} is not installed"


def verify_one(bundle: Bundle, golden: Golden, artifact: Artifact, *, trust_code: bool = False) -> ArtifactReport:
    """Return the report for one artifact of an opened bundle; skipped if its engine is not installed."""
    if not is_installed(artifact.backend):
        return _skipped(artifact, _not_installed(artifact))
    try:
        backend = open_backend(bundle, artifact, threads=1, trust_code=trust_code)
    except MissingExtraError as error:  # native: neither a library for this platform nor a compiler
        return _skipped(artifact, str(error))
    weights = bundle.weights()
    with engine_errors(f"{artifact.id} cannot be verified with {engine_of(artifact)}"):
        checks = check_backend(backend, bundle.manifest, artifact, golden, weights, bundle.series)
    if artifact.backend == "numpy":
        checks = (*checks, check_reference(bundle, golden))
    return ArtifactReport(artifact=artifact.id, engine=backend.engine, device=backend.device, checks=checks)


def _skipped(artifact: Artifact, reason: str) -> ArtifactReport:
    return ArtifactReport(artifact=artifact.id, engine="", device="", checks=(), skipped=reason)


def check_reference(bundle: Bundle, golden: Golden) -> Check:
    """The golden's reference must be what the bundle's weights give in float64 on this machine."""
    manifest = bundle.manifest
    recomputed = reference.forecast(manifest.spec, bundle.scaling, bundle.weights(), golden.windows)  # (n, horizon)
    error = golden.largest_error(recomputed)
    return Check(
        name="golden = float64 reference here",
        passed=error <= REFERENCE_LIMIT,
        measured=f"{error:.1e}",
        limit=f"{REFERENCE_LIMIT:.0e}",
    )


def require_passed(reports: tuple[ArtifactReport, ...]) -> None:
    """Raise ToleranceError that names every artifact that failed, with what was measured and the limit."""
    failures = [
        f"{report.artifact}: {check.name} is {check.measured}, limit {check.limit}"
        for report in reports
        for check in report.checks
        if not check.passed
    ]
    if failures:
        raise ToleranceError("; ".join(failures))
