"""Parquet files are tried in forks here, which start faster than the product's child; `test_parquet_trial` has that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.outside.parquet_forks import parquet_forks


@pytest.fixture(autouse=True, scope="session")
def _forks() -> Iterator[None]:
    with parquet_forks():
        yield
