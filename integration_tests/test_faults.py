"""A short part of the fault suite with a fixed seed, for `make test`; `make faults` is the whole."""

from pathlib import Path

import pytest

from integration_tests.faults.faults import FAULTS, POINTS_FAULT
from integration_tests.faults.report import told
from integration_tests.faults.stage import Verdict
from integration_tests.faults.suite import Suite, keep, surroundings
from worker.clock import SystemClock

pytestmark = pytest.mark.broker

_SEED = 20_261_126


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_kills_at_named_points(tmp_path: Path, model_store: Path) -> None:
    """A worker that dies around the steps of its transactions: the audit finds nothing, and readers saw the same."""
    with surroundings(model_store, tmp_path, SystemClock()) as around:
        verdict = Suite(around).run(POINTS_FAULT, _SEED, rounds=3)
    assert verdict.holds, told(verdict)
    assert verdict.documents > 1000


def test_what_is_kept_of_a_run_with_findings(tmp_path: Path) -> None:
    """The data and logs of brokers and workers, in place of those of an earlier run; not which process wrote them."""
    for name in ("broker/data/log", "broker/tmp/scratch", "broker/broker.json", "kill.1/worker-0/log", "kept/old/log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    kept = keep(tmp_path / "kept", tmp_path / "kill.1", tmp_path / "broker")
    found = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert found == {"broker/data/log", "kill.1/worker-0/log"}


def test_each_fault_has_a_name_of_its_own() -> None:
    """Names are how a person asks for one."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_verdict_says_what_is_broken() -> None:
    """A promise that does not hold, or a finding of the audit, makes it a bad one."""
    verdict = Verdict("f", 1)
    assert verdict.holds
    verdict.must(True, "never said")  # noqa: FBT003 - reads as a sentence
    verdict.gap("all", 1.0, most=2.0)
    assert verdict.holds
    verdict.gap("all", 3.0, most=2.0)
    assert (verdict.holds, verdict.longest_gap) == (False, {"all": 3.0})
    assert "a gap of 3.0 s" in told(verdict)
    found = Verdict("f", 1, findings={"missing": 1})
    assert not found.holds
