"""One call in several attempts: what servers do, and what becomes of the call, to the millisecond."""

import math
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from worker.calling.budget import Budget
from worker.calling.hedging import ELSEWHERE, ClassifierError, HedgedCalls, Policy
from worker.calling.metrics import ClientMetrics
from worker.tests.client_fakes import SILENCE, Code, FakePending, FakeServer, Post, Queue, Reply, as_fleet
from worker.tests.fakes import ManualClock

POLICY = Policy(timeout=0.1, attempts=4, delay=0.02)
START = 1000.0


class Scene:
    """Servers named a, b, c, each with what it does, and a client of them."""

    def __init__(
        self, replies: Sequence[Sequence[Reply]], policy: Policy = POLICY, budget: Budget | None = None
    ) -> None:
        self.clock = ManualClock(START)
        self.post = Post(self.clock)
        self.servers = [FakeServer(name, self.post, list(script)) for name, script in zip("abc", replies, strict=False)]
        self.registry = CollectorRegistry()
        self.calls = HedgedCalls(
            as_fleet(Queue(self.servers)),
            policy,
            budget or Budget(0.1, 20.0),
            ClientMetrics(self.registry),
            self.clock,
            self.post.mailbox,
        )

    def call(self, timeout: float | None = None) -> str:
        """Make one call; the answer as text."""
        return self.calls.call("Classify", b"page", timeout).decode()

    def refused(self, timeout: float | None = None) -> ClassifierError:
        """Make one call that fails."""
        with pytest.raises(ClassifierError) as caught:
            self.call(timeout)
        return caught.value

    @property
    def now(self) -> int:
        """Milliseconds since the start."""
        return self._ms(self.clock.now)

    @property
    def attempts(self) -> list[tuple[str, int]]:
        """Which server was asked, and when, in order."""
        begun = [(self._ms(time), server.address) for server in self.servers for time, _ in server.begun]
        return [(name, time) for time, name in sorted(begun)]

    @property
    def pending(self) -> list[FakePending]:
        """Every attempt."""
        return [pending for server in self.servers for _, pending in server.begun]

    @property
    def cancelled(self) -> str:
        """The servers whose attempts were given up."""
        return "".join(s.address for s in self.servers for _, pending in s.begun if pending.cancelled)

    @property
    def slow(self) -> str:
        """The servers that were marked slow, as often as they were."""
        return "".join(server.address * server.slow for server in self.servers)

    @property
    def quick(self) -> str:
        """The servers that were marked quick."""
        return "".join(server.address * server.quick for server in self.servers)

    def metric(self, name: str, **labels: str) -> float:
        """One value."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def _ms(self, time: float) -> int:
        return round((time - START) * 1000)


class Case(NamedTuple):
    """What a, b and c do, and what follows."""

    replies: list[list[Reply]]
    outcome: str
    at: int
    attempts: list[tuple[str, int]]
    cancelled: str = ""
    slow: str = ""
    quick: str = ""


def ok(milliseconds: int) -> Reply:
    """An answer."""
    return Reply(milliseconds / 1000)


def no(code: Code, milliseconds: int = 1) -> Reply:
    """A refusal."""
    return Reply(milliseconds / 1000, code)


CASES = {
    "an answer at once": Case([[ok(1)], [ok(1)]], "by a", 1, [("a", 0)], quick="a"),
    "a late answer loses against the second attempt": Case(
        [[ok(50)], [ok(1)]], "by b", 21, [("a", 0), ("b", 20)], cancelled="a", slow="a", quick="b"
    ),
    "a late answer still wins when it comes first": Case(
        [[ok(25)], [ok(10)]], "by a", 25, [("a", 0), ("b", 20)], cancelled="b", slow="a"
    ),
    "an answer in the last moment": Case(
        [[SILENCE], [SILENCE], [ok(59)]],
        "by c",
        99,
        [("a", 0), ("b", 20), ("c", 40), ("a", 60)],
        cancelled="aab",
        slow="aabc",
    ),
    "silence": Case(
        [[SILENCE], [SILENCE], [SILENCE]],
        "DEADLINE_EXCEEDED: no server answered in time",
        100,
        [("a", 0), ("b", 20), ("c", 40), ("a", 60)],
        cancelled="aabc",
        slow="aabc",
    ),
    "silence of the only server": Case(
        [[SILENCE]],
        "DEADLINE_EXCEEDED: no server answered in time",
        100,
        [("a", 0), ("a", 20), ("a", 40), ("a", 60)],
        cancelled="aaaa",
        slow="aaaa",
    ),
    "refused by all": Case(
        [[no(Code.UNAVAILABLE)], [no(Code.UNAVAILABLE)], [no(Code.RESOURCE_EXHAUSTED)]],
        "UNAVAILABLE: a said so",
        4,
        [("a", 0), ("b", 1), ("c", 2), ("a", 3)],
        slow="aabc",
    ),
    "refused, then silence": Case(
        [[no(Code.UNAVAILABLE), SILENCE], [SILENCE], [SILENCE]],
        "DEADLINE_EXCEEDED: a: UNAVAILABLE: a said so",
        100,
        [("a", 0), ("b", 1), ("c", 21), ("a", 41)],
        cancelled="abc",
        slow="aabc",
    ),
    "a refusal does not hurry what is under way": Case(
        [[ok(30)], [no(Code.UNAVAILABLE)], [SILENCE]],
        "by a",
        30,
        [("a", 0), ("b", 20), ("c", 21)],
        cancelled="c",
        slow="ab",
    ),
    "a bad document is bad everywhere": Case(
        [[no(Code.INVALID_ARGUMENT)], [ok(1)]], "INVALID_ARGUMENT: a said so", 1, [("a", 0)]
    ),
    "a document that is too large for gRPC's core is so everywhere": Case(
        [[Reply(0.001, Code.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (9 vs. 8)")], [ok(1)]],
        "RESOURCE_EXHAUSTED: a SERVER: Received message larger than max (9 vs. 8)",
        1,
        [("a", 0)],
    ),
    "a bad document ends the other attempts too": Case(
        [[SILENCE], [no(Code.INVALID_ARGUMENT)]],
        "INVALID_ARGUMENT: b said so",
        21,
        [("a", 0), ("b", 20)],
        cancelled="a",
        slow="a",
    ),
    "a bug of the server is not called again": Case([[no(Code.INTERNAL)]], "INTERNAL: a said so", 1, [("a", 0)]),
    "too late for one server is not too late for another": Case(
        [[ok(90)], [no(Code.DEADLINE_EXCEEDED)], [SILENCE]],
        "by a",
        90,
        [("a", 0), ("b", 20), ("c", 40), ("a", 60)],
        cancelled="ac",
        slow="aac",
    ),
    "too late for the only one": Case([[no(Code.DEADLINE_EXCEEDED)]], "DEADLINE_EXCEEDED: a said so", 1, [("a", 0)]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_servers_do_and_what_follows(name: str) -> None:
    """The outcome and its time, who was asked when, whose attempts were given up, and who counts as slow or quick."""
    case = CASES[name]
    scene = Scene(case.replies)
    if case.outcome.startswith("by "):
        assert scene.call() == f"Classify page {case.outcome}"
    else:
        error = scene.refused()
        assert str(error) == case.outcome == f"{error.code.name}: {error.detail}"
        assert error.attempts == len(case.attempts)
    assert (scene.now, scene.attempts) == (case.at, case.attempts)
    assert (scene.cancelled, scene.slow, scene.quick) == (case.cancelled, case.slow, case.quick)
    assert all(pending.ended for pending in scene.pending)


@pytest.mark.parametrize("name", CASES)
def test_every_call_is_counted(name: str) -> None:
    """One call under its code with its seconds, each attempt under its number, and the number of the winner."""
    case = CASES[name]
    scene = Scene(case.replies)
    code, winners = "OK", 1.0
    try:
        scene.call()
    except ClassifierError as error:
        code, winners = error.code.name, 0.0
    assert scene.metric("clf_client_calls_total", code=code) == 1.0
    assert scene.metric("clf_client_latency_seconds_count") == 1.0
    assert scene.metric("clf_client_latency_seconds_sum") == pytest.approx(case.at / 1000)
    numbers = [scene.metric("clf_client_attempts_total", number=str(number)) for number in range(1, 6)]
    assert numbers == [float(number <= len(case.attempts)) for number in range(1, 6)]
    assert sum(scene.metric("clf_client_won_total", number=str(number)) for number in range(1, 6)) == winners
    assert scene.metric("clf_client_throttled_total") == 0.0


@pytest.mark.parametrize("code", sorted(ELSEWHERE, key=str))
def test_another_server_may_do_better(code: Code) -> None:
    """A server that is going, is full, or sheds load is left at once for the next one, and counts as slow."""
    scene = Scene([[no(code)], [ok(1)]])
    assert scene.call() == "Classify page by b"
    assert (scene.attempts, scene.slow, scene.cancelled) == ([("a", 0), ("b", 1)], "a", "")


def test_the_winner_is_named() -> None:
    """The metric tells which attempt was answered, which is how often hedging helped."""
    scene = Scene([[SILENCE], [SILENCE], [ok(1)]])
    scene.call()
    assert scene.metric("clf_client_won_total", number="3") == 1.0


def test_every_attempt_ends_with_the_call() -> None:
    """An attempt gets the time that the call has left, so that its server knows too when nobody waits any more."""
    scene = Scene([[SILENCE]])
    scene.refused()
    assert scene.servers[0].timeouts == pytest.approx([0.1, 0.08, 0.06, 0.04])


@pytest.mark.parametrize(("timeout", "attempts"), [(0.01, 1), (0.05, 3), (0.5, 4)])
def test_a_call_may_have_its_own_timeout(timeout: float, attempts: int) -> None:
    """It replaces the client's, shorter or longer."""
    scene = Scene([[SILENCE], [SILENCE]])
    error = scene.refused(timeout)
    assert (error.code, error.attempts, scene.now) == (Code.DEADLINE_EXCEEDED, attempts, round(timeout * 1000))


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_no_time_at_all(timeout: float) -> None:
    """A caller whose time is over already gets its error without waiting."""
    scene = Scene([[SILENCE]])
    assert scene.refused(timeout).code is Code.DEADLINE_EXCEEDED
    assert (scene.now, scene.servers[0].timeouts) == (0, [0.0])


