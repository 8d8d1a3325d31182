"""The calls in hand: who gets in, on which thread they are answered, and that the books always balance."""

import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from worker.serve.calls import CODE_NAMES, Call, CallPool, Limits
from worker.tests.fakes import ManualClock
from worker.tests.grpc_fakes import PATIENCE, AbortError, FakeContext, NotingBooks

CLASSIFY, BATCH, CHECK = "/s/Classify", "/s/ClassifyBatch", "/grpc.health.v1.Health/Check"
NAMES = {CLASSIFY: "Classify", BATCH: "ClassifyBatch"}
HANDLER = object()


class Scene:
    """A pool with its books and clock, called as grpcio's serving thread calls it."""

    def __init__(self, threads: int = 2, max_calls: int = 3) -> None:
        self.books = NotingBooks()
        self.clock = ManualClock()
        self.pool = CallPool(Limits(threads, max_calls), NAMES, self.books, self.clock)

    def look_up(self, path: str, handler: object = HANDLER) -> Any:  # noqa: ANN401 - grpcio's handlers have no one type
        """What grpcio gets when it asks for the handler of a call that came."""
        return self.pool.intercept_service(lambda _: handler, SimpleNamespace(method=path))

    def call(self, path: str, work: Callable[[], object] = lambda: None) -> None:
        """A call comes, is let in, and is handed over."""
        assert self.look_up(path) is HANDLER
        self.pool.submit(work)

    def ended(self) -> list[tuple[object, ...]]:
        """What the books say of calls that are over."""
        return [entry[1:] for entry in self.books.entries if entry[0] == "ended"]


@contextmanager
def scene(threads: int = 2, max_calls: int = 3) -> Iterator[Scene]:
    """A scene whose threads end with the block."""
    made = Scene(threads, max_calls)
    try:
        yield made
    finally:
        made.pool.close()
        for thread in made.pool._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@contextmanager
def held(scene: Scene, path: str, calls: int) -> Iterator[None]:
    """So many calls that are not finished before the end of the block."""
    release = threading.Event()
    for _ in range(calls):
        scene.call(path, release.wait)
    try:
        yield
    finally:
        release.set()


# --- who gets in ---------------------------------------------------------------------------------------------


def test_calls_up_to_the_limit_get_in() -> None:
    """So many may be in hand, waiting or worked on; the next is refused, and one more gets in when one is done."""
    with scene(threads=1, max_calls=3) as playing:
        with held(playing, CLASSIFY, 3):
            assert playing.pool.in_hand == 3
            assert playing.look_up(BATCH) is not HANDLER
            assert playing.pool.in_hand == 3
        playing.books.await_balance()
        playing.call(BATCH)
        playing.books.await_balance()
    kinds = [entry[:2] for entry in playing.books.entries]
    assert kinds.count(("began", "Classify")) == 3
    assert kinds.count(("began", "ClassifyBatch")) == 2
    assert kinds.count(("refused", "ClassifyBatch")) == 1


def test_only_calls_in_the_books_are_refused() -> None:
    """Health checks, and the server's own calls, get in however many are in hand; the books know nothing of them."""
    with scene(max_calls=1) as playing:
        with held(playing, CLASSIFY, 1):
            assert playing.look_up(CHECK) is HANDLER
            playing.call("/s.Synthetic/Classify")
        playing.books.await_balance()
    assert [entry[:2] for entry in playing.books.entries] == [("began", "Classify"), ("ended", "Classify")]


def test_an_unknown_method_is_nobodys_call() -> None:
    """A lookup that finds nothing is passed on, and leaves no trace in the books or on the next call."""
    with scene() as playing:
        assert playing.look_up("/s/Nothing", None) is None
        playing.call(CHECK)
        playing.books.await_balance()
    assert playing.books.entries == []


def test_a_call_is_the_one_that_was_looked_up_last() -> None:
    """Lookups that lead to no call of this pool do not confuse it: health services have threads of their own."""
    with scene() as playing:
        playing.look_up(CLASSIFY)
        playing.pool.submit(lambda: None)
        playing.look_up(CHECK)
        playing.look_up("/s/Nothing", None)
        playing.call(BATCH)
        playing.look_up(CHECK)
        playing.pool.submit(lambda: None)
        playing.books.await_balance()
    assert sorted(str(entry[0]) for entry in playing.ended()) == ["Classify", "ClassifyBatch"]


def test_the_refusal_is_made_at_once_on_the_serving_thread() -> None:
    """It is a handler for a stream of requests, called before any came, by a pool that runs what it gets in passing."""
    with scene(max_calls=1) as playing:
        with held(playing, CLASSIFY, 1):
            handler = playing.look_up(CLASSIFY)
        playing.books.await_balance()
    assert (handler.request_streaming, handler.response_streaming) == (True, False)
    assert (handler.request_deserializer, handler.response_serializer) == (None, None)
    pool = handler.stream_unary.experimental_thread_pool
    assert isinstance(pool, ThreadPoolExecutor), "or grpcio would not use it"
    future = pool.submit(threading.current_thread)
    assert future.done()
    assert future.result() is threading.current_thread()
    assert not pool._threads
    context = FakeContext()
    with pytest.raises(AbortError):
        handler.stream_unary(iter([]), context)
    assert context.aborted == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "1 calls are in hand here already: try another server, or later",
    )


