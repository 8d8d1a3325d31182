"""The three open ports: those of a `clf serve`, and that of a `clf worker`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import grpc
import orjson
import psutil

from integration_tests.hostile import on_grpc, on_http
from integration_tests.hostile.siege import GoodCall, Target
from integration_tests.plain_calls import Caller
from integration_tests.serving import ServeProcess
from integration_tests.system import System
from schemas.document import Document

_PATIENCE_S = 5.0
_REQUEST = Document("u", "Football", "a late goal", "en").to_protobuf()


@contextmanager
def server_http(server: ServeProcess) -> Iterator[Target]:
    """The port of a server for health and metrics."""
    process = psutil.Process(server.process.pid)
    yield Target("clf serve, HTTP", process, server.health, on_http.ATTACKS, _asks(server.health), server.log)


@contextmanager
def server_grpc(server: ServeProcess) -> Iterator[Target]:
    """The port of a server for calls."""
    process = psutil.Process(server.process.pid)
    with Caller(server.grpc) as caller:

        def answered() -> bool:
            return caller.call(_REQUEST, timeout=_PATIENCE_S).code is grpc.StatusCode.OK

        yield Target("clf serve, gRPC", process, server.grpc, on_grpc.ATTACKS, answered, server.log)


@contextmanager
def worker_http(system: System) -> Iterator[Target]:
    """The port of a worker that has nothing to do."""
    with system.worker("--no-scoring") as worker:
        worker.await_ready()
        address = orjson.loads((worker.directory / "service.json").read_bytes())["services"]["clf-health"]
        process = psutil.Process(worker.process.pid)
        yield Target("clf worker, HTTP", process, address, on_http.ATTACKS, _asks(address), worker.log)


def _asks(address: str) -> GoodCall:
    def answered() -> bool:
        try:
            with urlopen(f"http://{address}/metrics", timeout=_PATIENCE_S) as answer:
                return answer.status == 200 and b"clf_build_info" in answer.read()
        except OSError:
            return False

    return answered


def small_server(directory: Path, store: Path) -> ServeProcess:
    """A server of a small model, without calls of its own."""
    return ServeProcess(directory, ["--models", str(store), "--keep-warm", "0"])
