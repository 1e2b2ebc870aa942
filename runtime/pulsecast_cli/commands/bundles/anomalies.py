"""`pulsecast anomalies`: the steps of a log that a model did not expect."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from pulsecast.computing.calendars import utc_text
from pulsecast.errors import DataError
from pulsecast.forecasting.departures import REASONS, Anomaly, default_rate, residuals_needed
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import fraction
from pulsecast.foundation.tables import text_table
from pulsecast.foundation.whole_file import write_whole
from pulsecast.plain_text import printable

from ...logs.options import UNSAID, LogOptions
from ...logs.reading import check_out, tell_findings
from ...logs.series_options import OF_ONE_SERIES, Asked, SeriesOptions, asked_document
from ...terminal.grouped import grouped
from ...terminal.options import USUAL, ModelOptions
from ...terminal.output import SCHEMA_VERSION, Format, progress, show, tell

if TYPE_CHECKING:
    from pulsecast_train.pages.watched import Watched
    from pulsecast_train.rhythm.usual import Period
    from pulsecast_train.series import Series

SUFFIXES = (".csv", ".json", ".html", ".png")
SHOWN_ODD = 14  # days or weeks in text that were not as usual
COLUMNS = ("series", "time", "value", "forecast", "lower", "upper", "score", "anomalous", "alarm", "reason")


@grouped
def anomalies(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle that makes the expected forecasts.")],
    input_: Annotated[
        list[Path], typer.Option("--input", exists=True, dir_okay=False, help="Log to look at, repeatable.")
    ],
    rate: Annotated[
        float | None, typer.Option("--rate", help="Share of ordinary steps that may be flagged; about one a week.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", dir_okay=False, help="Every judged step (.csv, .json), or a page (.html) or picture (.png)."
        ),
    ] = None,
    clock: Annotated[str, typer.Option("--clock", help="Time zone of days and weeks, such as Europe/Berlin.")] = "UTC",
    of: SeriesOptions = OF_ONE_SERIES,
    model: ModelOptions = USUAL,
    log: LogOptions = UNSAID,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the flagged steps are printed.")] = Format.text,
) -> None:
    """Flag unusual levels, unexpected steps and repetitions, and the days and weeks that were not as usual.

    Each step is judged only by the steps before it, a day by the same weekday of the weeks before.
    """
    check_out(out, SUFFIXES, clock, force=force, read=input_)
    if rate is not None:
        fraction("false-alarm rate", rate, such_as=0.001)
    from pulsecast_train import read_as_trained

    forecaster = model.load(bundle)
    with progress() as heard:
        series, report = read_as_trained(input_, forecaster.manifest, log.changes(), progress=heard)
    tell_findings(report)
    asked = of.of(forecaster, series, log)
    tell(f"judging with {forecaster.artifact.id} on {forecaster.backend.engine}, {forecaster.backend.device}")
    chosen = default_rate(forecaster.manifest.spec.step_s) if rate is None else rate
    judged = [judged_rows(forecaster, one, chosen, as_) for one, as_ in zip(series, asked, strict=True)]
    rows = [row for own in judged for row in own]
    watched = [watch(one, own, clock) for one, own in zip(series, judged, strict=True)]
    if out is not None:
        if out.suffix in (".csv", ".json"):
            write_whole(out, _written(rows, out.suffix), force=force)
        else:
            from pulsecast_train.pages.anomaly_page import write_watched

            write_watched(out, watched, force=force)
        tell(f"{len(rows):,} judged steps: {printable(str(out))}")
    flagged = [row for row in rows if row["anomalous"]]
    summary = _summary(len(rows), flagged, chosen)
    document = {
        "command": "anomalies", "artifact": forecaster.artifact.id, "false_alarm_rate": chosen, "judged": len(rows),
        "flagged": len(flagged), "anomalies": flagged,
        "series": [{"series": one.series, "words": one.words, "days": one.days, "weeks": one.weeks} for one in watched],
    }  # fmt: skip
    said = "".join(f"{line}\n" for one in watched for line in one.words)
    show(format_, text=f"{_table(flagged)}{said}\n{summary}", document=document | asked_document(series, asked))


def judged_rows(model: Forecaster, series: Series, rate: float, known_as: Asked = None) -> list[dict[str, Any]]:
    """Return a row per step that could be judged; raises DataError if there is none.

    known_as  the series of the bundle's table, for a bundle of several
    """
    detector = model.detector(series=known_as, false_alarm_rate=rate)
    rows = []
    for seconds, values in zip(series.timestamps_s(), series.values, strict=True):
        found = detector.push(values, timestamp=int(seconds))
        if math.isfinite(found.upper) or found.anomalous:
            rows.append(_row(series.name, int(seconds), found))
    if not rows:
        raise DataError(
            f"series {series.name} has {len(series.values)} steps; a false-alarm rate of {rate:.3g} takes "
            f"{residuals_needed(rate)}, and a day or a window before them, until a step can be judged: bring a longer "
            "log, or raise --rate"
        )
    return rows


def watch(series: Series, rows: list[dict[str, Any]], clock: str) -> Watched:
    """Return what a page shows of a judged series, with its sentences."""
    from pulsecast_train.pages.watched import Watched
    from pulsecast_train.rhythm.usual import periods

    days, weeks = periods(series, "day", clock), periods(series, "week", clock)
    seconds = dict(zip(map(utc_text, series.timestamps_s().tolist()), series.timestamps_s().tolist(), strict=True))
    steps = {name: np.array([row[name] for row in rows]) for name in ("value", "lower", "upper", "anomalous")}
    return Watched(
        series=series.name,
        column=series.metrics[0],
        zone=clock,
        steps=steps | {"seconds": np.array([seconds[row["time"]] for row in rows])},
        days=days,
        weeks=weeks,
        words=(_size_words(series.name, rows[-1]), *_period_words(days, "day"), *_period_words(weeks, "week")),
    )


def _size_words(name: str, last: dict[str, Any]) -> str:
    """Return how large a step must be to be flagged, from the interval of the last one."""
    below = f" or below {last['lower']:,.4g}" if last["lower"] > 0 else ""
    times = f", {last['upper'] / last['forecast']:.2g} times it" if last["forecast"] > 0 else ""
    return (
        f"{name}: a step of which {last['forecast']:,.4g} is expected, as at the end, is flagged above "
        f"{last['upper']:,.4g}{times}{below}"
    )


def _period_words(found: Sequence[Period], kind: str) -> list[str]:
    """Return the verdicts: how many were as usual, the latest one, and each that was not."""
    from pulsecast_train.rhythm.usual import sentence

    judged = [one for one in found if one.usual is not None]
    if not judged:
        return [f"no {kind} could be judged yet: {len(found)} seen, and each needs some like it before it"]
    odd = [one for one in judged if one.verdict != "as usual"]
    usual = f"{len(judged) - len(odd):,} of {len(judged):,} judged {kind}s were as usual"
    lines = [f"{usual}; the latest: {sentence(judged[-1])}"]
    more = len(odd) - SHOWN_ODD
    lines += [f"  {sentence(one)}" for one in odd[-SHOWN_ODD:]]
    return [*lines, *([f"  and {more:,} earlier ones (--format json, or --out)"] if more > 0 else [])]


def _row(name: str, seconds: int, found: Anomaly) -> dict[str, Any]:
    return {
        "series": name,
        "time": utc_text(seconds),
        **{name: known(getattr(found, name)) for name in COLUMNS[2:7]},
        "anomalous": found.anomalous,
        "alarm": found.alarm,
        "reason": found.reason,
    }


def known(number: float) -> float | None:
    """Return `number`, -0 as 0, or None: there was no forecast, or no bound."""
    return number + 0.0 if math.isfinite(number) else None


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def _summary(judged: int, flagged: list[dict[str, Any]], rate: float) -> str:
    alarms = sum(row["alarm"] for row in flagged)
    return (
        f"{len(flagged):,} of {judged:,} judged steps are flagged ({len(flagged) / judged:.2%}), "
        f"{alarms:,} alarm{'' if alarms == 1 else 's'}; of ordinary ones up to {rate:.2%} do, about "
        f"{judged * rate:,.0f} here"
    )


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        (
            *(row["series"], row["time"], *(_figure(row[name]) or "-" for name in COLUMNS[2:6])),
            *(f"{row['score']:.2f}", "yes" if row["alarm"] else "-", row["reason"]),
        )
        for row in rows
    ]
    counts = Counter(row["reason"] for row in rows)
    reasons = "".join(f"{name}: {text} ({counts[name]:,})\n" for name, text in REASONS.items() if name in counts)
    return f"{text_table((*COLUMNS[:7], 'alarm', 'reason'), cells)}\n\n{reasons}"


def _written(rows: list[dict[str, Any]], suffix: str) -> str:
    if suffix == ".json":
        return strict_json.dumps({"schema_version": SCHEMA_VERSION, "command": "anomalies", "steps": rows})
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    numbers = COLUMNS[2:7]
    writer.writerows(
        {
            **row,
            **{name: _figure(row[name]) for name in numbers},
            "anomalous": int(row["anomalous"]),
            "alarm": int(row["alarm"]),
        }
        for row in rows
    )
    return buffer.getvalue()
