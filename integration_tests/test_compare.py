"""What `make compare` judges with; the comparison itself takes a quarter of an hour and other people's programs."""

from collections.abc import Sequence

from integration_tests.broker import Record
from integration_tests.compare.judge import judge
from integration_tests.compare.systems import CONTENDERS
from integration_tests.compare.trial import plan
from worker.audit.findings import Finding

_PLACES = {f"https://c.example/{n}".encode(): (n % 2, n // 2) for n in range(8)}


def _results(partition: int, offsets: Sequence[int]) -> list[Record]:
    keys = {place: key for key, place in _PLACES.items()}
    return [Record("results", partition, n, keys[partition, o], b"{}", ()) for n, o in enumerate(offsets)]


def test_one_result_each_in_order_is_what_holds() -> None:
    """Nothing is found then."""
    assert not judge(_PLACES, {0: 0, 1: 0}, _results(0, [0, 1, 2, 3]) + _results(1, [0, 1, 2, 3]))


def test_counts_what_is_lost_doubled_and_out_of_order() -> None:
    """Each by the rules of `clf verify`; documents of the time before the trial do not count."""
    results = _results(0, [1, 3, 2, 3]) + _results(1, [1, 2])
    findings = judge(_PLACES, {0: 1, 1: 1}, results)
    assert findings == {Finding.MISSING: 1, Finding.DOUBLED: 1, Finding.REORDERED: 1}


def test_a_result_of_no_document_is_unexpected() -> None:
    """Nor does it count as anybody's result."""
    stray = Record("results", 0, 4, b"https://c.example/none", b"{}", ())
    results = [*_results(0, [0, 1, 2, 3]), stray, *_results(1, [0, 1, 2, 3])]
    assert judge(_PLACES, {0: 0, 1: 0}, results) == {Finding.UNEXPECTED: 1}


def test_the_schedule_is_one_of_the_seed() -> None:
    """Every system of a run is killed at the same documents, in time and apart from each other."""
    one, again, other = (plan(1000, 100.0, 4, 4, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert list(one.kills) == sorted(one.kills)
    assert all(100 + 200 * n <= kill < 100 + 200 * (n + 1) for n, kill in enumerate(one.kills))


def test_versions_are_pinned() -> None:
    """A comparison is with known versions."""
    files = {contender.requirements for contender in CONTENDERS if contender.requirements is not None}
    lines = [line for file in files for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert len(files) == 2
    assert all("==" in line for line in lines)
