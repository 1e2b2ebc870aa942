"""Pieces of work on processes: a dead worker loses no result, an interrupt leaves no children."""

import os
import weakref
from pathlib import Path

import psutil
import pytest

from helpers.engines import require
from helpers.outside import work
from pulsecast.errors import PulsecastError, UsageError
from pulsecast_train.workers import THREAD_VARIABLES, run_dask, run_local

pytestmark = pytest.mark.slow


def test_every_result_arrives_once_with_its_number() -> None:
    found: dict[int, int] = {}
    run_local(work.square, [3, 1, 2], 2, found.__setitem__)
    assert found == {0: 9, 1: 1, 2: 4}


def test_no_result_is_held_when_it_has_been_handed_on() -> None:
    handed: list[weakref.ref[object]] = []
    held: list[int] = []

    def look(_number: int, result: object) -> None:
        held.append(sum(one() is not None for one in handed))
        handed.append(weakref.ref(result))

    run_local(work.numbers, [1, 2, 3, 4, 5, 6], 1, look)
    assert max(held) <= 1  # the one before, until its turn is over


def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    require("distributed")
    tasks = [(number, str(tmp_path / "died") if number == 3 else "") for number in range(6)]
    found: dict[int, int] = {}
    run_local(work.die_once, tasks, 2, found.__setitem__)
    assert (tmp_path / "died").exists()
    assert found == {number: number * number for number in range(6)}


def test_work_that_always_kills_its_worker_ends_in_one_sentence() -> None:
    with pytest.raises(PulsecastError, match="worker processes died 3 times in a row"):
        run_local(work.always_die, [1], 1, lambda _i, _r: None)


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_that_always_kills_its_worker_is_found_and_holds_up_no_other(
    jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulsecast_train.workers.LOST_IN_A_ROW", 2)
    found: dict[int, int] = {}
    lost: list[int] = []
    run_local(work.die_of_three, [3, 1, 2], jobs, found.__setitem__, lost.append)
    assert (found, lost) == ({1: 1, 2: 4}, [0])


def test_if_no_work_is_done_the_fault_is_in_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecast_train.workers.LOST_IN_A_ROW", 1)
    lost: list[int] = []
    with pytest.raises(PulsecastError, match="worker processes died 1 times in a row"):
        run_local(work.always_die, [1, 2], 1, lambda _i, _r: None, lost.append)
    run_local(work.always_die, [1], 1, lambda _i, _r: None, lost.append)
    assert lost == [0]


def test_an_interrupt_leaves_no_children_and_no_changed_environment(tmp_path: Path) -> None:
    kept = {name: os.environ.get(name) for name in THREAD_VARIABLES}

    def interrupt(_number: int, _result: int) -> None:
        raise KeyboardInterrupt

    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(KeyboardInterrupt):
        run_local(work.square, [1, 2, 3, 4], 2, interrupt)
    left = [p for p in psutil.Process().children(recursive=True) if p not in before and p.status() != "zombie"]
    assert [p for p in left if "resource_tracker" not in " ".join(p.cmdline())] == []
    assert {name: os.environ.get(name) for name in THREAD_VARIABLES} == kept


def test_an_address_where_no_scheduler_is_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    require("distributed")
    monkeypatch.setattr("pulsecast_train.workers.CONNECT_S", 0.5)
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_dask(work.square, [1], "tcp://127.0.0.1:9", lambda _i, _r: None)


def test_a_dask_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    require("distributed")
    tasks = [(number, str(tmp_path / "died") if number == 3 else "") for number in range(6)]
    found: dict[int, int] = {}
    with work.dask_cluster(2) as scheduler:
        run_dask(work.die_once, tasks, scheduler, found.__setitem__)
    assert (tmp_path / "died").exists()
    assert found == {number: number * number for number in range(6)}


def test_a_cluster_says_which_work_kills_its_workers() -> None:
    require("distributed")
    import dask

    found: dict[int, int] = {}
    lost: list[int] = []
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), work.dask_cluster(1) as scheduler:
        run_dask(work.die_of_three, [1, 3], scheduler, found.__setitem__, lost.append)
    assert (found, lost) == ({0: 1}, [1])
