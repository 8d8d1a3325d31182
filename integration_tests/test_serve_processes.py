"""`clf serve --processes`: servers that are started, watched, replaced and stopped together."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from integration_tests.plain_calls import Caller
from integration_tests.serving import ServeProcess
from integration_tests.system import wait_until
from schemas.document import Document
from worker.tests.tools import small_store

REQUEST = Document("u", "Football", "a goal", "en").to_protobuf()
SERVICES = ["clf-grpc", "clf-grpc-1", "clf-health", "clf-health-1"]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Those of two processes with a small English model."""
    return ["--models", str(small_store(tmp_path_factory.mktemp("small"))), "--processes", "2"]


@pytest.fixture
def servers(options: list[str], tmp_path: Path) -> Iterator[ServeProcess]:
    """Two servers and their supervisor; none of them outlives the test."""
    with ServeProcess(tmp_path / "serve", options) as supervisor:
        children = children_of(supervisor)
        yield supervisor
    kill([*children, *(child for child in children_of(supervisor) if child not in children)])


def children_of(supervisor: ServeProcess) -> list[psutil.Process]:
    """The server processes, in the order of their start."""
    try:
        return sorted(psutil.Process(supervisor.process.pid).children(), key=lambda child: child.create_time())
    except psutil.NoSuchProcess:
        return []


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL for those that still run."""
    for process in processes:
        if process.is_running():
            process.kill()


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of them runs any more."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def answers(address: str) -> bool:
    """Whether a call there is answered."""
    with Caller(address) as caller:
        return caller.call(REQUEST, timeout=5).code is grpc.StatusCode.OK


def test_all_are_listed_and_stopped_in_order(options: list[str], tmp_path: Path) -> None:
    """What is in hand is answered, also where each process gets the signal, as from systemd; exit 0, no file left."""
    with ServeProcess(tmp_path / "serve", [*options, "--grace", "20"]) as supervisor, Caller(supervisor.grpc) as caller:
        services, children = supervisor.services, children_of(supervisor)
        assert sorted(services) == SERVICES
        assert len(set(services.values())) == 4
        assert answers(services["clf-grpc"])
        assert answers(services["clf-grpc-1"])
        held = caller.hold(REQUEST, timeout=None)
        wait_until(lambda: supervisor.metric("clf_calls_in_hand") >= 1, "the call is in hand")
        for child in children:
            child.terminate()
        wait_until(lambda: len(supervisor.events("draining")) == 2, "both drain")
        supervisor.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            supervisor.process.wait(1)
        held.release()
        assert held.outcome().code is grpc.StatusCode.OK
        assert supervisor.process.wait(30) == 0
        assert gone(children)
        assert len(supervisor.events("stopped")) == 2
        assert not (supervisor.directory / "service.json").exists()


def test_whoever_dies(servers: ServeProcess) -> None:
    """A server comes back on its ports, while the other goes on; without their supervisor both drain, and are gone."""
    before = servers.services
    first, second = children_of(servers)
    first.kill()
    assert answers(before["clf-grpc-1"])
    wait_until(lambda: answers(before["clf-grpc"]), "the first answers again")
    assert servers.services == before
    assert [event["exit_code"] for event in servers.events("server_ended")] == [-signal.SIGKILL]
    children = children_of(servers)
    assert len(children) == 2
    assert second in children
    wait_until(lambda: len(servers.events("started")) == 4, "all have started")  # three servers and their supervisor
    servers.kill()
    wait_until(lambda: gone(children), "both are gone")
    assert len(servers.events("supervisor_gone")) == 2
    assert len(servers.events("stopped")) == 2


def test_a_second_signal_takes_all_along(options: list[str], tmp_path: Path) -> None:
    """It ends the supervisor and its servers at once, with the code that asks for a restart."""
    with ServeProcess(tmp_path / "serve", [*options, "--lame-duck", "60"]) as supervisor:
        children = children_of(supervisor)
        supervisor.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(supervisor.events("draining")) == 2, "both drain")
        supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.process.wait(10) == 4
        wait_until(lambda: gone(children), "both are gone")


def test_a_signal_during_the_start(options: list[str], tmp_path: Path) -> None:
    """Servers that do not even handle signals yet are stopped too, and that is what was asked for: 0."""
    supervisor = ServeProcess(tmp_path / "serve", options)
    try:
        wait_until(lambda: len(supervisor.events("server_started")) == 2, "both are started")
        children = children_of(supervisor)
        assert supervisor.terminate() == 0
        assert gone(children)
    finally:
        supervisor.kill()


def test_what_keeps_them_from_starting(options: list[str], tmp_path: Path) -> None:
    """Exit code 3 when one of them cannot start, or nobody could be told; then none is left running."""
    cases = {
        "ports": ([*options, "--grpc-port", "65535"], "before it was ready; its reason is above"),
        "service file": ([*options, "--service-file", f"{tmp_path}/no/s.json"], "Name another with --service-file"),
    }
    processes = {name: ServeProcess(tmp_path / name, given) for name, (given, _) in cases.items()}
    try:
        for name, (_, sentence) in cases.items():
            process = processes[name]
            assert process.process.wait(90) == 3, (name, process.log())
            assert any(sentence in str(event["reason"]) for event in process.events("cannot_start")), name
            assert "Traceback" not in process.log(), name
            pids = [int(str(event["pid"])) for event in process.events("server_started")]
            assert len(pids) == 2
            assert not any(psutil.pid_exists(pid) for pid in pids), name
    finally:
        for process in processes.values():
            process.kill()
