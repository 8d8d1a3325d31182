"""`clf serve` from start to stop: callers are told in time, no call is lost, and what keeps it from running is said."""

import json
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry

from integration_tests.plain_calls import SERVICE, Caller
from integration_tests.serving import ServeProcess
from integration_tests.system import CLOCK, free_port, wait_until
from schemas.document import Document
from worker.classify import ConstantClassifier
from worker.config import Grpc
from worker.serve.answers import Answers
from worker.serve.calls import CODE_NAMES, CallPool, Limits
from worker.serve.grpc import METHODS, Servicer
from worker.serve.grpc_server import GrpcServer, GrpcServerError
from worker.serve.metrics import GrpcMetrics
from worker.serve.patience import Patience
from worker.serve.scratch import scratch_directory
from worker.tests.tools import small_store

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REQUEST = Document("u", "Football", "a goal", "en").to_protobuf()
OK = grpc.StatusCode.OK


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Those of a server with a small English model."""
    return ["--models", str(small_store(tmp_path_factory.mktemp("small")))]


# --- the server alone ----------------------------------------------------------------------------------------


@contextmanager
def own_server(config: Grpc) -> Iterator[GrpcServer]:
    """A server in this process that gives everybody the same result."""
    metrics = GrpcMetrics(CollectorRegistry(), "1", SERVICE, METHODS, list(CODE_NAMES.values()))
    pool = CallPool(Limits(2, 16), {f"/{SERVICE}/{name}": name for name in METHODS}, metrics.calls, CLOCK)
    patience = Patience(CLOCK, lambda: pool.crowded)
    servicer = Servicer(Answers(ConstantClassifier, 10_000, 4), pool, 0.0, lambda *_: None, patience)
    try:
        with (
            scratch_directory(CLOCK.time()) as directory,
            GrpcServer(config, servicer, pool, None, directory, CLOCK) as server,
        ):
            yield server
    finally:
        pool.close()


def test_health_before_during_and_after() -> None:
    """From the first moment that the port answers it says whether calls may come; when they may not, they still can."""
    with own_server(Grpc(grpc_port=0)) as server, Caller(server.address) as caller:
        server.start()
        watch = caller.watch(SERVICE)
        assert caller.check() == caller.check(SERVICE) == NOT_SERVING
        server.serving()
        assert caller.check() == caller.check(SERVICE) == SERVING
        server.not_serving()
        assert caller.check() == NOT_SERVING
        wait_until(lambda: watch.seen == [NOT_SERVING, SERVING, NOT_SERVING], "the watcher has seen all")
        assert caller.call(REQUEST).code is OK
        assert server.stop(5.0), "a watcher holds up nothing"
        assert watch.ended.wait(30)


def test_whether_all_were_answered_is_told_right() -> None:
    """A call that is cut off at the end of the grace period was not finished, however quickly its thread is free."""
    for _ in range(3):
        with own_server(Grpc(grpc_port=0)) as server, Caller(server.address) as caller:
            server.start()
            held = caller.hold(REQUEST)
            wait_until(lambda server=server: server._pool.in_hand == 1, "the call is in hand")  # type: ignore[misc]  # noqa: SLF001 - mypy infers no defaults; nobody else tells
            assert not server.stop(0.1)
            assert held.outcome().code is grpc.StatusCode.UNAVAILABLE


def test_nothing_is_left_of_a_stopped_server() -> None:
    """The port is free for the next one at once, and the directory of its own socket is gone."""
    with own_server(Grpc(grpc_port=0)) as first:
        first.start()
        directory = Path(first.own_address.removeprefix("unix:")).parent
        assert directory.stat().st_mode & 0o777 == 0o700
        assert first.stop(1.0)
    assert not directory.exists()
    with own_server(Grpc(grpc_port=first.port)) as second:
        assert second.port == first.port


def test_a_port_that_is_taken() -> None:
    """It is an error with advice, not half of somebody else's calls."""
    with own_server(Grpc(grpc_port=0)) as first:
        for _ in range(2):
            with pytest.raises(GrpcServerError, match="take --grpc-port 0"), own_server(Grpc(grpc_port=first.port)):
                pass