@pytest.mark.parametrize("policy", [Policy(0.1, 1, 0.02), Policy(0.1, 4, 0.1), Policy(0.1, 4, 3.0)])
def test_one_attempt_only(policy: Policy) -> None:
    """Both a limit of one attempt and a delay longer than the call leave the first one alone."""
    scene = Scene([[ok(90)], [ok(1)]], policy)
    assert scene.call() == "Classify page by a"
    assert scene.attempts == [("a", 0)]


def test_nobody_to_call() -> None:
    """Without any server a call fails at once and says why; it is counted."""
    scene = Scene([])
    error = scene.refused()
    assert str(error) == "UNAVAILABLE: no server is known, or the client is closed"
    assert (error.attempts, scene.now) == (0, 0)
    assert scene.metric("clf_client_calls_total", code="UNAVAILABLE") == 1.0


def test_nobody_is_ready() -> None:
    """When time is up while no server was connected, the error says that, and not that servers were slow."""
    scene = Scene([[SILENCE], [SILENCE]])
    for server in scene.servers:
        server.ready = False
    assert str(scene.refused()) == "DEADLINE_EXCEEDED: no server is ready"


def test_a_server_that_leaves_meanwhile() -> None:
    """One that is closed between the choice and the attempt is passed over, without an attempt being counted."""
    scene = Scene([[ok(1)], [ok(1)]])
    scene.servers[0].leaving = True
    assert scene.call() == "Classify page by b"
    assert (scene.attempts, scene.metric("clf_client_attempts_total", number="1")) == ([("b", 0)], 1.0)


