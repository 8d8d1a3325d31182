"""One call in several attempts: the first answer wins, the others are cancelled.

Source: gRPC's proposal A6, "Client Retries", section on hedging; Dean and Barroso, "The Tail at Scale", 2013.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

import grpc

from worker.calling.budget import Budget
from worker.calling.caller import caller_context
from worker.calling.fleet import Fleet
from worker.calling.metrics import ClientMetrics
from worker.calling.server import Pending, Server
from worker.clock import Clock

# Another server may do better. CANCELLED, when it was not we who cancelled, is how gRPC's core sheds load in a flood.
ELSEWHERE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED})
# The exception: gRPC's core refuses a message of far too many bytes as RESOURCE_EXHAUSTED, in these words.
_TOO_LARGE = "message larger than max"


@dataclass(frozen=True, slots=True)
class Policy:
    """When to try again.

    Attributes:
        timeout: seconds for a call in all.
        attempts: at most, the first included.
        delay: seconds without an answer until the next attempt.

    Raises:
        ValueError: a time is not a positive number, or there would be no attempt.
    """

    timeout: float
    attempts: int
    delay: float

    def __post_init__(self) -> None:
        """Check the values: what is wrong with them would show in no call, only in too many attempts or too few."""
        for name, seconds in (("timeout", self.timeout), ("delay between attempts", self.delay)):
            if not (math.isfinite(seconds) and seconds > 0):
                raise ValueError(f"the {name} must be a positive number of seconds, not {seconds!r}")
        if self.attempts < 1:
            raise ValueError(f"a call needs at least one attempt, not {self.attempts!r}")


class ClassifierError(Exception):
    """No attempt got an answer.

    Attributes:
        code: why, in gRPC's terms.
        detail: why, in a sentence, mostly the server's.
        attempts: that were made.
    """

    def __init__(self, code: grpc.StatusCode, detail: str, attempts: int) -> None:
        super().__init__(code, detail, attempts)  # all three, or it could not be pickled
        self.code = code
        self.detail = detail
        self.attempts = attempts

    def __str__(self) -> str:
        return f"{self.code.name}: {self.detail}"


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt, under way."""

    number: int
    server: Server
    began: float
    future: Pending


class Mailbox(Protocol):
    """Where attempts report that they are done."""

    def put(self, attempt: Attempt, /) -> None:
        """It is done; from any thread."""

    def get(self, *, timeout: float) -> Attempt:
        """Wait for the next one that is; raises `queue.Empty`."""


class HedgedCalls:
    """Makes calls. Any thread may."""

    def __init__(
        self,
        fleet: Fleet,
        policy: Policy,
        budget: Budget,
        metrics: ClientMetrics,
        clock: Clock,
        mailbox: Callable[[], Mailbox] = SimpleQueue,
    ) -> None:
        self.fleet = fleet
        self.policy = policy
        self.budget = budget
        self.metrics = metrics
        self.clock = clock
        self.mailbox = mailbox

    def call(self, method: str, request: bytes, timeout: float | None = None) -> bytes:
        """Make one call.

        Args:
            method: of the service.
            request: the message.
            timeout: seconds, when other than the policy's.

        Raises:
            ClassifierError: no attempt got an answer in time.
        """
        began = self.clock.monotonic()
        self.budget.call()
        call = _Call(self, method, request, began + (self.policy.timeout if timeout is None else timeout))
        try:
            reply = call.run()
        except ClassifierError as error:
            self.metrics.ended(error.code.name, self.clock.monotonic() - began)
            raise
        else:
            self.metrics.ended("OK", self.clock.monotonic() - began)
            return reply
        finally:
            call.cancel()


class _Call:
    """The attempts of one call."""

    def __init__(self, calls: HedgedCalls, method: str, request: bytes, deadline: float) -> None:
        self._calls = calls
        self._method = method
        self._request = request
        self._deadline = deadline
        self._metadata = caller_context()
        self._mailbox = calls.mailbox()
        self._attempts: list[Attempt] = []
        self._open: set[Attempt] = set()
        self._next_at = 0.0
        self._last_error = ""

    def run(self) -> bytes:
        """Until an attempt is answered, none is left, or time is up."""
        self._begin()
        while True:
            now = self._calls.clock.monotonic()
            try:
                attempt = self._mailbox.get(timeout=max(0.0, min(self._next_at, self._deadline) - now))
            except Empty:
                self._on_silence()
                continue
            reply = self._on_done(attempt)
            if reply is not None:
                return reply

    def cancel(self) -> None:
        """Give up on every attempt that is still under way."""
        for attempt in self._open:
            attempt.future.cancel()

    def _begin(self) -> None:
        """The next attempt, on the server that looks best."""
        now = self._calls.clock.monotonic()
        server, future = self._begun(max(0.0, self._deadline - now))
        number = len(self._attempts) + 1
        attempt = Attempt(number, server, now, future)
        self._attempts.append(attempt)
        self._open.add(attempt)
        self._next_at = now + self._calls.policy.delay
        self._calls.metrics.attempted(number)
        future.add_done_callback(lambda _: self._mailbox.put(attempt))

    def _begun(self, timeout: float) -> tuple[Server, Pending]:
        """A server, and the attempt on it; one that leaves between the choice and the attempt is not chosen again."""
        tried = {attempt.server for attempt in self._attempts}
        while (server := self._calls.fleet.choose(tried)) is not None:
            future = server.begin(self._method, self._request, timeout, self._metadata)
            if future is not None:
                return server, future
        raise self._error(grpc.StatusCode.UNAVAILABLE, "no server is known, or the client is closed")

    def _on_silence(self) -> None:
        """Nobody has answered for a while: begin another attempt, unless time is up."""
        now = self._calls.clock.monotonic()
        if now >= self._deadline:
            connected = any(attempt.server.ready for attempt in self._attempts)
            silence = "no server answered in time" if connected else "no server is ready"
            raise self._error(grpc.StatusCode.DEADLINE_EXCEEDED, self._last_error or silence)
        if self._attempts[-1] in self._open:
            self._attempts[-1].server.was_slow()
        if not self._may_go_on() or not self._begin_another():
            self._next_at = self._deadline

    def _on_done(self, attempt: Attempt) -> bytes | None:
        """The answer, if the attempt has one; None when there is still hope."""
        self._open.discard(attempt)
        code = attempt.future.code()
        if code is grpc.StatusCode.OK:
            if self._calls.clock.monotonic() - attempt.began <= self._calls.policy.delay:
                attempt.server.was_quick()
            self._calls.metrics.won(attempt.number)
            return attempt.future.result()
        detail = attempt.future.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and self._open:
            return None  # a server that saw too little time left; another may be about to answer
        if code not in ELSEWHERE or _TOO_LARGE in detail:
            raise self._error(code, detail)
        attempt.server.was_slow()
        self._last_error = f"{attempt.server.address}: {code.name}: {detail}"
        if self._may_go_on() and self._begin_another():
            return None
        if not self._open:
            raise self._error(code, detail)
        return None

    def _may_go_on(self) -> bool:
        return len(self._attempts) < self._calls.policy.attempts

    def _begin_another(self) -> bool:
        if not self._calls.budget.take():
            self._calls.metrics.throttled()
            return False
        self._begin()
        return True

    def _error(self, code: grpc.StatusCode, detail: str) -> ClassifierError:
        return ClassifierError(code, detail, len(self._attempts))
