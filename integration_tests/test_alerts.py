"""From a fault to a message and back: a real worker, a real Prometheus with our rules, a real Alertmanager."""

import subprocess
import sys
from pathlib import Path

import pytest

from integration_tests.monitoring import SAMPLES, alertmanager, prometheus, receiver, without_patience
from integration_tests.ops_tools import why_unavailable
from integration_tests.system import System, WorkerProcess, wait_until

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]
PATIENT_S = 90.0  # five programs start and talk to each other on a machine that does other things too


def list_targets(directory: Path, worker: WorkerProcess) -> None:
    """What an operator's timer does: the worker's service.json becomes a target."""
    options: list[str | Path] = ["--to", directory / "targets" / "clf-worker.json", "--label", "dc=here"]
    subprocess.run([sys.executable, SAMPLES / "targets.py", *options, worker.directory / "service.json"], check=True)


@pytest.fixture(autouse=True)
def tools() -> None:
    """Skips where Prometheus is not to be had."""
    if reason := why_unavailable("prometheus", "prometheus-alertmanager"):
        pytest.skip(reason)


def test_a_killed_worker_is_told_and_its_successor_too(system: System, tmp_path: Path) -> None:
    """It dies: the pager hears that nobody has a partition. Another one starts: it hears that this is over."""
    quick = tmp_path / "client.properties"
    quick.write_text("session.timeout.ms=6000\n", "utf-8")  # the least that the broker allows
    options = ("--no-scoring", "--kafka-config", str(quick))
    with (
        receiver() as pager,
        alertmanager(tmp_path, pager) as manager,
        system.worker(*options) as worker,
    ):
        worker.await_ready()
        list_targets(tmp_path, worker)
        with prometheus(tmp_path, manager, without_patience) as watching:
            wait_until(lambda: watching.query("clf_assigned_partitions == 4"), "the worker is scraped", PATIENT_S)
            wait_until(lambda: "ClfNoMembers" not in watching.alerts(), "all is well", PATIENT_S)
            pager.notices.clear()
            worker.kill()
            wait_until(lambda: pager.heard("ClfNoMembers", "firing"), "the pager hears of it", PATIENT_S)
            wait_until(lambda: watching.alerts().get("ClfTargetDown") == "firing", "the cause is known too", PATIENT_S)
            [told] = pager.heard("ClfNoMembers", "firing")[:1]
            assert told["labels"]["severity"] == "critical"
            assert told["annotations"]["summary"] == "No worker has a partition"
            assert told["annotations"]["runbook_url"] == "RUNBOOK.md#clfnomembers"
            with system.worker(*options) as successor:
                successor.await_ready()
                list_targets(tmp_path, successor)
                wait_until(lambda: pager.heard("ClfNoMembers", "resolved"), "it hears that this is over", PATIENT_S)
                wait_until(lambda: "ClfTargetDown" not in watching.alerts(), "the new one is the target", PATIENT_S)
                assert successor.terminate() == 0