def test_a_temporary_directory_with_a_long_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path is short; the error says so, and not that the port were taken."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with (
        pytest.raises(GrpcServerError, match="Set TMPDIR to a directory with a short name"),
        own_server(Grpc(grpc_port=0)),
    ):
        pass
    assert list(long.iterdir()) == []


# --- stopping ------------------------------------------------------------------------------------------------


def test_a_stop_is_told_before_anything_is_refused(options: list[str], tmp_path: Path) -> None:
    """SIGTERM: /ready and the health service say no, calls are answered for a while, then the port closes; exit 0."""
    with (
        ServeProcess(tmp_path / "serve", [*options, "--lame-duck", "2"]) as server,
        Caller(server.grpc) as caller,
    ):
        watch = caller.watch(SERVICE)
        wait_until(lambda: watch.seen == [SERVING], "the watcher is told")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: watch.seen == [SERVING, NOT_SERVING], "the watcher is told")
        assert server.get("/ready") == (503, '{"status":"not ready","reason":"shutting down"}')
        assert server.get("/status")[0] == 200
        assert caller.check() == NOT_SERVING
        assert caller.call(REQUEST).code is OK, "it is announced, and no more"
        assert server.process.wait(30) == 0
        assert watch.ended.wait(30)
        assert [event["all_answered"] for event in server.events("stopped")] == [True]
        assert server.events("keep_warm_failed") == []
        assert not (server.directory / "service.json").exists()


def test_calls_in_hand_are_answered_on_stop(options: list[str], tmp_path: Path) -> None:
    """Those worked on and those that wait for a thread are all answered, and only then it exits, with 0."""
    more = ["--threads", "2", "--lame-duck", "0.2", "--grace", "20"]
    with (
        ServeProcess(tmp_path / "serve", [*options, *more]) as server,
        Caller(server.grpc) as caller,
    ):
        held = [caller.hold(REQUEST, timeout=None) for _ in range(8)]
        wait_until(lambda: server.metric("clf_calls_in_hand") >= len(held), "all are in hand")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _listens(server.grpc), "the port is closed")
        for call in held:
            call.release()
        assert {call.outcome().code for call in held} == {OK}
        assert server.process.wait(30) == 0
        assert [event["all_answered"] for event in server.events("stopped")] == [True]


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 1):
            return True
    except OSError:
        return False


def test_a_call_that_never_comes_to_an_end_is_cut_off(options: list[str], tmp_path: Path) -> None:
    """After the grace period it gets UNAVAILABLE, and the exit code tells that somebody got no answer."""
    more = ["--lame-duck", "0", "--grace", "0.3"]
    with ServeProcess(tmp_path / "serve", [*options, *more]) as server, Caller(server.grpc) as caller:
        held = caller.hold(REQUEST, timeout=None)
        wait_until(lambda: server.metric("clf_calls_in_hand") >= 1, "it is in hand")
        assert server.terminate() == 4
        assert held.outcome().code is grpc.StatusCode.UNAVAILABLE
        assert [event["all_answered"] for event in server.events("stopped")] == [False]


def test_a_second_signal_forces(options: list[str], tmp_path: Path) -> None:
    """It ends the server at once, whatever is in hand, with the code that asks for a restart."""
    more = ["--lame-duck", "60", "--grace", "60"]
    with ServeProcess(tmp_path / "serve", [*options, *more]) as server, Caller(server.grpc) as caller:
        caller.hold(REQUEST, timeout=None)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.events("draining"), "it drains")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 4
        assert server.events("forced")


