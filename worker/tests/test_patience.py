"""Calls whose request does not come do not keep a thread for ever."""

import threading
from collections.abc import Iterator

import grpc
import pytest

from worker.serve.patience import CROWDED_SECONDS, REQUEST_SECONDS, Patience
from worker.tests.fakes import ManualClock
from worker.tests.grpc_fakes import FakeContext


class SlowCaller:
    """A stream of requests that waits until somebody cancels the call, as grpcio's does."""

    def __init__(self) -> None:
        self.context = FakeContext()
        self.asked = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.asked.set()
        assert self.context.cancelled.wait(20)
        raise grpc.RpcError


def test_a_request_is_handed_on() -> None:
    """The first one; None where there is none; and nothing is remembered of either."""
    patience = Patience(ManualClock(), lambda: False)
    assert patience.await_request(iter([b"a", b"b"]), FakeContext().as_context()) == b"a"
    assert patience.await_request(iter([]), FakeContext().as_context()) is None
    assert patience._waiting == {}


@pytest.mark.parametrize(("crowded", "seconds"), [(False, REQUEST_SECONDS), (True, CROWDED_SECONDS)])
def test_who_takes_too_long_is_cancelled(*, crowded: bool, seconds: float) -> None:
    """Not before its time, which is short while others wait; the caller's end is grpcio's own error."""
    clock = ManualClock()
    patience, slow = Patience(clock, lambda: crowded), SlowCaller()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            patience.await_request(iter(slow), slow.context.as_context())
        except grpc.RpcError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert slow.asked.wait(20)
    clock.now += seconds - 0.1
    patience.cancel_late()
    assert not slow.context.cancelled.is_set()
    clock.now += 0.2
    patience.cancel_late()
    thread.join(20)
    assert len(ended) == 1
    assert patience._waiting == {}


@pytest.mark.parametrize("error", [grpc.RpcError(), ZeroDivisionError()])
def test_nothing_is_remembered_of_a_call_that_failed(error: Exception) -> None:
    """Whatever the stream raises."""

    def requests() -> Iterator[bytes]:
        raise error
        yield b""

    patience = Patience(ManualClock(), lambda: False)
    with pytest.raises(type(error)):
        patience.await_request(requests(), FakeContext().as_context())
    assert patience._waiting == {}
