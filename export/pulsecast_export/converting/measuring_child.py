"""The measuring child process: `python -m pulsecast_export.converting.measuring_child BUNDLE ARTIFACT...`.

An engine that crashes on an artifact ends this process, not the user's. Prints parities as JSON; a failed
check is the last line of stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pulsecast.backends import open_backend
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden
from pulsecast.bundle.manifest import Artifact, Parity
from pulsecast.errors import PulsecastError, ToleranceError
from pulsecast.forecasting.checks import check_backend, measure_parity
from pulsecast.forecasting.verification import ArtifactReport, require_passed
from pulsecast.foundation import strict_json
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.stages.parent import die_with_parent

from ..micro_io.checking import Surroundings, check_micro_io
from ..targets import TARGETS
from .without_keras import leave_out_keras

TOLERANCE_FAILED = 3
UNMEASURED = Parity(max_abs=0.0, rms=0.0, mae_change=0.0, rmse_change=0.0)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The child's results, by artifact id."""

    parities: Mapping[str, Parity]


def main(arguments: list[str]) -> int:
    """Check and measure the artifacts on the bundle's golden."""
    try:
        print(json.dumps(strict_json.to_json(measure(arguments[0], tuple(arguments[1:])))))
    except ToleranceError as error:
        print(error, file=sys.stderr)
        return TOLERANCE_FAILED
    except PulsecastError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def measure(path: str, artifact_ids: tuple[str, ...]) -> Measured:
    """Return the parities of the artifacts; raises ToleranceError if any check of any of them fails."""
    bundle = Bundle.open(path)
    golden = bundle.golden()
    parities, reports = {}, []
    for artifact_id in artifact_ids:
        artifact = bundle.manifest.artifact(artifact_id)
        backend = open_backend(bundle, artifact, threads=1, trust_code=True)  # this export wrote it
        forecasts = backend.predict(*golden.windows.inputs)
        parities[artifact_id] = measure_parity(forecasts, golden)
        if artifact.units == "scaled":
            _check_micro_io(bundle, artifact, golden)
        weights, table = bundle.weights(), bundle.series
        checks = check_backend(backend, bundle.manifest, artifact, golden, weights, table, forecasts=forecasts)
        reports.append(
            ArtifactReport(artifact=artifact_id, engine=backend.engine, device=backend.device, checks=checks)
        )
    require_passed(tuple(reports))
    return Measured(parities=parities)


def _check_micro_io(bundle: Bundle, artifact: Artifact, golden: Golden) -> None:
    """Raise ToleranceError unless the C beside a file of scaled units computes what the reference does around it."""
    manifest = bundle.manifest
    with temporary_folder() as work:
        for name in TARGETS[artifact.id].beside:
            (work / Path(name).name).write_bytes(bundle.read(name))
        around = Surroundings(
            spec=manifest.spec, scaler=manifest.scaler, intervals=manifest.intervals, linear=bundle.weights().linear
        )
        check_micro_io(work, around, golden)


if __name__ == "__main__":
    die_with_parent()
    leave_out_keras()
    sys.exit(main(sys.argv[1:]))
