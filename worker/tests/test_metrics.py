"""The metrics: which there are, what they say, and that their labels stay few."""

import platform
import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

import worker
from models.content import Fallback
from models.model import Model
from models.scorer import Scorer
from schemas.classification import Status
from schemas.dead_letter import Reason
from worker.config import Topics
from worker.diagnosis.host import HostReason
from worker.diagnosis.slow_node import Diagnosis
from worker.model_reloads import ReloadOutcome
from worker.partition_watch import Partitions
from worker.serve.histograms import BulkHistogram
from worker.serve.metrics import Metrics
from worker.stream.ports import RebalanceEvent
from worker.stream.records import Outcome, Part
from worker.tests.fakes import P0, P1, ManualClock, records, settle

TOPICS = Topics()
NO_SCORER = cast("Scorer", SimpleNamespace(name="native"))  # never asked to score
# Of the design; those of gRPC come with it.
DESIGNED = {
    "clf_records_total": {"topic", "outcome"},
    "clf_consumer_lag_records": {"topic", "partition"},
    "clf_oldest_record_age_seconds": set(),
    "clf_batch_size_records": set(),
    "clf_stage_duration_seconds": {"stage"},
    "clf_end_to_end_latency_seconds": set(),
    "clf_dead_letters_total": {"reason"},
    "clf_rebalances_total": {"event"},
    "clf_assigned_partitions": {"topic"},
    "clf_model_info": {"lang", "version", "digest"},
    "clf_model_reloads_total": {"lang", "outcome"},
    "clf_predictions_total": {"lang", "name"},
    "clf_build_info": {"version", "python", "scorer"},
}
OWN: dict[str, set[str]] = {
    "clf_transactions_aborted_total": set(),
    "clf_stuck": set(),
    "clf_stalls_total": set(),
    "clf_topic_partitions": {"topic", "role"},
    "clf_withheld_partitions": {"topic"},
    "clf_drain_seconds": set(),
    "clf_workers_useful": set(),
    "clf_breaker_open": set(),
    "clf_model_stale": {"lang"},
    "clf_model_store_gone": set(),
    "clf_host_slow": {"reason"},
    "clf_host_pressure_ratio": {"reason"},
    "clf_p99_drift_ratio": set(),
    "clf_worker_deaths_total": set(),
    "clf_suspected_partitions": set(),
}


@pytest.fixture
def clock() -> ManualClock:
    """A clock that says 1,000 seconds."""
    return ManualClock(1000.0)


@pytest.fixture
def metrics(clock: ManualClock) -> Metrics:
    """Metrics on a registry of their own."""
    return Metrics(CollectorRegistry(), clock, TOPICS, "1.2.3", 300.0)


def sample(metrics: Metrics, metric: str, /, **labels: str) -> float | None:
    """One value, None when there is no such sample."""
    return metrics._registry.get_sample_value(metric, labels)


def exercised(metrics: Metrics) -> Metrics:
    """The same, after something of everything."""
    part = Part()
    for record in records(P0, 0, 1):
        part.read(record)
    for status in (*Status, "tombstone", "dead_letter"):
        part.outcomes[status] += 1
    for reason in Reason:
        part.dead_letters[reason] += 1
    part.predictions["en", "sport"] += 1
    metrics.committed(Outcome({P0: part}), 2_000_000.0)
    for stage in ("decode", "score", "encode", "produce", "commit"):
        metrics.stage(stage, 0.1)
    metrics.batch_closed(10)
    for event in RebalanceEvent:
        metrics.rebalanced(event, {P0}, 1)
    metrics.lags({P0: 5})
    metrics.transaction_aborted()
    metrics.partitions(Partitions(4, 4, 4))
    metrics.serving([Model("en", "v1", "abc", ("a",), NO_SCORER, (0.5,), Fallback.NONE)])
    return metrics