def test_a_signal_during_the_start(options: list[str], tmp_path: Path) -> None:
    """It stops before anybody is told that there is a server, or soon after; in any case in order, with 0."""
    server = ServeProcess(tmp_path / "serve", options)
    try:
        wait_until(lambda: _handles_sigterm(server), "it handles signals")
        assert server.terminate() == 0
        assert not (server.directory / "service.json").exists()
        assert server.events("stopped")
    finally:
        server.kill()


def _handles_sigterm(server: ServeProcess) -> bool:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_rolling_restart_loses_no_call(options: list[str], tmp_path: Path) -> None:
    """Two servers are replaced one after the other; a plain channel that heeds health loses no call of many."""
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": SERVICE},
    }
    ports = [free_port(), free_port()]
    targets = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    codes: Counter[grpc.StatusCode] = Counter()
    stop = threading.Event()
    channel_options = (("grpc.service_config", json.dumps(config)), ("grpc.enable_retries", 0))

    def load() -> None:
        while not stop.wait(0.002):
            codes[caller.call(REQUEST).code] += 1

    def start(number: int, name: str) -> ServeProcess:
        more = ["--grpc-port", str(ports[number]), "--lame-duck", "1"]
        return running.enter_context(ServeProcess(tmp_path / f"{number}{name}", [*options, *more]))

    with ExitStack() as running, Caller(targets, options=channel_options) as caller:
        servers = [start(0, "old"), start(1, "old")]
        thread = threading.Thread(target=load)
        for number in (0, 1):
            # As one restarts servers: the next one goes when the last one is back, and called.
            wait_until(lambda: all(_is_called(server, caller) for server in servers), "both are called")
            if number == 0:
                thread.start()
            assert servers[number].terminate() == 0
            servers[number] = start(number, "new")
        wait_until(lambda: all(_answered(server) > 20 for server in servers), "the new ones are called")
        stop.set()
        thread.join()
    assert set(codes) == {OK}
    assert codes.total() > 100


def _is_called(server: ServeProcess, caller: Caller) -> bool:
    caller.call(REQUEST)
    return _answered(server) > 0


def _answered(server: ServeProcess) -> float:
    return server.metric("clf_latency_seconds_count")


# --- what cannot start ---------------------------------------------------------------------------------------


def test_what_keeps_it_from_starting(options: list[str], tmp_path: Path) -> None:
    """Exit code 3, or 2 for wrong usage, and one sentence that names what is wrong and what helps; no traceback."""
    (tmp_path / "file").write_text("junk")
    file = str(tmp_path / "file")
    with ServeProcess(tmp_path / "first", options) as first:
        cases = {
            "no models": (["--models", str(tmp_path / "none")], 3, "Train a model"),
            "grpc port": ([*options, "--grpc-port", first.grpc.rpartition(":")[2]], 3, "take --grpc-port 0"),
            "http port": ([*options, "--http-port", first.health.rpartition(":")[2]], 3, "take --http-port 0"),
            "service file": ([*options, "--service-file", f"{tmp_path}/no/s.json"], 3, "with --service-file"),
            "request log": ([*options, "--request-log", f"{file}/log"], 3, "Name a directory that this user can write"),
            "bad tls": ([*options, "--tls-cert", file, "--tls-key", file], 3, "cannot be used for TLS"),
            "usage": ([*options, "--tls-cert", f"{file}.pem"], 2, "does not exist"),
        }
        processes = {name: ServeProcess(tmp_path / name, given) for name, (given, *_) in cases.items()}
        try:
            for name, (_, code, sentence) in cases.items():
                process = processes[name]
                assert process.process.wait(60) == code, (name, process.log())
                assert sentence in process.log(), name
                assert len(process.events("cannot_start")) == (code == 3), name
                assert "Traceback" not in process.log(), name
                assert not (process.directory / "service.json").exists(), name
        finally:
            for process in processes.values():
                process.kill()
        assert first.get("/ready")[0] == 200, "the one that was there first is unharmed"
