"""Random logs as people have them, with their truth: locale, separator, quoting, form of times, and faults."""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass

START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
# name -> (mark between thousands, decimal mark)
LOCALES = {
    "plain": ("", "."),
    "English": (",", "."),
    "German": (".", ","),
    "Swiss": ("'", "."),
    "French": ("\u202f", ","),
    "spaced": ("\u00a0", ","),
}
TIMES = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%d/%m/%y %H:%M",
    "%Y%m%d%H",
    "%Y%m%d%H%M",
    "%d %b %Y %H:%M",
    "s",
    "ms",
    "us",
    "ns",
)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
TEXTS = ("hi", "a, b; c | d\te", 'say "yes"', "C:\\", '5" nail', "café", "", "1.051", "two\nlines")
FAULTS = (
    "preamble",
    "total",
    "units",
    "bom",
    "crlf",
    "cr",
    "utf-16",
    "sep",
    "blank end",
    "shuffled",
    "repeated",
    "cut",
)


@dataclass(frozen=True, kw_only=True)
class OddLog:
    """The bytes of a log of hourly values, and what they are: `values` by hour from START on."""

    name: str
    data: bytes
    values: tuple[float, ...]
    about: str


def odd_log(seed: int) -> OddLog:
    """Return the log of `seed`."""
    rng = random.Random(seed)
    locale, form = rng.choice(list(LOCALES)), rng.choice(TIMES)
    separator = rng.choice([",", ";", "\t", "|"])
    faults = {fault for fault in FAULTS if rng.random() < 0.12}
    if faults & {"shuffled", "repeated"}:
        faults.discard("cut")  # a number that was cut in the middle of the series looks like any other
    values = odd_values(rng)
    rows = [
        [odd_time(START + datetime.timedelta(hours=i), form), rng.choice(TEXTS), odd_number(value, locale)]
        for i, value in enumerate(values)
    ]
    if "shuffled" in faults:
        rng.shuffle(rows)
    if "repeated" in faults:
        rows.append(rows[len(rows) // 2])
    style = rng.choice(["doubled", "doubled", "all", "backslash"])
    text = _text(rng, rows, separator, style, faults)
    name = "log.tsv" if separator == "\t" and rng.random() < 0.5 else "log.csv"
    about = f"seed {seed}: {locale}, {separator!r}, {form}, {style}, {sorted(faults)}"
    return OddLog(name=name, data=_bytes(text, faults), values=tuple(values), about=about)


def odd_values(rng: random.Random) -> list[float]:
    """Return 30 to 60 values of one size, with as many digits behind the mark."""
    count, scale = rng.randrange(30, 60), rng.choice([5, 900, 5000, 3_000_000])
    digits = rng.choice([0, 0, 1, 2, 3])
    return [round(rng.random() * scale, digits) if digits else float(rng.randrange(scale)) for _ in range(count)]


def odd_time(moment: datetime.datetime, form: str) -> str:
    """Return a moment in a form of TIMES."""
    return str(int(moment.timestamp()) * UNITS[form]) if form in UNITS else moment.strftime(form)


def odd_number(value: float, locale: str) -> str:
    """Return a number as a locale of LOCALES writes it."""
    group, decimal = LOCALES[locale]
    whole, _, fraction = f"{value:,.3f}".rstrip("0").rstrip(".").partition(".")
    return whole.replace(",", group) + (decimal + fraction if fraction else "")


def _text(rng: random.Random, rows: list[list[str]], separator: str, style: str, faults: set[str]) -> str:
    lines = [separator.join(["timestamp", "text", "value"])]
    if "units" in faults:
        lines.append(separator.join(["(UTC)", "", "(posts)"]))
    lines += [separator.join(_cell(cell, separator, style) for cell in row) for row in rows]
    if "total" in faults:
        lines.append(separator.join(["Total", "", "1"]))
    if "preamble" in faults:
        lines[:0] = ["Weekly report", ""]
    if "sep" in faults:
        lines.insert(0, f"sep={separator}")
    text = "\n".join(lines) + "\n" * (3 if "blank end" in faults else 1)
    if "cut" in faults:
        text = text[: len(text) - rng.randrange(1, 40)]
    return text


def _cell(cell: str, separator: str, style: str) -> str:
    odd = any(mark in cell for mark in ('"', "\n", separator)) or style == "all"
    if style == "backslash" and (odd or "\\" in cell):
        return '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + cell.replace('"', '""') + '"' if odd else cell


def _bytes(text: str, faults: set[str]) -> bytes:
    if "crlf" in faults:
        text = text.replace("\n", "\r\n")
    elif "cr" in faults:
        text = text.replace("\n", "\r")
    if "utf-16" in faults:
        return text.encode("utf-16")
    return (b"\xef\xbb\xbf" if "bom" in faults else b"") + text.encode()
