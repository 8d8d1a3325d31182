"""The rules for Prometheus: valid, complete, about metrics that there are, and tested case by case."""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from integration_tests.monitoring import RULES, SAMPLES
from integration_tests.ops_tools import program, why_unavailable
from models.content import Fallback
from models.model import Model
from worker.audit.findings import Report
from worker.calling.metrics import ClientMetrics
from worker.config import Topics
from worker.partition_watch import Partitions
from worker.serve.audit_metrics import AuditMetrics
from worker.serve.calls import CODE_NAMES
from worker.serve.grpc import METHODS, SERVICE
from worker.serve.metrics import GrpcMetrics, Metrics
from worker.stream.records import TopicPartition
from worker.tests.fakes import ManualClock
from worker.tests.test_metrics import NO_SCORER

pytestmark = pytest.mark.timeout(600)  # promtool plays hours

RUNBOOK = SAMPLES.parent.parent / "RUNBOOK.md"
CASES = sorted((SAMPLES / "tests").glob("*.yml"))
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
EVERY_RULE: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in EVERY_RULE if "alert" in rule}
# What Prometheus adds to a target's samples, or its settings do.
OF_THE_TARGET = {"job", "instance", "dc"}


def exposed() -> Iterator[tuple[str, dict[str, str]]]:
    """Name and labels of every sample that workers, servers, audits and clients expose before anything has happened.

    But for what begins with the first event of its kind: one of each is made to happen.
    """
    clock, models = ManualClock(), [Model("en", "v1", "d", ("a",), NO_SCORER, (0.5,), Fallback.NONE)]
    worker = Metrics(CollectorRegistry(), clock, Topics(), "1", 300.0)
    server = GrpcMetrics(CollectorRegistry(), "1", SERVICE, METHODS, list(CODE_NAMES.values()))
    audit, calls = AuditMetrics("documents", clock), CollectorRegistry()
    client = ClientMetrics(calls)
    worker.serving(models)
    worker.lags({TopicPartition("documents", 0): 1})
    worker.partitions(Partitions(4, 4, 4))
    server.serving(models)
    audit.looked(Report())
    client.attempted(1)
    client.ended("OK", 0.01)
    for text in (worker.exposition(), server.exposition(), audit.exposition(), generate_latest(calls)):
        for family in text_string_to_metric_families(text.decode()):
            yield from ((sample.name, dict(sample.labels)) for sample in family.samples)


SAMPLED = list(exposed())


def run(*command: object) -> None:
    """Run one of the programs; what it says is the failure."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=SAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr


def needs(*names: str) -> None:
    """Skip where these programs are not to be had."""
    if reason := why_unavailable(*names):
        pytest.skip(reason)


# --- what Prometheus' own programs say -----------------------------------------------------------------------


def test_the_files_are_valid() -> None:
    """The rules with every expression and template, and both samples of settings."""
    needs("promtool", "amtool")
    run(program("promtool"), "check", "rules", RULES)
    run(program("promtool"), "check", "config", "prometheus.yml")
    run(program("amtool"), "check-config", "alertmanager.yml")


def test_alerts_fire_when_they_should() -> None:
    """And only then: deploy/prometheus/tests has the cases."""
    needs("promtool")
    run(program("promtool"), "test", "rules", *CASES)


# --- what we ask of every rule -------------------------------------------------------------------------------


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_complete(alert: str) -> None:
    """It has a severity, a patience, sentences for a person, and a section of RUNBOOK.md."""
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["for"]
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"].values())
    assert rule["annotations"]["runbook_url"] == f"RUNBOOK.md#{alert.lower()}"
    assert f"\n### {alert}\n" in RUNBOOK.read_text("utf-8")


def test_the_runbook_has_no_alert_that_there_is_not() -> None:
    """A section of an alert that is gone would mislead."""
    assert set(re.findall(r"(?m)^### (Clf\w+)$", RUNBOOK.read_text("utf-8"))) == ALERTS.keys()


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    """The cases name the alert in their expression, as promtool cannot tell which rules it has tested."""
    fires: set[str] = set()
    silent: set[str] = set()
    for path in CASES:
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for expected in case["promql_expr_test"]:
                [alert] = re.findall(r'alertname="(\w+)"', expected["expr"])
                (fires if expected["exp_samples"] else silent).add(alert)
    assert fires == ALERTS.keys()
    assert silent == ALERTS.keys()


# --- what the rules are about --------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", [rule["expr"] for rule in EVERY_RULE])
def test_the_rules_know_the_metrics(expression: str) -> None:
    """Every metric is exposed under that name, with those labels, and with those values of them.

    A metric that is renamed, or begins with its first event instead of at 0, would make an alert silent for ever.
    """
    for name, matchers in re.findall(r"\b((?:clf|grpc|process)_\w+)(?:\{([^}]*)\})?", expression):
        found = [labels for sampled, labels in SAMPLED if sampled == name]
        assert found, f"there is no {name}"
        for label, operator, value in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', matchers):
            if label not in OF_THE_TARGET:
                assert all(label in labels for labels in found), f"{name} has no label {label}"
                wanted = value.split("|") if operator in {"=", "=~"} else []
                assert set(wanted) <= {labels[label] for labels in found}, f"{name} with {label}"
        for grouping in re.findall(r"\bby \(([^)]*)\) \((?:rate\()?" + name, expression):
            assert set(grouping.split(", ")) - OF_THE_TARGET <= found[0].keys(), f"{name} by {grouping}"


def test_what_is_used_is_recorded_and_the_other_way_round() -> None:
    """A recording rule that is renamed would make an alert silent too."""
    used = {name for rule in ALERTS.values() for name in re.findall(r"\bclf:[\w:]+", rule["expr"])}
    assert used == {rule["record"] for rule in EVERY_RULE if "record" in rule}


def test_inhibitions_know_the_alerts() -> None:
    """Alertmanager would not complain of a name that nobody fires."""
    settings = yaml.safe_load((SAMPLES / "alertmanager.yml").read_text("utf-8"))
    for rule in settings["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            [names] = re.findall(r'alertname=~?"([\w|]+)"', matcher)
            assert set(names.split("|")) <= ALERTS.keys()
