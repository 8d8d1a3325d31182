"""`clf serve` as operators see it: its books, metrics and request log, and those who look around or hold on."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from integration_tests.plain_calls import SERVICE, Caller, Outcome
from integration_tests.serving import ServeProcess
from integration_tests.system import wait_until
from schemas.document import Document, encode_documents
from worker.tests.tools import small_store

SERVING = health_pb2.HealthCheckResponse.SERVING
FOOTBALL = Document("https://a.example/1", "Football", "secret goal", "en")
REQUEST = FOOTBALL.to_protobuf()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small English model."""
    return small_store(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A server that logs requests; tests leave it as they found it."""
    options = ["--models", str(store), "--request-log", "requests"]
    with ServeProcess(tmp_path_factory.mktemp("serve"), options) as process:
        yield process


@pytest.fixture
def caller(server: ServeProcess) -> Iterator[Caller]:
    """A connection to that server."""
    with Caller(server.grpc) as made:
        yield made


def reflection_of(caller: Caller) -> Any:  # noqa: ANN401 - its stubs lack the methods
    """The reflection service."""
    return reflection_pb2_grpc.ServerReflectionStub(caller.channel)


# --- the books, the metrics and the log ----------------------------------------------------------------------


def balanced(server: ServeProcess) -> bool:
    """Whether every call that began is over."""
    return server.metric("grpc_server_started_total{") == server.metric("grpc_server_handled_total{")


def test_the_books_balance_after_any_load(store: Path, tmp_path: Path) -> None:
    """Calls that are answered, refused, wrong, hopeless or left at any moment: each is counted in once and out once."""
    options = ["--models", str(store), "--max-calls", "4", "--threads", "2", "--keep-warm", "0.01"]
    texts = ["--request-log", "requests", "--request-log-text"]
    outcomes: list[Outcome] = []

    def load(seed: int) -> None:
        source = random.Random(seed)  # noqa: S311 - no secret
        with Caller(loaded.grpc) as caller:
            for _ in range(100):
                method = source.choice(["Classify", "ClassifyBatch"])
                held = caller.hold(REQUEST, source.choice([0.001, 0.01, None]))
                call = caller.begin(source.choice([REQUEST, b"junk", bytes(5000)]), method, source.choice([0.001, 5]))
                if source.random() < 0.5:
                    call.cancel()
                source.choice([held.cancel, held.release])()
                outcomes.append(caller.call(source.choice([REQUEST, b""])))
                held.cancel()

    with ServeProcess(tmp_path / "load", [*options, *texts]) as loaded:
        threads = [threading.Thread(target=load, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: loaded.metric("clf_calls_in_hand") <= 1 and balanced(loaded), "every call is over")
        codes = {outcome.code for outcome in outcomes}
        assert codes <= {
            grpc.StatusCode.OK,
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.CANCELLED,  # shed by gRPC's core
        }
        assert len(outcomes) == 400
        assert loaded.metric("grpc_server_started_total{") > 400
        with Caller(loaded.grpc) as caller:
            assert caller.call(REQUEST).code is grpc.StatusCode.OK
        answered = loaded.metric("clf_answered_documents_total{")
        assert loaded.terminate() == 0
        assert "Traceback" not in loaded.log()
    lines = [line for path in (loaded.directory / "requests").iterdir() for line in path.read_bytes().splitlines()]
    assert len(lines) == answered, "what waited to be logged is written on stop"
    assert all(b'"text":"Football\\nsecret goal"' in line for line in lines), "for they were asked for"
    assert "secret" not in loaded.log(), "where no text ever is"


def test_metrics_tell_what_was_done(server: ServeProcess, caller: Caller) -> None:
    """One answered call and one failure move the counters of both, under the names of the service before this one."""
    names = {
        "answered": "clf_latency_seconds_count",
        "failed": 'clf_failures_total{code="InvalidArgument"}',
        "started": 'grpc_server_started_total{grpc_method="Classify"',
        "OK": 'grpc_server_handled_total{grpc_code="OK",grpc_method="Classify"',
        "bad": 'grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Classify"',
        "handling": 'grpc_server_handling_seconds_count{grpc_method="Classify"',
        "documents": 'clf_answered_documents_total{status="classified"}',
        "labels": 'clf_predictions_total{lang="en",name="sport"}',
        "time left": "clf_time_left_seconds_count",
    }
    wait_until(lambda: balanced(server), "every call is over")
    before = {name: server.metric(start) for name, start in names.items()}
    caller.call(REQUEST)
    caller.call(b"")
    wait_until(lambda: balanced(server), "every call is over")
    grown = {name: server.metric(start) - before[name] for name, start in names.items()}
    assert grown == dict.fromkeys(names, 1) | {"started": 2, "handling": 2, "time left": 2}
    assert server.metric("clf_model_info{") == 1
    assert server.metric("clf_calls_in_hand") <= 1, "a synthetic call may be"
    assert server.metric('clf_keep_warm_calls_total{outcome="failed"}') == 0


def test_health_port(server: ServeProcess) -> None:
    """It answers as a worker's does."""
    assert server.get("/status") == (200, '{"status":"ok"}')
    assert server.get("/ready") == (200, '{"status":"ready"}')
    assert server.get("/nothing")[0] == 404
    assert set(server.services) == {"clf-grpc", "clf-health"}


def test_the_request_log_has_a_line_per_answered_document(server: ServeProcess, caller: Caller) -> None:
    """Batches have one per document, failures none; no line has a word of a text."""
    prefix = "https://log.example/"
    documents = [FOOTBALL._replace(url=f"{prefix}{number}") for number in range(3)]
    caller.call(documents[0].to_protobuf())
    caller.call(encode_documents(documents[1:]), "ClassifyBatch")
    caller.call(encode_documents([*documents[1:], Document("")]), "ClassifyBatch")

    def lines() -> list[bytes]:
        files = sorted((server.directory / "requests").glob("request-*.log"))
        return [line for path in files for line in path.read_bytes().splitlines() if prefix.encode() in line]

    wait_until(lambda: len(lines()) >= 3, "the lines are written")
    found = [orjson.loads(line) for line in lines()]
    assert [(entry["url"], entry["method"]) for entry in found] == [
        (f"{prefix}0", "Classify"),
        (f"{prefix}1", "ClassifyBatch"),
        (f"{prefix}2", "ClassifyBatch"),
    ]
    assert not any(b"secret" in line or b"Football" in line for line in lines())
    assert "secret" not in server.log()


# --- who else calls ------------------------------------------------------------------------------------------


def test_reflection_lists_the_services(caller: Caller) -> None:
    """Tools such as grpcurl find the services, and the messages behind them."""
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    services, file = reflection_of(caller).ServerReflectionInfo(iter(requests), timeout=30)
    assert [entry.name for entry in services.list_services_response.service] == [
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert b"ClassifyBatchRequest" in file.file_descriptor_response.file_descriptor_proto[0]


def test_idle_streams_keep_nobody_from_being_answered(server: ServeProcess, caller: Caller) -> None:
    """Twenty open reflection streams and as many watchers hold no thread of the calls, nor of the health checks."""
    stop = threading.Event()
    with Caller(server.grpc) as idle:
        streams = [reflection_of(idle).ServerReflectionInfo(iter(stop.wait, True)) for _ in range(20)]  # noqa: FBT003 - iter's sentinel
        watches = [idle.watch() for _ in range(20)]
        wait_until(lambda: all(watch.seen == [SERVING] for watch in watches), "all watch")
        outcomes = [caller.call(REQUEST) for _ in range(30)]
        assert {outcome.code for outcome in outcomes} == {grpc.StatusCode.OK}
        assert caller.check() == SERVING
        for stream in streams:
            stream.cancel()
        stop.set()


def test_watchers_that_come_and_go_stop_nothing(server: ServeProcess, caller: Caller) -> None:
    """With the health servicer that grpcio brings, a few at the same time are enough to hang a server for ever."""

    def churn() -> None:
        with Caller(server.grpc) as one:
            for _ in range(40):
                watch = one.watch(SERVICE)
                wait_until(lambda watch=watch: watch.seen, "a status")  # type: ignore[misc]  # mypy infers no defaults
                watch.cancel()

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caller.check() == SERVING
    assert caller.call(REQUEST).code is grpc.StatusCode.OK