def test_the_error_crosses_processes() -> None:
    """It can be taken apart and put together again, as process pools do, with all it says."""
    error = copy(ClassifierError(Code.UNAVAILABLE, "gone", 4))
    assert (type(error), str(error), error.attempts) == (ClassifierError, "UNAVAILABLE: gone", 4)


# --- throttling ----------------------------------------------------------------------------------------------


def test_a_sick_fleet_is_spared() -> None:
    """Without a token no further attempt is made, which is counted; the first one may still be answered."""
    scene = Scene([[ok(90)], [SILENCE]], budget=Budget(0.0, 1.0))
    assert scene.call() == "Classify page by a"
    assert scene.call() == "Classify page by a"
    assert scene.attempts == [("a", 0), ("b", 20), ("a", 90)]
    assert scene.metric("clf_client_throttled_total") == 2.0


def test_calls_earn_further_attempts() -> None:
    """With a share of a half, every other call may be hedged once the burst is used up."""
    scene = Scene([[SILENCE], [ok(1)]], budget=Budget(0.5, 1.0), policy=Policy(0.1, 2, 0.02))
    outcomes = []
    for _ in range(5):
        with suppress(ClassifierError):
            scene.call()
        outcomes.append(scene.metric("clf_client_won_total", number="2"))
    assert outcomes == [1.0, 1.0, 2.0, 2.0, 3.0]


