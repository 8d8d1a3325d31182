"""Somebody adds partitions to one topic only, under load."""

import signal
import subprocess

from integration_tests.faults.fault import RECOVERY_SECONDS, Fault
from integration_tests.faults.stage import Stage, Verdict
from integration_tests.system import CLF, wait_until
from worker.kafka.admin import Cluster

_MORE = 2
_NOTICED_SECONDS = 60.0  # twice the time after which clients look for new partitions
_MEANWHILE_SECONDS = 5.0
_CANNOT_START = 3


def grow_documents(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """New partitions of the documents have no place for their results: they wait, and the others go on."""
    before = stage.setting.partitions
    began = _grow(stage, stage.system.documents)
    stage.generator.grow(before + _MORE)
    fleet = stage.fleet

    def all_withheld() -> bool:
        return sum(worker.metric("clf_withheld_partitions{") for worker in fleet.workers.values()) == _MORE

    wait_until(all_withheld, "the new partitions are assigned, and withheld", _NOTICED_SECONDS)
    verdict.most("seconds until noticed", stage.clock.monotonic() - began)
    stage.clock.sleep(_MEANWHILE_SECONDS)
    _must_be_told(stage, verdict, "partitions_without_results")
    verdict.gap("old", stage.longest_gap(began), most=RECOVERY_SECONDS)
    offsets = stage.system.kafka.committed_offsets(stage.system.group, stage.system.documents)
    verdict.must(max(offsets[before + n] for n in range(_MORE)) < 0, "something of the new partitions was committed")
    _repair(stage, verdict)
    verdict.rounds = rounds


def grow_results(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """New partitions of the results stay empty, and it is told."""
    began = _grow(stage, stage.system.classifications)
    wait_until(lambda: all(w.events("partitions_unequal") for w in stage.fleet.workers.values()), "it is told")
    verdict.most("seconds until noticed", stage.clock.monotonic() - began)
    stage.clock.sleep(_MEANWHILE_SECONDS)
    verdict.gap("old", stage.longest_gap(began), most=RECOVERY_SECONDS)
    _repair(stage, verdict)
    verdict.rounds = rounds


def _grow(stage: Stage, topic: str) -> float:
    cluster = Cluster({"bootstrap.servers": stage.system.kafka.bootstrap_servers})
    cluster.add_partitions(topic, stage.setting.partitions + _MORE)
    return stage.clock.monotonic()


def _must_be_told(stage: Stage, verdict: Verdict, event: str) -> None:
    for slot, worker in stage.fleet.workers.items():
        reasons = [str(told["reason"]) for told in worker.events(event)]
        verdict.must(any("clf topics add-partitions" in reason for reason in reasons), f"worker {slot} says nothing")


def _repair(stage: Stage, verdict: Verdict) -> None:
    """A worker that is started now refuses, the others take over; then the command that the refusal names helps."""
    stage.fleet.signal(0, signal.SIGKILL)
    wait_until(lambda: stage.fleet.exits[-1:] and stage.fleet.exits[-1].code == _CANNOT_START, "a start is refused")
    before, wanted = stage.setting.partitions, stage.setting.partitions + _MORE
    added = subprocess.run(
        [*CLF, "topics", "add-partitions", *stage.system.options()[:-2]], capture_output=True, text=True, check=False
    )
    verdict.must(added.returncode == 0, f"partitions could not be added: {added.stderr}")
    stage.generator.grow(wanted)
    for topic in (stage.system.classifications, stage.system.dead_letters):
        stage.timeline.grow(topic, range(before, wanted))
    stage.await_recovery(verdict, stage.clock.monotonic(), within=_NOTICED_SECONDS)
    stage.fleet.await_ready(*range(stage.setting.workers))


FAULTS_OF_TOPICS = (
    Fault("partitions-input", "partitions added to the documents alone", grow_documents, rounds=1),
    Fault("partitions-output", "partitions added to the results alone", grow_results, rounds=1),
)
