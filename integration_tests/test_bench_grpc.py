"""`clf bench grpc` and its load generator, against real servers; figures are not looked at, only what they count."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest

from integration_tests.system import CLF
from schemas.document import Document
from worker.bench.load import Load, closed
from worker.bench.open_loop import Job
from worker.bench.trained import BenchError

CODE = {0: grpc.StatusCode.OK, 8: grpc.StatusCode.RESOURCE_EXHAUSTED, 3: grpc.StatusCode.INVALID_ARGUMENT}
MESSAGES = [Document(f"https://site.example/{size}", "", "x" * size, "en").to_protobuf() for size in (1, 3000, 50_000)]


class Echo:
    """A servicer that knows what it was sent, and answers as the test says."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.deadlines: list[float] = []
        self.code = grpc.StatusCode.OK
        self.held: threading.Event | None = None

    def classify(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Note the call."""
        self.seen.append(request)
        self.deadlines.append(context.time_remaining())
        if self.held is not None:
            self.held.wait(20)
        if self.code is not grpc.StatusCode.OK:
            context.abort(self.code, "as told")
        return request[:100]


@pytest.fixture
def echo() -> Iterator[tuple[Echo, Job]]:
    """The servicer on a real server, and a short job for it."""
    servicer = Echo()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(servicer.classify)
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_registered_method_handlers("test.Echo", {"Classify": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, Job((f"127.0.0.1:{port}",), "/test.Echo/Classify", 200, 1, timeout_ms=5000, warmup_seconds=0.2)
    server.stop(None).wait()


def test_every_call_arrives_whole_and_is_counted(echo: tuple[Echo, Job], tmp_path: Path) -> None:
    """What is sent is what a gRPC server gets, large messages too, with the deadline; nothing is lost or doubled."""
    servicer, job = echo
    found = Load(tmp_path, MESSAGES).latencies(job)
    assert found.codes == {"OK": len(found)}
    assert 150 < len(found) < 260, "the calls after the warm-up, at the rate"
    assert set(servicer.seen) == set(MESSAGES)
    assert len(servicer.seen) > len(found), "the warm-up is not recorded"
    assert 4 < min(servicer.deadlines) <= max(servicer.deadlines) <= 5.01
    assert (found.seconds > 0).all()


@pytest.mark.parametrize("code", [8, 3])
def test_codes_are_read(echo: tuple[Echo, Job], tmp_path: Path, code: int) -> None:
    """Those of a server that refuses."""
    servicer, job = echo
    servicer.code = CODE[code]
    found = Load(tmp_path, MESSAGES).latencies(job)
    assert set(found.status.tolist()) == {code}


def test_calls_without_an_answer_end_at_their_deadline(echo: tuple[Echo, Job], tmp_path: Path) -> None:
    """The generator gives up on its own, and says so, counting from the time that each was due."""
    servicer, job = echo
    servicer.held = threading.Event()
    found = Load(tmp_path, MESSAGES).latencies(replace(job, timeout_ms=50))
    servicer.held.set()
    assert found.codes == {"DEADLINE_EXCEEDED": len(found)}
    assert found.percentile(50) > 0.045


def test_a_closed_loop_tells_the_throughput(echo: tuple[Echo, Job], tmp_path: Path) -> None:
    """And nothing at all when calls were refused: a refusal is quick."""
    servicer, job = echo
    load = Load(tmp_path, MESSAGES)
    assert load.throughput(closed(job, 4)) > 50
    servicer.code = grpc.StatusCode.RESOURCE_EXHAUSTED
    with pytest.raises(BenchError, match="were not answered"):
        load.throughput(closed(job, 4))


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """It is said so, in a sentence."""
    with pytest.raises(BenchError, match=r"The load generator failed: .*refused"):
        Load(tmp_path, MESSAGES).latencies(Job(("127.0.0.1:1",), "/x/Y", 10, 1))


def test_the_command(tmp_path: Path) -> None:
    """Scenarios give their lines beside targets, and JSON; the exit code tells whether one was missed."""
    options = ["--seconds", "1", "--repeat", "1", "--rate", "100", "--hedged-rate", "50"]
    facts = tmp_path / "facts.json"
    command = [*CLF, "bench", "grpc", *options, "--scenario", "warm", "--scenario", "frozen", "--json", str(facts)]
    wide = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=wide)
    assert done.returncode in (0, 1), done.stderr
    assert "No --data: taking the English sample corpus" in done.stderr
    warm, frozen = orjson.loads(facts.read_bytes())["outcomes"]
    lines: list[dict[str, Any]] = [*warm["lines"], *frozen["lines"]]
    assert done.returncode == int(any(line["met"] is False for line in lines))
    assert [line["measure"] for line in lines if line["measure"] not in done.stdout] == []
    found = warm["latencies"]["clf serve"]
    assert sum(found["codes"].values()) == found["calls"] > 50
    assert frozen["client_metrics"][0]["clf_client_attempts_total number=2"] > 0, "one server was frozen"
