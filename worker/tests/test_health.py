"""The health service: what is answered, who is told, and that nobody can hold it up."""

import threading
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from worker.serve.health import EVERYTHING, NOT_SERVING, SERVICE, SERVING, Health
from worker.tests.grpc_fakes import PATIENCE, AbortError, FakeContext

OURS = "clf.v1.Classifier"
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Watching:
    """One caller of `Watch`, who may be slow to take what is sent."""

    def __init__(self, health: Health, name: str = OURS, *, slow: bool = False) -> None:
        self.seen: list[int] = []
        self.context = FakeContext()
        self.takes = threading.Event()
        self.sending = threading.Event()
        self._changed = threading.Condition()
        if not slow:
            self.takes.set()
        request = health_pb2.HealthCheckRequest(service=name)
        self.thread = threading.Thread(target=health.watch, args=(request, self.context, self._take))
        self.thread.start()

    def _take(self, response: health_pb2.HealthCheckResponse) -> None:
        self.sending.set()
        assert self.takes.wait(PATIENCE)
        with self._changed:
            self.seen.append(response.status)
            self._changed.notify_all()

    def await_seen(self, *expected: int) -> None:
        """Wait until just that has been sent."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.seen == list(expected), PATIENCE), self.seen
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "a watcher must keep no thread"


@pytest.fixture
def health() -> Health:
    """Not serving yet."""
    return Health((EVERYTHING, OURS))


def check(health: Health, name: str) -> int:
    """What `Check` answers."""
    request = health_pb2.HealthCheckRequest(service=name)
    return int(health.check(request, FakeContext().as_context()).status)


def test_it_is_the_standard_service() -> None:
    """Every load balancer looks for it under this name."""
    assert SERVICE == "grpc.health.v1.Health"


@pytest.mark.parametrize("name", [EVERYTHING, OURS])
def test_check_follows_the_status(health: Health, name: str) -> None:
    """Under the name of the service and under none, the answer is the same and that of now."""
    seen = [check(health, name)]
    for status in (SERVING, NOT_SERVING):
        health.set(status)
        seen.append(check(health, name))
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


def test_check_of_another_service(health: Health) -> None:
    """It is not found, and the caller is told what is there."""
    context = FakeContext()
    with pytest.raises(AbortError):
        health.check(health_pb2.HealthCheckRequest(service="other"), context.as_context())
    assert context.aborted == (grpc.StatusCode.NOT_FOUND, f"no such service here; there is {OURS}")


@pytest.mark.parametrize("name", [EVERYTHING, OURS])
def test_a_watcher_is_told_at_once_and_of_each_change(health: Health, name: str) -> None:
    """First the present status, then what is new, and nothing twice."""
    watching = Watching(health, name)
    watching.await_seen(NOT_SERVING)
    health.set(SERVING)
    watching.await_seen(NOT_SERVING, SERVING)
    health.set(SERVING)
    health.set(NOT_SERVING)
    watching.await_seen(NOT_SERVING, SERVING, NOT_SERVING)


def test_a_watcher_of_another_service(health: Health) -> None:
    """It is told that the service is unknown, and left connected, as the protocol has it."""
    watching = Watching(health, "other")
    health.set(SERVING)
    watching.await_seen(UNKNOWN)
    assert watching.context.aborted is None


def test_a_watcher_that_left_is_forgotten(health: Health) -> None:
    """Also one that had left before it was noted."""
    watching = Watching(health)
    watching.await_seen(NOT_SERVING)
    watching.context.end()
    assert not health._watchers
    gone = FakeContext()
    gone.over = True
    health.watch(health_pb2.HealthCheckRequest(service=OURS), gone.as_context(), lambda _: None)
    assert not health._watchers
    health.set(SERVING)
    assert watching.seen == [NOT_SERVING]


def test_leaving_never_waits_for_a_slow_watcher(health: Health) -> None:
    """While one is being told, at its beginning or of a change, the serving thread can let another go."""
    quick, slow = Watching(health), Watching(health, slow=True)
    quick.await_seen(NOT_SERVING)
    assert slow.sending.wait(PATIENCE)
    in_time(quick.context.end)
    slow.takes.set()
    slow.await_seen(NOT_SERVING)
    slow.takes.clear()
    slow.sending.clear()
    other = Watching(health)
    health.set(SERVING)
    assert slow.sending.wait(PATIENCE)
    in_time(other.context.end)
    in_time(slow.context.end)
    slow.takes.set()


def test_nobody_waits_for_a_slow_watcher(health: Health) -> None:
    """A change reaches the others, and whoever makes it goes on; the slow one gets the last word when it can."""
    slow, quick = Watching(health, slow=True), Watching(health)
    assert slow.sending.wait(PATIENCE)
    in_time(lambda: health.set(SERVING))
    in_time(lambda: check(health, OURS))
    in_time(lambda: health.set(NOT_SERVING))
    assert quick.seen[0] == NOT_SERVING
    slow.takes.set()
    slow.await_seen(NOT_SERVING)


def in_time(work: Any) -> None:  # noqa: ANN401 - anything that can be called
    """Fail, rather than hang, when that waits for somebody."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