# --- how they are answered -----------------------------------------------------------------------------------


def test_work_runs_on_the_pools_threads() -> None:
    """As many at a time as there are threads, each with its own call at hand."""
    with scene(threads=2) as playing:
        meeting = threading.Barrier(2)
        seen: dict[str, tuple[Call, int]] = {}

        def work() -> None:
            meeting.wait(PATIENCE)
            seen[threading.current_thread().name] = (playing.pool.current, playing.pool.in_hand)

        playing.call(CLASSIFY, work)
        playing.call(BATCH, work)
        playing.books.await_balance()
    assert set(seen) == {"call-0", "call-1"}
    assert {call.method for call, _ in seen.values()} == {"Classify", "ClassifyBatch"}


def test_arguments_are_handed_on() -> None:
    """Grpcio passes a function and what to call it with."""
    got: list[object] = []
    with scene() as playing:
        playing.look_up(CHECK)
        playing.pool.submit(lambda *found, **named: got.extend([found, named]), 1, "b", c=3)
    assert got == [(1, "b"), {"c": 3}]


def test_waiting_counts_as_time_in_hand() -> None:
    """A call is as old as its arrival, not as the beginning of work on it."""
    with scene(threads=1) as playing:
        ages: list[float] = []
        with held(playing, CLASSIFY, 1):
            playing.call(BATCH, lambda: ages.append(playing.pool.age(playing.pool.current)))
            playing.clock.now += 2.5
        playing.books.await_balance()
    assert ages == [2.5]
    assert [entry[2] for entry in playing.ended()] == [2.5, 2.5]


def test_the_books_get_what_the_call_says() -> None:
    """Code and time left are those that the handler noted."""

    def work() -> None:
        playing.pool.current.code = grpc.StatusCode.OK
        playing.pool.current.seconds_left = 0.25

    with scene() as playing:
        playing.call(CLASSIFY, work)
        playing.books.await_balance()
    assert playing.books.entries == [("began", "Classify"), ("ended", "Classify", "OK", 0.0, 0.25)]


def test_what_is_never_begun_was_abandoned() -> None:
    """When grpcio finds that the caller has left, it does not call the handler: the call ends as cancelled."""
    with scene() as playing:
        playing.call(CLASSIFY)
        playing.books.await_balance()
    assert playing.ended() == [("Classify", "Canceled", 0.0, None)]


def test_a_bug_in_one_call_harms_no_other() -> None:
    """It is logged, the call leaves the books, and the one thread goes on."""

    def bug() -> None:
        raise RuntimeError

    with scene(threads=1, max_calls=10) as playing, capture_logs() as logged:
        for _ in range(5):
            playing.call(CLASSIFY, bug)
        playing.call(CLASSIFY)
        playing.books.await_balance()
    assert len(playing.ended()) == 6
    assert [entry["event"] for entry in logged] == ["call_failed"] * 5


def test_what_is_done_is_not_kept() -> None:
    """A thread that waits for the next call holds nothing of the last: a document may be large."""

    class Document:
        """Something that can be watched going."""

    with scene(threads=1) as playing:
        document = Document()
        gone = threading.Event()
        watched = weakref.ref(document, lambda _: gone.set())
        playing.look_up(CLASSIFY)
        playing.pool.submit(id, document)
        del document
        assert gone.wait(PATIENCE)
        assert watched() is None


def test_what_is_in_hand_is_answered_before_the_threads_end() -> None:
    """Closing keeps nobody waiting for an answer that never comes."""
    done: list[int] = []
    with scene(threads=2, max_calls=100) as playing:
        for number in range(50):
            playing.call(CLASSIFY, lambda number=number: done.append(number))  # type: ignore[misc]  # mypy infers no defaults
    assert sorted(done) == list(range(50))
    assert len(playing.ended()) == 50


def test_the_books_balance_under_load() -> None:
    """However calls end, each that began ended or was refused, exactly once, and nothing stays in hand."""

    def failing() -> None:
        raise RuntimeError

    works: list[Callable[[], object]] = [lambda: None, failing, lambda: sum(range(1000))]
    with scene(threads=3, max_calls=5) as playing, capture_logs():
        for number in range(2000):
            handler = playing.look_up((CLASSIFY, BATCH, CHECK)[number % 3])
            if handler is HANDLER:
                playing.pool.submit(works[number % len(works)])
        playing.books.await_balance()
    assert playing.pool.in_hand == 0
    for method in NAMES.values():
        began, ended, refused = (playing.books.count(kind, method) for kind in ("began", "ended", "refused"))
        assert began == ended + refused
        assert began > 600


# --- names ---------------------------------------------------------------------------------------------------


def test_codes_are_named_as_elsewhere() -> None:
    """Dashboards made for gRPC services in other languages know these names."""
    for code, name in CODE_NAMES.items():
        expected = {"OK": "OK", "CANCELLED": "Canceled"}.get(code.name, code.name.title().replace("_", ""))
        assert name == expected
