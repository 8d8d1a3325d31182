"""Stand-ins for what the client is built on: calls under way, mailboxes on a manual clock, servers, channels."""

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import count
from queue import Empty
from typing import Any, NamedTuple, cast

import grpc

from worker.calling.addresses import Addresses
from worker.calling.fleet import Fleet
from worker.calling.hedging import Attempt
from worker.calling.server import Metadata, Server
from worker.tests.fakes import ManualClock

Code = grpc.StatusCode
Connectivity = grpc.ChannelConnectivity


class FakePending:
    """A call under way, which ends when the test says so."""

    def __init__(self) -> None:
        self.cancelled = False
        self._end: tuple[grpc.StatusCode, bytes, str] | None = None
        self._callbacks: list[Callable[[Any], None]] = []

    def end(self, code: grpc.StatusCode, reply: bytes = b"", details: str = "") -> None:
        """It is done; as in grpcio, a second end changes nothing."""
        if self._end is None:
            self._end = (code, reply, details)
            for callback in self._callbacks:
                callback(self)

    @property
    def ended(self) -> bool:
        """Whether it is done."""
        return self._end is not None

    def add_done_callback(self, fn: Callable[[Any], None], /) -> None:
        """Call `fn` when it is done, at once if it is."""
        if self._end is None:
            self._callbacks.append(fn)
        else:
            fn(self)

    def cancel(self) -> bool:
        """Give it up."""
        self.cancelled = self._end is None
        self.end(Code.CANCELLED, details="Locally cancelled by application!")
        return self.cancelled

    def code(self) -> grpc.StatusCode:
        """How it ended."""
        assert self._end is not None
        return self._end[0]

    def details(self) -> str:
        """What was said about that."""
        assert self._end is not None
        return self._end[2]

    def result(self) -> bytes:
        """The answer."""
        assert self._end is not None
        return self._end[1]


class Reply(NamedTuple):
    """What a server does with one attempt: it ends with `code` after `after` seconds, or never."""

    after: float | None
    code: grpc.StatusCode = Code.OK
    detail: str = "said so"


SILENCE = Reply(None)


class Post:
    """Mailboxes whose waiting moves the clock to what happens next."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def mailbox(self) -> "FakeMailbox":
        """For one call."""
        return FakeMailbox(self)

    def at(self, time: float, happens: Callable[[], None]) -> None:
        """Something will happen."""
        self._events.append((time, next(self._numbers), happens))

    def advance(self, end: float, until: Callable[[], object]) -> None:
        """Let everything happen that does before `end`, or until `until` holds; the clock ends there."""
        while not until() and (due := sorted(event for event in self._events if event[0] <= end)):
            self._events.remove(due[0])
            self.clock.now = max(self.clock.now, due[0][0])
            due[0][2]()
        if not until():
            self.clock.now = max(self.clock.now, end)


class FakeMailbox:
    """The mailbox of one call."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._attempts: list[Attempt] = []

    def put(self, attempt: Attempt, /) -> None:
        """It is done."""
        self._attempts.append(attempt)

    def get(self, *, timeout: float) -> Attempt:
        """Move the clock until an attempt is done, or `timeout` is over."""
        assert timeout >= 0
        self._post.advance(self._post.clock.now + timeout, lambda: self._attempts)
        if not self._attempts:
            raise Empty
        return self._attempts.pop(0)


