"""The audit: it passes what is right, and finds each thing that is wrong, exactly that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.audit.findings import EXAMPLES, Finding
from worker.audit.offsets import OffsetRanges
from worker.stream.errors import RetriableError
from worker.stream.records import TopicPartition
from worker.tests.audit_scene import DOCUMENTS, RESULTS, Scene, mixed


def test_what_is_right_holds() -> None:
    """Every kind of document has its outcome, all are recomputed, and the counts say so."""
    report = mixed().audit().look()
    assert report.holds, report.examples
    seen = report.partitions[0]
    assert (seen.documents, seen.results, seen.tombstones, seen.dead_letters) == (14, 12, 1, 1)
    assert (seen.recomputed, seen.committed, seen.lag, seen.unchecked) == (13, 14, 0, 0)
    assert report.models == {("en", "v1", "v1" * 8): 11}


# --- transactions, lag, models -------------------------------------------------------------------------------------


def test_what_an_open_transaction_hides_is_not_missing() -> None:
    """It is said how many outcomes may be behind it; what is missing before it is missing."""
    scene = mixed()
    scene.hidden_from[RESULTS] = 10
    del scene.logs[RESULTS][3]
    report = scene.audit().look()
    assert report.findings == {Finding.OPEN_TRANSACTION: 1, Finding.MISSING: 1}
    assert any("3 committed documents" in example.detail for example in report.examples), report.examples
    assert scene.clock.now >= 1020, "it did not wait for the transaction"


def test_a_transaction_that_ends_is_waited_for() -> None:
    """One that is open at first and ends within the patience is no finding."""
    scene = mixed()
    scene.hidden_from[RESULTS] = 10
    scene.ends_at = scene.clock.now + 5
    assert scene.audit().look().holds
    assert scene.clock.now < 1006


def test_lag_counts_only_above_its_limit() -> None:
    """Documents that wait are reported, and are wrong only where the caller says how many may."""
    scene = mixed()
    scene.pages(3)
    assert scene.audit(max_lag=3).look().holds
    report = scene.audit(max_lag=2).look()
    assert report.findings == {Finding.LAG: 3}
    assert report.partitions[0].lag == 3


def test_a_share_is_recomputed() -> None:
    """Nothing with 0, all with 1, and about the share in between; the rest is checked all the same."""
    scene = Scene()
    scene.pages(1000)
    scene.work()
    assert scene.audit(share=0).look().total("recomputed") == 0
    assert 70 < scene.audit(share=0.1).look().total("recomputed") < 130
    scene.edit(2, lambda result: result._replace(labels=()))
    assert scene.audit(share=0).look().holds


def test_a_mixture_of_models_is_right() -> None:
    """A rollout in mid-stream: each result is recomputed with the model it is stamped with."""
    scene = Scene()
    scene.pages(5)
    scene.work("v1")
    scene.pages(5)
    scene.work("v2")
    report = scene.audit().look()
    assert report.holds
    assert sorted(report.models.values()) == [5, 5]


def test_partitions_share_one_of_dead_letters() -> None:
    """Each takes its own letters from it, and a stray one is told once."""
    scene = Scene(partitions=3, letter_partitions=2)
    for partition in range(3):
        scene.pages(2, partition=partition)
        scene.put(b"poison", partition=partition)
    scene.work()
    report = scene.audit().look()
    assert report.holds
    assert [report.partitions[n].dead_letters for n in range(3)] == [1, 1, 1]
    letters = TopicPartition("dead", 0)
    scene.relay(letters, [*scene.logs[letters], *scene.logs[TopicPartition("dead", 1)]])
    assert scene.audit().look().findings == {Finding.UNEXPECTED: 1}


def test_what_retention_removed_is_left_out() -> None:
    """Outcomes whose document is gone are counted as unchecked; documents whose outcomes are gone are not missed."""
    scene = mixed()
    del scene.logs[RESULTS][:4]
    report = scene.audit().look()
    assert report.holds, report.examples
    assert report.partitions[0].documents == 10
    scene = mixed()
    del scene.logs[DOCUMENTS][:8]
    report = scene.audit().look()
    assert report.holds, report.examples
    assert report.partitions[0].unchecked == 8


def test_documents_without_a_partition_for_their_results() -> None:
    """They wait, which is found as long as it is so; what was committed there all the same is missing."""
    scene = Scene(partitions=2)
    scene.sizes["results"] = 1
    scene.pages(2)
    scene.work()
    scene.pages(3, partition=1)
    audit = scene.audit()
    report = audit.look()
    assert report.findings == {Finding.UNMATCHED: 1}
    assert "results has 1 partitions only: `clf topics add-partitions`" in report.examples[0].detail
    assert report.partitions[1].lag == 3
    scene.sizes["results"] = 2
    scene.work()
    assert audit.look().holds
    scene.sizes["results"] = 1
    assert scene.audit().look().findings == {Finding.UNMATCHED: 1, Finding.MISSING: 3}


def test_partitions_added_while_it_follows() -> None:
    """A watch that begins with what is not settled yet takes new partitions as they come, first those of documents."""
    scene = Scene(partitions=1)
    scene.pages(2)
    scene.work()
    scene.sizes["documents"] = 2
    audit = scene.audit()
    audit.skip_to_now()
    scene.sizes["documents"] = 3
    scene.pages(3, partition=2)
    assert audit.look().findings == {Finding.UNMATCHED: 2}
    scene.sizes["results"] = 3
    scene.work()
    report = audit.look()
    assert (report.holds, report.partitions[2].documents) == (True, 3)


def test_examples_are_few_and_counts_are_whole() -> None:
    """However much is lost, the report stays small."""
    scene = Scene()
    scene.pages(500)
    scene.work()
    scene.relay(RESULTS, [])
    scene.ends[RESULTS] = 0
    report = scene.audit().look()
    assert report.findings == {Finding.MISSING: 500}
    assert len(report.examples) == EXAMPLES


# --- again and again ---------------------------------------------------------------------------------------------


def test_it_follows() -> None:
    """Only what is not settled at first is looked at, each look takes what came since, and findings add up."""
    scene = mixed()
    del scene.logs[RESULTS][3]
    scene.pages(4)
    audit = scene.audit()
    audit.skip_to_now()
    assert audit.look().holds
    scene.work(upto=16)
    assert audit.look().holds
    scene.work()
    assert audit.look().total("documents") == 4
    scene.pages(3)
    scene.work()
    lost = scene.logs[RESULTS].pop(-2)
    assert audit.look().findings == {Finding.MISSING: 1}
    scene._append(RESULTS, lost.key, lost.value, lost.headers)
    assert audit.look().findings == {Finding.MISSING: 1, Finding.REORDERED: 1}


def test_a_state_that_passes_is_no_finding_any_more() -> None:
    """Lag and offsets describe the present."""
    scene = mixed()
    audit = scene.audit(max_lag=0)
    scene.offsets[0] = 12
    assert audit.look().findings == {Finding.LAG: 2, Finding.OFFSETS: 2}
    scene.offsets[0] = 14
    assert audit.look().holds


@pytest.mark.parametrize("fails_at", [DOCUMENTS, RESULTS])
def test_a_look_that_fails_is_made_again(fails_at: TopicPartition) -> None:
    """A cluster that goes away in mid-look leaves nothing counted twice or left out."""
    scene = mixed()
    audit = scene.audit()
    for _ in range(3):
        scene.fails_at = fails_at
        with pytest.raises(RetriableError):
            audit.look()
        scene.fails_at = None
    report = audit.look()
    assert report.holds, report.examples
    assert (report.total("documents"), report.total("recomputed")) == (14, 13)


# --- properties ----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 14), max_size=25))
def test_counts_are_those_of_the_definition(order: list[int]) -> None:
    """Whatever was lost, doubled and moved: missing, doubled and reordered are what a plain count says."""
    scene = Scene()
    scene.pages(15)
    scene.work()
    scene.relay(RESULTS, [scene.logs[RESULTS][n] for n in order])
    seen: set[int] = set()
    reordered = 0
    for n in order:
        reordered += n not in seen and n < max(seen, default=-1)
        seen.add(n)
    expected = {
        Finding.MISSING: 15 - len(seen),
        Finding.DOUBLED: len(order) - len(seen),
        Finding.REORDERED: reordered,
    }
    assert scene.audit(share=0).look().findings == {kind: count for kind, count in expected.items() if count}


@given(st.sets(st.integers(0, 60)), st.lists(st.integers(0, 60)), st.integers(0, 61))
def test_ranges_are_a_set(offsets: set[int], removed: list[int], limit: int) -> None:
    """Adding, removing and taking from the front give what a set gives, in as few ranges as can be."""
    ranges = OffsetRanges()
    for offset in sorted(offsets):
        ranges.add(offset)
    model = set(offsets)
    for offset in removed:
        assert ranges.remove(offset) == (offset in model)
        model.discard(offset)
    assert (list(ranges), len(ranges)) == (sorted(model), len(model))
    taken = [offset for part in ranges.take_below(limit) for offset in part]
    assert taken == sorted(offset for offset in model if offset < limit)
    assert list(ranges) == sorted(offset for offset in model if offset >= limit)


def test_ranges_take_offsets_in_order() -> None:
    """One that is added out of order is a bug of the caller."""
    ranges = OffsetRanges()
    ranges.add(5)
    with pytest.raises(ValueError, match="does not come after"):
        ranges.add(5)