def test_every_metric_of_the_design_is_there(metrics: Metrics) -> None:
    """Each has help text and the labels of the design, and there is none that nobody wrote down."""
    families = {}
    for family in text_string_to_metric_families(exercised(metrics).exposition().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not name.endswith("_created") and not name.startswith("process_"):  # those are the library's
            families[name] = family
    assert families.keys() == (DESIGNED | OWN).keys()
    for name, labels in (DESIGNED | OWN).items():
        assert len(families[name].documentation) > 10, name
        assert families[name].samples, name
        for found in families[name].samples:
            assert set(found.labels) - {"le"} == labels, name


def test_help_is_there_from_the_start(metrics: Metrics) -> None:
    """Before anything happened every metric is announced already, for whoever writes a dashboard."""
    announced = set(re.findall(r"^# HELP (\S+) \S", metrics.exposition().decode(), re.MULTILINE))
    assert set(DESIGNED) <= announced


def test_metrics_are_defined_in_one_file() -> None:
    """No other module of ours makes a metric, but for the client.

    The client is a part of other people's programs: it must not import the metrics of servers, nor they its own.
    """
    root = Path(worker.__file__).parent
    makers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "tests" not in path.parts
        and re.search(r"^\s*(from|import) prometheus_client.*", path.read_text("utf-8"), re.MULTILINE)
        and re.search(r"\b(Counter|Gauge|Histogram|Summary|Info|Enum)\(\s*[\"']", path.read_text("utf-8"))
    }
    assert makers == {"serve/metrics.py", "calling/metrics.py"}


def test_partitions_of_the_topics(metrics: Metrics) -> None:
    """Each topic's count stands under its role; how many wait is asked for at each scrape."""
    waiting = [0, 2]
    metrics.partitions(Partitions(6, 4, 1))
    metrics.withheld_are(waiting.pop)
    assert sample(metrics, "clf_topic_partitions", topic=TOPICS.documents, role="documents") == 6.0
    assert sample(metrics, "clf_topic_partitions", topic=TOPICS.classifications, role="classifications") == 4.0
    assert sample(metrics, "clf_topic_partitions", topic=TOPICS.dead_letters, role="dead_letters") == 1.0
    assert sample(metrics, "clf_withheld_partitions", topic=TOPICS.documents) == 2.0
    assert sample(metrics, "clf_withheld_partitions", topic=TOPICS.documents) == 0.0


def test_two_workers_in_one_process_share_nothing(metrics: Metrics, clock: ManualClock) -> None:
    """Nothing stands on the global registry."""
    other = Metrics(CollectorRegistry(), clock, TOPICS, "1.2.3", 300.0)
    metrics.transaction_aborted()
    assert sample(other, "clf_transactions_aborted_total") == 0.0


# --- what they say -------------------------------------------------------------------------------------------


def test_what_was_committed_is_counted(metrics: Metrics) -> None:
    """Outcomes, dead letters and predictions are counted once each, under the documents topic."""
    exercised(metrics)
    for outcome in (*Status, "tombstone", "dead_letter"):
        assert sample(metrics, "clf_records_total", topic="documents", outcome=outcome) == 1.0
    assert sample(metrics, "clf_dead_letters_total", reason="not_json") == 1.0
    assert sample(metrics, "clf_predictions_total", lang="en", name="sport") == 1.0
    assert sample(metrics, "clf_end_to_end_latency_seconds_count") == 2.0
    assert sample(metrics, "clf_end_to_end_latency_seconds_sum") == 2000.0
    assert sample(metrics, "clf_model_info", lang="en", version="v1", digest="abc") == 1.0
    assert sample(metrics, "clf_build_info", version="1.2.3", python=platform.python_version(), scorer="native") == 1.0


def test_odd_timestamps_do_not_spoil_the_latency(metrics: Metrics) -> None:
    """No timestamp counts as none, one of the future as no time at all."""
    part = Part(timestamps_ms=[0, -1, 9_000_000, 1_999_000])
    metrics.committed(Outcome({P0: part}), 2_000_000.0)
    assert sample(metrics, "clf_end_to_end_latency_seconds_count") == 2.0
    assert sample(metrics, "clf_end_to_end_latency_seconds_sum") == 1.0


