"""The metrics of `clf serve`: which there are, what they say, and that their labels stay few."""

import re
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from models.content import Fallback
from models.model import Model
from models.scorer import Scorer
from schemas.classification import Classification, ModelStamp, Status
from worker.diagnosis.host import HostReason
from worker.model_reloads import ReloadOutcome
from worker.serve.calls import CODE_NAMES
from worker.serve.grpc import METHODS, SERVICE
from worker.serve.metrics import GrpcMetrics
from worker.serve.request_log import Drop

NO_SCORER = cast("Scorer", SimpleNamespace(name="native"))  # never asked to score
CODES = list(CODE_NAMES.values())
CLASSES = ("business", "sport")
METHOD = {"grpc_type": {"unary"}, "grpc_service": {SERVICE}, "grpc_method": set(METHODS)}
OUTCOMES = {"answered", "failed"}
REASONS = {"too_many_calls", "too_little_time", "abandoned"}
# Name -> label -> the values that it may take.
DESIGNED: dict[str, dict[str, set[str]]] = {
    "clf_latency_seconds": {},
    "clf_failures_total": {"code": set(CODES) - {"OK"}},
    "grpc_server_started_total": METHOD,
    "grpc_server_handled_total": {**METHOD, "grpc_code": set(CODES)},
    "grpc_server_handling_seconds": METHOD,
    "clf_calls_in_hand": {},
    "clf_refused_calls_total": {"reason": REASONS},
    "clf_time_left_seconds": {},
    "clf_answered_documents_total": {"status": {str(status) for status in Status}},
    "clf_predictions_total": {"lang": {"en"}, "name": set(CLASSES)},
    "clf_request_log_dropped_total": {"reason": {str(drop) for drop in Drop}},
    "clf_request_log_waiting_entries": {},
    "clf_keep_warm_calls_total": {"outcome": OUTCOMES},
    "clf_keep_warm_seconds": {},
    "clf_registered": {},
    "clf_model_info": {"lang": {"en"}, "version": {"v1"}, "digest": {"abc"}},
    "clf_model_reloads_total": {"lang": {"en"}, "outcome": {str(outcome) for outcome in ReloadOutcome}},
    "clf_model_stale": {"lang": {"en"}},
    "clf_model_store_gone": {},
    "clf_host_slow": {"reason": {str(reason) for reason in HostReason}},
    "clf_host_pressure_ratio": {"reason": {str(reason) for reason in HostReason}},
    "clf_p99_drift_ratio": {},
    "clf_build_info": {},  # looked at in test_metrics.py
}


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry for one test."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> GrpcMetrics:
    """Metrics that nothing has happened to."""
    return GrpcMetrics(registry, "1.2.3", SERVICE, METHODS, CODES)


def exercised(metrics: GrpcMetrics) -> GrpcMetrics:
    """The same, after something of everything."""
    metrics.watch(lambda: 3, lambda: 4)
    for method in METHODS:
        for code in CODES:
            metrics.calls.began(method)
            metrics.calls.ended(method, code, 0.01, 0.09)
        metrics.calls.began(method)
        metrics.calls.refused(method)
    metrics.answered([result(status) for status in Status])
    for drop in Drop:
        metrics.log_drops.labels(drop).inc()
    metrics.kept_warm(0.001)
    metrics.kept_warm(None)
    metrics.registered(True)  # noqa: FBT003 - the value of the gauge
    metrics.serving([Model("en", "v1", "abc", CLASSES, NO_SCORER, (0.5, 0.5), Fallback.NONE)])
    return metrics


def result(status: Status) -> Classification:
    """A result; a classified one has two labels."""
    if status is not Status.CLASSIFIED:
        return Classification("https://secret.example", "tlh", status, (), (), None, None)
    classes = tuple((name, 0.9) for name in CLASSES)
    return Classification("https://secret.example", "en", status, CLASSES, classes, ModelStamp("en", "v1", "d"), None)