def test_a_refusal_without_a_token_leaves_the_others() -> None:
    """What is under way may still be answered."""
    scene = Scene([[ok(30)], [no(Code.UNAVAILABLE)], [ok(1)]], budget=Budget(0.0, 1.0))
    assert scene.call() == "Classify page by a"
    assert scene.attempts == [("a", 0), ("b", 20)]


def test_a_refusal_without_a_token_is_final() -> None:
    """It is raised as it came, when nothing else is under way."""
    scene = Scene([[no(Code.RESOURCE_EXHAUSTED)], [ok(1)]], budget=Budget(0.0, 0.0))
    error = scene.refused()
    assert (str(error), error.attempts) == ("RESOURCE_EXHAUSTED: a said so", 1)


REPLIES = st.builds(
    Reply,
    st.one_of(st.none(), st.integers(0, 150).map(lambda ms: ms / 1000)),
    st.sampled_from([Code.OK, Code.OK, *sorted(ELSEWHERE, key=str), Code.DEADLINE_EXCEEDED, Code.INTERNAL]),
)


@given(
    replies=st.lists(st.lists(REPLIES, min_size=1, max_size=8), min_size=1, max_size=3),
    calls=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.1, 0.5]),
    burst=st.sampled_from([0.0, 1.0, 5.0]),
)
def test_whatever_servers_do(replies: list[list[Reply]], calls: int, share: float, burst: float) -> None:
    """Further attempts stay within the budget, a call ends in time, and leaves no attempt behind."""
    scene = Scene(replies, budget=Budget(share, burst))
    for _ in range(calls):
        began, before = scene.clock.now, len(scene.attempts)
        with suppress(ClassifierError):
            scene.call()
        assert scene.clock.now - began <= POLICY.timeout + 1e-9
        assert 1 <= len(scene.attempts) - before <= POLICY.attempts
        assert all(pending.ended for pending in scene.pending)
    assert len(scene.attempts) - calls <= share * calls + burst + 1e-9


@pytest.mark.parametrize(
    ("timeout", "attempts", "delay", "sentence"),
    [
        (0.0, 4, 0.02, "timeout must be a positive"),
        (math.inf, 4, 0.02, "not inf"),
        (0.1, 4, math.nan, "delay between attempts must be a positive"),
        (0.1, 4, -0.02, "not -0.02"),
        (0.1, 0, 0.02, "at least one attempt, not 0"),
    ],
)
def test_a_policy_that_makes_no_sense(timeout: float, attempts: int, delay: float, sentence: str) -> None:
    """It is refused when the client is made, not found out in its calls."""
    with pytest.raises(ValueError, match=sentence):
        Policy(timeout, attempts, delay)