def test_lags_of_others_vanish(metrics: Metrics) -> None:
    """A partition that was given up is no longer reported."""
    metrics.lags({P0: 5, P1: 6})
    metrics.lags({P1: 7})
    assert sample(metrics, "clf_consumer_lag_records", topic="documents", partition="0") is None
    assert sample(metrics, "clf_consumer_lag_records", topic="documents", partition="1") == 7.0


def test_the_age_grows_between_turns(metrics: Metrics, clock: ManualClock) -> None:
    """The oldest record grows older by itself, is never younger than now, and is gone when nothing is in hand."""
    metrics.in_hand(990_000)
    assert sample(metrics, "clf_oldest_record_age_seconds") == 10.0
    clock.now += 5
    assert sample(metrics, "clf_oldest_record_age_seconds") == 15.0
    metrics.in_hand(5_000_000)
    assert sample(metrics, "clf_oldest_record_age_seconds") == 0.0
    metrics.in_hand(None)
    assert sample(metrics, "clf_oldest_record_age_seconds") == 0.0


def test_committed_offsets_are_those_since_the_assignment(metrics: Metrics) -> None:
    """They serve the lag; a partition that left and came back starts from what the group has."""
    metrics.committed(settle([*records(P0, 0, 4), *records(P1, 0, 1)]), 1.0)
    assert metrics.committed_offsets == {P0: 5, P1: 2}
    metrics.rebalanced(RebalanceEvent.REVOKED, {P0}, 1)
    assert metrics.committed_offsets == {P1: 2}


def test_the_forecasts_are_told(metrics: Metrics, clock: ManualClock) -> None:
    """A lag that takes ten more seconds, and a thirtieth of a worker to be gone in 300."""
    metrics.lags({P0: 110})
    metrics.committed(settle(records(P0, 0, 9)), 1.0)
    clock.now += 1
    metrics.lags({P0: 100})
    assert sample(metrics, "clf_drain_seconds") == pytest.approx(10)
    assert sample(metrics, "clf_workers_useful") == pytest.approx(10 / 300)
    metrics.lags({})
    assert sample(metrics, "clf_drain_seconds") == sample(metrics, "clf_workers_useful") == 0


def test_what_the_host_does(metrics: Metrics) -> None:
    """Every reason is there from the start; those that hold say so, and take it back."""
    assert sample(metrics, "clf_host_slow", reason="io_pressure") == 0.0
    pressed = dict.fromkeys(HostReason, 0.0) | {HostReason.CPU_STEAL: 0.4}
    metrics.diagnosed(Diagnosis(0.6, 0.2, pressed, frozenset({HostReason.CPU_STEAL})))
    assert sample(metrics, "clf_host_slow", reason="cpu_steal") == 1.0
    assert sample(metrics, "clf_host_pressure_ratio", reason="cpu_steal") == 0.4
    assert sample(metrics, "clf_p99_drift_ratio") == pytest.approx(3)
    metrics.diagnosed(Diagnosis(None, 0.2, dict.fromkeys(HostReason, 0.0)))
    assert sample(metrics, "clf_host_slow", reason="cpu_steal") == 0.0
    assert sample(metrics, "clf_p99_drift_ratio") == 0.0


def test_rebalances_and_assignment(metrics: Metrics) -> None:
    """Each kind of change is counted, and the number of partitions is the present one, 0 at first."""
    assert sample(metrics, "clf_assigned_partitions", topic="documents") == 0.0
    metrics.rebalanced(RebalanceEvent.ASSIGNED, {P0, P1}, 2)
    metrics.rebalanced(RebalanceEvent.LOST, {P0}, 1)
    assert sample(metrics, "clf_assigned_partitions", topic="documents") == 1.0
    assert sample(metrics, "clf_rebalances_total", event="lost") == 1.0


def test_only_the_present_models_are_shown(metrics: Metrics) -> None:
    """A model that is replaced is not shown beside its successor."""
    for version in ("v1", "v2"):
        metrics.serving([Model("en", version, "d", ("a",), NO_SCORER, (0.5,), Fallback.NONE)])
    assert sample(metrics, "clf_model_info", lang="en", version="v1", digest="d") is None
    assert sample(metrics, "clf_model_info", lang="en", version="v2", digest="d") == 1.0


