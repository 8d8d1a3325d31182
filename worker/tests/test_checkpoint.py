"""Every way out of a checkpoint. The table: which step raises what, which calls follow, what the caller gets.

step     raises                   then     the caller gets
begin    Abortable, Retriable     abort    AbortableError
begin    Fenced, Fatal            -        the same error
begin    anything else            abort    the same error
send     (as begin)
commit   (as begin)
abort    Fenced                   -        FencedError
abort    Abortable, Retriable,    -        FatalError: the state of the transaction is unknown
         Fatal
-        cancelled before a send  abort    AbortableError
-        cancelled before commit  abort    AbortableError
-        nothing                  -        the commit
"""

from pathlib import Path
from threading import Event

import pytest

import worker
from worker.stream.checkpoint import Checkpoint
from worker.stream.errors import (
    AbortableError,
    BreakerOpenError,
    FatalError,
    FencedError,
    RetriableError,
    StreamError,
)
from worker.tests.fakes import MEMBERSHIP, P0, P1, ManualClock, NotingObserver, ScriptedPublisher, records, settle

OUTCOME = settle([*records(P0, 0, 1), *records(P1, 5, 5)])
STEPS = ["begin", "send", "commit"]
ABORTED = [AbortableError("a"), RetriableError("r")]
LEFT = [FencedError("fenced"), FatalError("fatal"), BreakerOpenError("open")]
UNEXPECTED = [RuntimeError("bug"), MemoryError(), KeyboardInterrupt()]


def checkpoint(publisher: ScriptedPublisher, observer: NotingObserver | None = None) -> Checkpoint:
    """A checkpoint on that publisher."""
    return Checkpoint(publisher, observer or NotingObserver(), ManualClock(), 10.0)


def called(step: str) -> list[str]:
    """The calls up to and including the first of `step`."""
    return (
        ["begin"] if step == "begin" else ["begin", "send"] if step == "send" else ["begin", "send", "send", "commit"]
    )


def test_a_commit() -> None:
    """Nothing raised: begin, every part sent in order, one commit with the offsets and the membership; no abort."""
    publisher, observer = ScriptedPublisher(), NotingObserver()
    checkpoint(publisher, observer).run(OUTCOME, MEMBERSHIP, Event())
    assert publisher.calls == ["begin", "send", "send", "commit"]
    assert [item.value for item in publisher.sent] == [b"0", b"1", b"5"]
    assert publisher.commits == [{P0: 2, P1: 6}]
    assert publisher.memberships == [MEMBERSHIP]
    assert (observer.stages, observer.aborts) == (["produce", "commit"], 0)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", ABORTED, ids=repr)
def test_abortable_and_retriable_abort(step: str, error: StreamError) -> None:
    """The transaction is aborted and counted, and the caller may run the same outcome again."""
    publisher, observer = ScriptedPublisher({step: [error]}), NotingObserver()
    with pytest.raises(AbortableError, match=str(error)):
        checkpoint(publisher, observer).run(OUTCOME, MEMBERSHIP, Event())
    assert publisher.calls == [*called(step), "abort"]
    assert (publisher.commits, observer.aborts) == ([], 1)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", LEFT, ids=repr)
def test_fenced_and_fatal_touch_nothing(step: str, error: StreamError) -> None:
    """A transaction that is not ours, or whose outcome is unknown, is not aborted either."""
    publisher, observer = ScriptedPublisher({step: [error]}), NotingObserver()
    with pytest.raises(type(error)) as caught:
        checkpoint(publisher, observer).run(OUTCOME, MEMBERSHIP, Event())
    assert caught.value is error
    assert publisher.calls == called(step)
    assert observer.aborts == 0


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", UNEXPECTED, ids=repr)
def test_an_unexpected_exception_aborts(step: str, error: BaseException) -> None:
    """A bug, or an interrupt, leaves no transaction open, and is not swallowed."""
    publisher = ScriptedPublisher({step: [error]})
    with pytest.raises(type(error)) as caught:
        checkpoint(publisher).run(OUTCOME, MEMBERSHIP, Event())
    assert caught.value is error
    assert publisher.calls == [*called(step), "abort"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [AbortableError("x"), RetriableError("x"), FatalError("x")], ids=repr)
def test_a_failed_abort_is_fatal(step: str, error: StreamError) -> None:
    """When not even the abort works the process must end: the broker will abort for it."""
    publisher, observer = ScriptedPublisher({step: [AbortableError("first")], "abort": [error]}), NotingObserver()
    with pytest.raises(FatalError, match="could not be aborted"):
        checkpoint(publisher, observer).run(OUTCOME, MEMBERSHIP, Event())
    assert observer.aborts == 0


def test_fenced_while_aborting() -> None:
    """To be fenced while aborting is to be fenced."""
    publisher = ScriptedPublisher({"send": [AbortableError("first")], "abort": [FencedError("taken")]})
    with pytest.raises(FencedError):
        checkpoint(publisher).run(OUTCOME, MEMBERSHIP, Event())


@pytest.mark.parametrize(("step", "calls"), [("begin", ["begin", "abort"]), ("send", ["begin", "send", "abort"])])
def test_cancelled_aborts_at_the_next_step(step: str, calls: list[str]) -> None:
    """A commit whose partitions were lost goes no further than the step it is in."""
    publisher, cancelled = ScriptedPublisher(), Event()
    publisher.on_step[step] = cancelled.set
    with pytest.raises(AbortableError, match="lost"):
        checkpoint(publisher).run(OUTCOME, MEMBERSHIP, cancelled)
    assert (publisher.calls, publisher.commits) == (calls, [])


def test_cancelled_before_it_commits() -> None:
    """Even when everything was sent, a cancelled checkpoint does not commit."""
    publisher, cancelled = ScriptedPublisher(), Event()
    publisher.on_step["send"] = lambda: cancelled.set() if publisher.calls.count("send") == 2 else None
    with pytest.raises(AbortableError, match="lost"):
        checkpoint(publisher).run(OUTCOME, MEMBERSHIP, cancelled)
    assert publisher.calls == ["begin", "send", "send", "abort"]


def test_one_deadline_is_shared_by_all_steps() -> None:
    """What the sends take is missing from the time the commit has."""
    clock, publisher = ManualClock(), ScriptedPublisher()

    def slow_send() -> None:
        clock.now += 3

    publisher.on_step["send"] = slow_send
    Checkpoint(publisher, NotingObserver(), clock, 10.0).run(OUTCOME, MEMBERSHIP, Event())
    assert publisher.time_left == [4.0]


def test_acknowledging_is_a_step_of_its_own() -> None:
    """`run` does not acknowledge: that belongs to another thread, which asks for it once the commit has ended."""
    publisher = ScriptedPublisher()
    running = checkpoint(publisher)
    running.run(OUTCOME, MEMBERSHIP, Event())
    assert publisher.acknowledged == []
    running.acknowledge(OUTCOME)
    assert publisher.acknowledged == [{P0: 2, P1: 6}]


def test_only_one_place_commits() -> None:
    """`commit_transaction` and `send_offsets_to_transaction` are called in one file, the hand-written loops aside."""
    root = Path(worker.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "tests" not in path.parts
        and any(call in path.read_text("utf-8") for call in (".commit_transaction", ".send_offsets_to_transaction"))
    }
    assert found == {"kafka/producer.py", "bench/plain_loops.py"}
    commits = ("publisher.commit(", "publisher.acknowledge(")
    users = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "tests" not in path.parts and any(call in path.read_text("utf-8") for call in commits)
    }
    assert users == {"stream/checkpoint.py", "spans.py"}, "the second one passes on what the first one calls"
