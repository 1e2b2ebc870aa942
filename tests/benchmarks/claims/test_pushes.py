"""The program that measures a push: each part is a part of it."""

from pathlib import Path

from helpers.engines import require
from pulsecast_bench.claims.pushes import measure_pushes

require("starlette")


def test_the_parts_of_a_push_are_measured(plain_bundle: Path) -> None:
    cost = measure_pushes(plain_bundle, 40, before=2)
    assert {len(one) for one in (cost.whole, cost.step, cost.store, cost.watching)} == {40}
    assert all(0 < cost.share(part) < 1 for part in ("step", "store", "watching"))
