"""Disks that fill up: the broker's, that of the models, that of the request log."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc

from integration_tests.faults.fault import RECOVERY_SECONDS, Fault, recover
from integration_tests.faults.stage import Place, Setting, Stage, Verdict
from integration_tests.plain_calls import Caller
from integration_tests.serving import ServeProcess
from integration_tests.system import CLF, wait_until
from models.store import Store

_FULL_SECONDS = 10.0
_CANNOT_START = 3
_ROOM_FOR_A_NAME = 64 * 1024  # for the file that says which version is active, not for a model
_RETRY_SECONDS = 90.0  # what was refused is tried again after a minute
_CALL_SECONDS = 0.005
_ENOUGH = 200
_QUIET_SECONDS = 5.0  # far below any timeout: nothing waited for the disk
_DROPPED = 'clf_request_log_dropped_total{reason="write_failed"'
_WITH_MODELS = Setting(
    disk_mib=16, own_models=True, options=("--models", "file://{models}", "--model-cache", "{disk}/cache")
)


def fill_broker(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """The broker's disk is full: Kafka ends itself. It is started again when there is room."""
    broker = stage.around.broker
    for _ in range(rounds):
        running = broker.running
        assert running is not None, "the broker runs"
        began = stage.clock.monotonic()
        stage.disk.fill()
        wait_until(lambda: running.process() is None, "the broker has ended", 60.0)  # noqa: B023 - called at once
        stage.clock.sleep(_FULL_SECONDS)
        told = [len(worker.events("kafka_client")) for worker in stage.fleet.workers.values()]
        verdict.must(min(told) > 0, f"workers told of the broker {told} times")
        stage.disk.free()
        broker.start(running.directory, port=running.port, follow_parent=True)
        recover(stage, verdict, began)


def fill_models(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """The disk of the model store and of the workers' cache is full: what serves goes on, and a start is refused."""
    where = stage.models
    for _ in range(rounds):
        began = stage.clock.monotonic()
        stage.disk.fill()
        refused = _activate_other(where)
        verdict.must("No space left on device" in refused.stderr, f"the store is full, and it says {refused.stderr!r}")
        verdict.must(refused.returncode != 0, "a version was activated on a full disk")
        stage.disk.free()
        stage.disk.fill(leave=_ROOM_FOR_A_NAME)
        activated = _activate_other(where)
        assert activated.returncode == 0, activated.stderr
        workers = stage.fleet.workers.values()
        wait_until(lambda: all(worker.events("model_refused") for worker in workers), "all refuse it")  # noqa: B023 - called at once
        reasons = {str(worker.events("model_refused")[-1]["reason"]) for worker in workers}
        verdict.must(all("Make room there" in reason for reason in reasons), f"it is refused because of {reasons}")
        verdict.gap("all", stage.longest_gap(began), most=_QUIET_SECONDS)
        stage.fleet.signal(0, signal.SIGKILL)
        wait_until(lambda: stage.fleet.exits[-1:] and stage.fleet.exits[-1].code == _CANNOT_START, "a start is refused")
        stage.disk.free()
        healed = stage.clock.monotonic()
        stage.await_recovery(verdict, healed, within=RECOVERY_SECONDS)
        survivors = [worker for slot, worker in stage.fleet.workers.items() if slot > 0]
        wait_until(lambda: all(worker.events("model_swapped") for worker in survivors), "they take it", _RETRY_SECONDS)  # noqa: B023 - called at once
        verdict.most("seconds until the model was taken", stage.clock.monotonic() - healed)
        stage.fleet.await_ready(*range(stage.setting.workers))
        verdict.rounds += 1


def _activate_other(where: Path) -> "subprocess.CompletedProcess[str]":
    store = Store(where)
    version = next(version for version in store.versions("en") if version != store.active("en"))
    command = [*CLF, "models", "activate", "en", version, "--models", str(where)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def fill_request_log(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """The disk of a server's request log is full: calls are answered all the same, and each lost entry is counted."""
    log = stage.disk.path / "requests"
    options = ["--models", str(stage.around.models), "--request-log", str(log)]
    with ServeProcess(stage.system.directory / "serve", options) as server:
        with _calls(stage, server.grpc) as codes:
            for _ in range(rounds):
                _await_more(lambda: len(codes), "calls are answered")
                stage.disk.fill()
                _await_more(lambda: server.metric(_DROPPED), "entries are dropped")
                stage.disk.free()
                back = partial(_has_happened, server, "request_log_writes_again", verdict.rounds + 1)
                wait_until(back, "entries are written again")
                _await_more(lambda: len(codes), "calls are answered again")
                verdict.rounds += 1
        wait_until(lambda: server.metric("clf_request_log_waiting_entries") == 0, "every entry is settled")
        lost = server.metric(_DROPPED)
        told = len(server.events("request_log_cannot_write"))
        verdict.must(told == rounds, f"a full disk was told of {told} times, for {rounds}")
        verdict.must(server.terminate() == 0, "the server did not stop in order")
    lines = sum(_is_whole(line) for file in log.iterdir() for line in file.read_bytes().split(b"\n"))
    verdict.facts |= {"calls": len(codes), "entries lost": lost}
    verdict.must(set(codes) == {grpc.StatusCode.OK}, f"calls ended with {set(codes)}")
    verdict.must(lines + lost == len(codes), f"{lines} entries and {lost} lost ones for {len(codes)} calls")
    stage.await_recovery(verdict, stage.clock.monotonic(), within=RECOVERY_SECONDS)


def _is_whole(line: bytes) -> bool:
    """Whether it is an entry, and not what the disk took of one that was lost."""
    return line.startswith(b"{") and line.endswith(b"}")


def _has_happened(server: ServeProcess, event: str, times: int) -> bool:
    return len(server.events(event)) >= times


def _await_more(count: Callable[[], float], what: str) -> None:
    enough = count() + _ENOUGH
    wait_until(lambda: count() >= enough, what)


@contextmanager
def _calls(stage: Stage, address: str) -> Iterator[list[grpc.StatusCode]]:
    """Calls one after the other, for the time of the block; how each ended."""
    codes: list[grpc.StatusCode] = []
    over = threading.Event()
    requests = [document.to_protobuf() for document in stage.around.documents]

    def call() -> None:
        with Caller(address) as caller:
            while not over.wait(_CALL_SECONDS):
                codes.append(caller.call(requests[len(codes) % len(requests)]).code)

    thread = threading.Thread(target=call, name="caller")
    thread.start()
    try:
        yield codes
    finally:
        over.set()
        thread.join()


FAULTS_OF_DISKS = (
    Fault("disk-models", "disk of models and their cache full", fill_models, 1, _WITH_MODELS),
    Fault("disk-request-log", "disk of a request log full", fill_request_log, 2, Setting(disk_mib=8)),
    Fault("disk-broker", "the broker's disk full", fill_broker, 2, Setting(place=Place.SMALL_DISK)),
)