def test_reloads_are_counted(metrics: Metrics) -> None:
    """From 0 on for each language that is served, so that the first one is seen as an increase."""
    metrics.serving([Model("en", "v1", "d", ("a",), NO_SCORER, (0.5,), Fallback.NONE)])
    for outcome in ReloadOutcome:
        assert sample(metrics, "clf_model_reloads_total", lang="en", outcome=outcome) == 0.0
    metrics.reloaded("en", ReloadOutcome.SWAPPED)
    metrics.reloaded("de", ReloadOutcome.REFUSED)
    assert sample(metrics, "clf_model_reloads_total", lang="en", outcome="swapped") == 1.0
    assert sample(metrics, "clf_model_reloads_total", lang="de", outcome="refused") == 1.0


def test_what_a_rate_is_taken_of_begins_at_0(metrics: Metrics) -> None:
    """The first dead letter is an increase to Prometheus, not a first value."""
    assert sample(metrics, "clf_records_total", topic="documents", outcome="dead_letter") == 0.0
    assert sample(metrics, "clf_dead_letters_total", reason="not_json") == 0.0
    assert sample(metrics, "clf_rebalances_total", event="lost") == 0.0


def test_the_breaker(metrics: Metrics) -> None:
    """The gauge follows."""
    for is_open in (True, False):
        metrics.breaker(is_open=is_open)
        assert sample(metrics, "clf_breaker_open") == is_open


def test_stale_models(metrics: Metrics) -> None:
    """Known to be current from the moment they serve; both gauges follow."""
    metrics.serving([Model("en", "v1", "d", ("a",), NO_SCORER, (0.5,), Fallback.NONE)])
    assert sample(metrics, "clf_model_stale", lang="en") == 0.0
    for is_so in (True, False):
        metrics.stale("en", is_so=is_so)
        metrics.store_gone(is_so=is_so)
        assert sample(metrics, "clf_model_stale", lang="en") == is_so
        assert sample(metrics, "clf_model_store_gone") == is_so


# --- the histogram of our own --------------------------------------------------------------------------------


def test_a_stuck_worker(metrics: Metrics) -> None:
    """The gauge follows, and the counter counts how often it came."""
    for is_so in (True, False, True):
        metrics.stuck(is_so=is_so)
        assert sample(metrics, "clf_stuck") == is_so
    assert sample(metrics, "clf_stalls_total") == 2


def test_what_waits(metrics: Metrics) -> None:
    """The lags together, as of the last statistics."""
    assert metrics.waiting == 0
    metrics.lags({P0: 5, P1: 6})
    assert metrics.waiting == 11
    metrics.lags({P1: 0})
    assert metrics.waiting == 0


def test_the_bulk_histogram_equals_the_librarys() -> None:
    """On the same values, edges and the infinite included, both expose the same samples."""
    bounds = (0.01, 0.5, 1, 2.5, 3600)
    values = [0.0, 0.009, 0.01, 0.010001, 0.5, 0.7, 1, 1.0, 2.4, 3600.0, 3600.1, 1e9, float("inf")]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bulk = BulkHistogram("h", "help", bounds, ours)
    one_by_one = Histogram("h", "help", buckets=bounds, registry=theirs)
    for chunk in (values[:5], [], values[5:]):
        bulk.observe_all(chunk)
    for value in values:
        one_by_one.observe(value)
    assert exposed(ours) == exposed(theirs)


def test_an_empty_bulk_histogram_equals_the_librarys() -> None:
    """Before the first value too."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    BulkHistogram("h", "help", (1, 2), ours)
    Histogram("h", "help", buckets=(1, 2), registry=theirs)
    assert exposed(ours) == exposed(theirs)


def exposed(registry: CollectorRegistry) -> list[tuple[str, dict[str, str], float]]:
    """The samples of one histogram, without the time it was made."""
    return [
        (sample.name, sample.labels, sample.value)
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
