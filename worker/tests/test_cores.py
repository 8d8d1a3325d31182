"""Which threads of a server run where."""

import os
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from worker.serve.cores import FREE, Cores


def seen(call: Callable[[], None]) -> set[int]:
    """Where a thread may run after `call`; threads are left behind, so the test's own is not touched."""
    found: list[set[int]] = []

    def run() -> None:
        call()
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The cores that the process is said to have."""
    cores = {2, 5, 7}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: cores)
    return cores


def test_a_core_is_chosen_by_its_number_counted_round(allowed: set[int]) -> None:
    """Further processes take the next ones; all others are for the rest of the process."""
    chosen = [Cores.choose(number) for number in range(4)]
    assert [cores.calls for cores in chosen] == [2, 5, 7, 2]
    assert all(cores.others == allowed - {cores.calls} for cores in chosen)


def test_without_a_number_it_is_chosen_by_chance(allowed: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """By what differs between processes that know nothing of each other."""
    found = set()
    for pid in range(100, 103):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        found.add(Cores.choose(None).calls)
    assert found == allowed


def test_one_core_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is pinned where there is only one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    assert Cores.choose(0) == FREE
    assert Cores.choose(None) == FREE


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="this machine has one core")
def test_threads_stay_where_they_are_put() -> None:
    """Those of calls on their core, those of others off it, and free ones where they were."""
    everywhere = os.sched_getaffinity(0)
    cores = Cores.choose(0)
    assert seen(cores.for_calls) == {min(everywhere)}
    assert seen(cores.for_others) == everywhere - {min(everywhere)}
    assert seen(FREE.for_calls) == seen(FREE.for_others) == everywhere


def test_a_system_that_does_not_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server runs all the same, and says so."""

    def refuse(_pid: int, _cores: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with capture_logs() as logs:
        Cores(0, frozenset({1})).for_calls()
    assert [line["event"] for line in logs] == ["cores_not_kept"]
