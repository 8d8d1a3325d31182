"""Calls that keep a server warm: what is asked, what is counted, and that a fault is told once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast
from unittest.mock import patch

import grpc
import pytest
from structlog.testing import capture_logs

from models.model import Model
from schemas.document import Document, decode_document
from schemas.headers import PROTOBUF
from worker.serve.grpc import SYNTHETIC_SERVICE
from worker.serve.keep_warm import START_ROUNDS, KeepWarm
from worker.tests.fakes import ManualClock
from worker.tests.grpc_fakes import PATIENCE

TOOK = 0.5


class CallError(grpc.RpcError):
    """How grpcio fails."""

    def code(self) -> grpc.StatusCode:
        """Why."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """In which words."""
        return "gone"


class Server:
    """The other end of the channel: answers in half a second, or fails while the test says so."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.failing = False
        self.requests: list[bytes] = []
        self.asked = threading.Event()
        self.closed = False

    def unary_unary(self, path: str) -> "Server":
        """The one method that is called."""
        assert path == f"/{SYNTHETIC_SERVICE}/Classify"
        return self

    def __call__(self, request: bytes, timeout: float) -> bytes:
        """One call."""
        assert timeout > 0
        self.requests.append(request)
        self.asked.set()
        self.clock.now += TOOK
        if self.failing:
            raise CallError
        return b""

    def close(self) -> None:
        """Note it."""
        self.closed = True


class Scene:
    """Two models whose pages are counted, and a server."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.server = Server(self.clock)
        self.touched: list[str] = []
        self.told: list[float | None] = []
        self.models = {lang: self._model(lang) for lang in ("en", "de")}
        with patch("grpc.insecure_channel", lambda address: self.server if address == "unix:/s" else None):
            self.keep_warm = KeepWarm("unix:/s", lambda: self.models, self.told.append, self.clock)

    def _model(self, lang: str) -> Model:
        touch = lambda: self.touched.append(lang)  # noqa: E731 - a method of the stand-in
        return cast("Model", SimpleNamespace(sample=f"text in {lang}", touch=touch))


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene whose thread ends with the test."""
    made = Scene()
    yield made
    made.keep_warm.close()


@contextmanager
def failing(scene: Scene) -> Iterator[None]:
    """The server fails for the time of the block."""
    scene.server.failing = True
    yield
    scene.server.failing = False


def test_a_round_touches_and_calls_once_per_language(scene: Scene) -> None:
    """Each model's pages are read, and its sample goes the whole way, in its language."""
    scene.keep_warm.round()
    assert scene.touched == ["en", "de"]
    documents = [decode_document(request, PROTOBUF) for request in scene.server.requests]
    assert documents == [Document("clf:keep-warm", "", f"text in {lang}", lang) for lang in ("en", "de")]
    assert scene.told == [TOOK, TOOK]


def test_each_round_is_for_the_models_that_serve(scene: Scene) -> None:
    """Those that were swapped in are touched and called from the next round on, and those that left no more."""
    scene.keep_warm.round()
    scene.models = {"en": scene._model("en"), "fr": scene._model("fr")}
    scene.keep_warm.round()
    assert scene.touched == ["en", "de", "en", "fr"]
    assert [decode_document(request, PROTOBUF).lang for request in scene.server.requests] == scene.touched


def test_many_rounds_before_the_first_caller(scene: Scene) -> None:
    """As many as it takes until nothing gets quicker any more."""
    scene.keep_warm.warm_up()
    assert len(scene.server.requests) == 2 * START_ROUNDS
    scene.keep_warm.warm_up(3)
    assert len(scene.server.requests) == 2 * (START_ROUNDS + 3)


def test_a_fault_is_counted_each_time_and_told_once(scene: Scene) -> None:
    """The log has one line per outage, with code and words; a call that succeeds ends it."""
    with capture_logs() as logged:
        with failing(scene):
            scene.keep_warm.warm_up(3)
        scene.keep_warm.round()
        with failing(scene):
            scene.keep_warm.round()
    assert scene.told == [*[None] * 6, TOOK, TOOK, None, None]
    assert [entry["event"] for entry in logged] == ["keep_warm_failed"] * 2
    assert (logged[0]["code"], logged[0]["detail"]) == ("StatusCode.UNAVAILABLE", "gone")
    assert "text in" not in str(logged)


def test_it_goes_on_by_itself_until_it_is_closed(scene: Scene) -> None:
    """Once started, calls are made without anybody's doing; after `close`, none is made any more."""
    scene.keep_warm.start(0.001)
    for _ in range(3):
        scene.server.asked.clear()
        assert scene.server.asked.wait(PATIENCE)
    scene.keep_warm.close()
    assert scene.server.closed
    assert scene.keep_warm._thread is not None
    assert not scene.keep_warm._thread.is_alive()


def test_closing_twice_is_closing(scene: Scene) -> None:
    """Also when it was never started."""
    scene.keep_warm.close()
    scene.keep_warm.close()
    assert scene.server.closed


def test_without_models_there_is_nothing_to_do() -> None:
    """`--no-scoring` has none."""
    told: list[float | None] = []
    keep_warm = KeepWarm("unix:/nowhere", dict, told.append, ManualClock())
    keep_warm.warm_up()
    keep_warm.close()
    assert told == []