def total(registry: CollectorRegistry, metric: str, /, **labels: str) -> float:
    """The sum of all samples of that name with at least these labels."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )


# --- which there are -----------------------------------------------------------------------------------------


def test_every_metric_has_help_and_labels_of_closed_sets(metrics: GrpcMetrics) -> None:
    """After something of everything, no label has a value that is not listed above, and no metric is missing here."""
    families = {}
    for family in text_string_to_metric_families(exercised(metrics).exposition().decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not name.endswith("_created") and not name.startswith("process_"):  # those are the library's
            families[name] = family
    assert families.keys() == DESIGNED.keys()
    for name, labels in DESIGNED.items():
        assert len(families[name].documentation) > 10, name
        assert families[name].samples, name
        if name != "clf_build_info":
            for sample in families[name].samples:
                found = {label: value for label, value in sample.labels.items() if label != "le"}
                assert found.keys() == labels.keys(), name
                assert all(value in labels[label] for label, value in found.items()), (name, found)
    assert "secret" not in metrics.exposition().decode()


def test_help_is_there_from_the_start(metrics: GrpcMetrics) -> None:
    """Before the first call every metric is announced already, for whoever writes a dashboard."""
    announced = set(re.findall(r"^# HELP (\S+) \S", metrics.exposition().decode(), re.MULTILINE))
    assert set(DESIGNED) <= announced


def test_every_way_to_end_is_counted_from_zero(metrics: GrpcMetrics, registry: CollectorRegistry) -> None:
    """A rate needs a zero to start from, so each method has all codes from the start."""
    del metrics
    handled = [s for family in registry.collect() for s in family.samples if s.name == "grpc_server_handled_total"]
    assert {(s.labels["grpc_method"], s.labels["grpc_code"]) for s in handled} == {
        (m, c) for m in METHODS for c in CODES
    }
    assert {s.value for s in handled} == {0.0}


# --- what they say -------------------------------------------------------------------------------------------


def test_an_answer(metrics: GrpcMetrics, registry: CollectorRegistry) -> None:
    """It is started, handled, and in all three times; it is neither a failure nor a refusal."""
    metrics.calls.began("Classify")
    metrics.calls.ended("Classify", "OK", 0.004, 0.05)
    assert total(registry, "grpc_server_started_total", grpc_method="Classify", grpc_type="unary") == 1
    assert total(registry, "grpc_server_handled_total", grpc_method="Classify", grpc_code="OK") == 1
    assert total(registry, "grpc_server_handled_total") == 1
    assert total(registry, "grpc_server_handling_seconds_sum", grpc_method="Classify") == 0.004
    assert (total(registry, "clf_latency_seconds_count"), total(registry, "clf_latency_seconds_sum")) == (1, 0.004)
    assert (total(registry, "clf_time_left_seconds_count"), total(registry, "clf_time_left_seconds_sum")) == (1, 0.05)
    assert (total(registry, "clf_failures_total"), total(registry, "clf_refused_calls_total")) == (0, 0)


def test_a_refused_call(metrics: GrpcMetrics, registry: CollectorRegistry) -> None:
    """It is started and handled, a failure and a refusal; it took no time worth a histogram."""
    metrics.calls.began("ClassifyBatch")
    metrics.calls.refused("ClassifyBatch")
    assert total(registry, "grpc_server_started_total") == total(registry, "grpc_server_handled_total") == 1
    assert total(registry, "grpc_server_handled_total", grpc_code="ResourceExhausted") == 1
    assert total(registry, "clf_failures_total", code="ResourceExhausted") == 1
    assert total(registry, "clf_refused_calls_total", reason="too_many_calls") == 1
    assert total(registry, "clf_latency_seconds_count") == 0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("DeadlineExceeded", "too_little_time"),
        ("Canceled", "abandoned"),
        ("InvalidArgument", None),
        ("Internal", None),
        ("Unknown", None),
    ],
)
def test_a_failure(metrics: GrpcMetrics, registry: CollectorRegistry, code: str, reason: str | None) -> None:
    """It is counted by its code; those that were sent away before any work also by why; latency is of answers only."""
    metrics.calls.began("Classify")
    metrics.calls.ended("Classify", code, 0.3, None)
    assert total(registry, "clf_failures_total", code=code) == total(registry, "clf_failures_total") == 1
    assert total(registry, "clf_refused_calls_total") == (reason is not None)
    if reason is not None:
        assert total(registry, "clf_refused_calls_total", reason=reason) == 1
    assert total(registry, "clf_latency_seconds_count") == 0
    assert total(registry, "grpc_server_handling_seconds_count") == 1


@pytest.mark.parametrize("left", [None, 1e9, 9.2e18, float("inf")])
def test_calls_without_a_deadline_spoil_no_average(
    metrics: GrpcMetrics, registry: CollectorRegistry, left: float | None
) -> None:
    """Neither do calls that nobody began to work on."""
    metrics.calls.ended("Classify", "OK", 0.3, left)
    assert total(registry, "clf_time_left_seconds_count") == 0


def test_documents_and_labels_are_counted(metrics: GrpcMetrics, registry: CollectorRegistry) -> None:
    """A batch counts each of its documents, and each label once."""
    metrics.answered([result(Status.CLASSIFIED), result(Status.EMPTY), result(Status.CLASSIFIED)])
    metrics.answered([])
    assert total(registry, "clf_answered_documents_total", status="classified") == 2
    assert total(registry, "clf_answered_documents_total", status="empty") == 1
    assert total(registry, "clf_answered_documents_total") == 3
    assert total(registry, "clf_predictions_total", lang="en", name="sport") == 2


def test_gauges_are_read_when_somebody_asks(metrics: GrpcMetrics, registry: CollectorRegistry) -> None:
    """What is in hand and what waits is as of now."""
    now = {"calls": 1, "entries": 7}
    metrics.watch(lambda: now["calls"], lambda: now["entries"])
    assert (total(registry, "clf_calls_in_hand"), total(registry, "clf_request_log_waiting_entries")) == (1, 7)
    now["calls"] = 5
    assert total(registry, "clf_calls_in_hand") == 5


def test_synthetic_calls_are_counted_apart(metrics: GrpcMetrics, registry: CollectorRegistry) -> None:
    """Answered ones with their time, failed ones without; the calls of others are not touched."""
    metrics.kept_warm(0.002)
    metrics.kept_warm(None)
    assert total(registry, "clf_keep_warm_calls_total", outcome="answered") == 1
    assert total(registry, "clf_keep_warm_calls_total", outcome="failed") == 1
    assert (total(registry, "clf_keep_warm_seconds_count"), total(registry, "clf_keep_warm_seconds_sum")) == (1, 0.002)
    assert total(registry, "grpc_server_started_total") == total(registry, "clf_latency_seconds_count") == 0


def test_registration_is_on_or_off(metrics: GrpcMetrics, registry: CollectorRegistry) -> None:
    """It is off until Consul has the server, and off again when Consul is lost."""
    seen = [total(registry, "clf_registered")]
    for known in (True, False):
        metrics.registered(known)
        seen.append(total(registry, "clf_registered"))
    assert seen == [0, 1, 0]


def test_two_servers_in_one_process_share_nothing(metrics: GrpcMetrics) -> None:
    """Nothing stands on the global registry."""
    other = CollectorRegistry()
    GrpcMetrics(other, "1.2.3", SERVICE, METHODS, CODES)
    metrics.calls.began("Classify")
    assert total(other, "grpc_server_started_total") == 0