@dataclass(eq=False)
class FakeServer:
    """Does with its attempts what `replies` say, one after the other, the last one again and again."""

    address: str
    post: Post
    replies: list[Reply] = field(default_factory=lambda: [Reply(0.001)])
    ready: bool = True
    avoided: bool = False
    in_flight: int = 0
    leaving: bool = False
    gone: bool = False
    slow: int = 0
    quick: int = 0
    watched: bool = True
    closed: bool = False
    begun: list[tuple[float, FakePending]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)

    def begin(self, method: str, request: bytes, timeout: float, metadata: Metadata = ()) -> FakePending | None:
        """Begin, and let it end when its time has come."""
        self.metadata.append(metadata)
        if self.leaving:
            self.gone = True
            return None
        after, code, detail = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        pending = FakePending()
        self.begun.append((self.post.clock.now, pending))
        self.timeouts.append(timeout)
        if after is not None:
            reply = f"{method} {request.decode()} by {self.address}".encode()
            details = "" if code is Code.OK else f"{self.address} {detail}"
            self.post.at(self.post.clock.now + after, lambda: pending.end(code, reply, details))
        return pending

    def was_slow(self) -> None:
        """Count it."""
        self.slow += 1

    def was_quick(self) -> None:
        """Count it."""
        self.quick += 1

    def unwatch(self) -> None:
        """Note it."""
        self.watched = False

    def close(self) -> None:
        """Note it."""
        self.closed = True


@dataclass
class Queue:
    """A fleet without chance: the first server that a call has not tried, else the first."""

    servers: list[FakeServer]

    def choose(self, tried: Collection[object]) -> FakeServer | None:
        """As `Fleet.choose`, by order."""
        known = [server for server in self.servers if not server.gone]
        return next((server for server in known if server not in tried), known[0] if known else None)


def as_fleet(queue: Queue) -> Fleet:
    """The same to mypy."""
    return cast("Fleet", queue)


def as_server(server: FakeServer) -> Server:
    """The same to mypy."""
    return cast("Server", server)


@dataclass
class Asked:
    """One call that a channel was asked to make."""

    method: str
    request: bytes
    timeout: float
    wait_for_ready: bool
    pending: FakePending


class FakeChannel:
    """What `Server` uses of grpcio's channel."""

    def __init__(self, address: str = "", answer: Callable[[Asked], None] | None = None) -> None:
        """`answer` may end a call at once; without it calls stay under way."""
        self.address = address
        self.answer = answer
        self.asked: list[Asked] = []
        self.was_asked = threading.Event()
        self.watchers: list[Callable[[grpc.ChannelConnectivity], None]] = []
        self.connecting = False
        self.closed = False
        self.error: Exception | None = None

    def subscribe(
        self, callback: Callable[[grpc.ChannelConnectivity], None], *, try_to_connect: bool | None = None
    ) -> None:
        """Note who wants to know."""
        self.watchers.append(callback)
        self.connecting = bool(try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        """Forget who wanted to know."""
        self.watchers.remove(callback)

    def become(self, *states: grpc.ChannelConnectivity) -> None:
        """Tell everybody."""
        for state in states:
            for watcher in self.watchers:
                watcher(state)

    def unary_unary(self, method: str) -> "FakeMethod":
        """One method of the service."""
        return FakeMethod(self, method)

    def close(self) -> None:
        """Cancel what is under way."""
        self.closed = True
        for call in self.asked:
            call.pending.end(Code.CANCELLED, details="Channel closed!")


@dataclass
class FakeMethod:
    """What `Server` uses of grpcio's multi-callable."""

    channel: FakeChannel
    method: str

    def future(
        self, request: bytes, *, timeout: float, wait_for_ready: bool, metadata: Metadata | None = None
    ) -> FakePending:
        """Begin a call."""
        del metadata
        if self.channel.error is not None:
            raise self.channel.error
        if self.channel.closed:
            raise ValueError("Cannot invoke RPC: Channel closed!")
        asked = Asked(self.method, request, timeout, wait_for_ready, FakePending())
        self.channel.asked.append(asked)
        self.channel.was_asked.set()
        if self.channel.answer is not None:
            self.channel.answer(asked)
        return asked.pending


def as_channel(channel: FakeChannel) -> grpc.Channel:
    """The same to mypy."""
    return cast("grpc.Channel", channel)


class ScriptedLookup:
    """Finds, one after the other, what the test says; raises what is an error."""

    pause = 7.0

    def __init__(self, answers: Iterable[Addresses | Exception]) -> None:
        self.answers = list(answers)

    def addresses(self) -> Addresses:
        """The next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
