"""States, their legal moves, readiness and signals."""

import os
import signal
from collections import deque
from itertools import product

import pytest

from worker.lifecycle import MOVES, ExitCode, IllegalMoveError, Lifecycle, State, StopSignals

ENDS = {State.STOPPED, State.FAILED}


def at(state: State) -> Lifecycle:
    """A lifecycle that was led to that state by legal moves."""
    lifecycle = Lifecycle()
    for step in path_to(state):
        lifecycle.move(step)
    assert lifecycle.state is state
    return lifecycle


def path_to(state: State) -> list[State]:
    """The shortest way there."""
    paths: dict[State, list[State]] = {State.STARTING: []}
    queue = deque([State.STARTING])
    while queue:
        here = queue.popleft()
        for there in MOVES[here]:
            if there not in paths:
                paths[there] = [*paths[here], there]
                queue.append(there)
    return paths[state]


@pytest.mark.parametrize(("start", "to"), list(product(State, State)))
def test_every_move_of_the_table_and_no_other(start: State, to: State) -> None:
    """What the table has, and staying, is allowed; everything else raises and changes nothing."""
    lifecycle = at(start)
    if to is start or to in MOVES[start]:
        lifecycle.move(to)
        assert lifecycle.state is to
        return
    with pytest.raises(IllegalMoveError, match=f"{start} -> {to}"):
        lifecycle.move(to)
    assert lifecycle.state is start


def test_the_table_itself() -> None:
    """It knows every state; only the ends have no way out; from any other the worker may drain or fail."""
    assert set(MOVES) == set(State)
    assert {state for state in State if not MOVES[state]} == ENDS
    for state in set(State) - ENDS:
        assert State.FAILED in MOVES[state]
        assert state is State.DRAINING or State.DRAINING in MOVES[state]
    assert MOVES[State.DRAINING] == {State.STOPPED, State.FAILED}


@pytest.mark.parametrize("state", State)
def test_only_running_is_ready(state: State) -> None:
    """In every other state there is a reason, in words."""
    reason = at(state).not_ready_because
    assert (reason is None) == (state is State.RUNNING)
    assert reason is None or len(reason) > 5


def test_exit_codes() -> None:
    """They are what the documentation and the deployment files say."""
    assert (ExitCode.CLEAN, ExitCode.USAGE, ExitCode.CANNOT_START, ExitCode.FATAL) == (0, 2, 3, 4)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_the_second_forces(kind: signal.Signals) -> None:
    """Either signal counts, also a mix of both, and each further one forces again."""
    forced: list[int] = []
    with StopSignals(lambda: forced.append(1)).installed() as signals:
        assert not signals.stopping()
        os.kill(os.getpid(), kind)
        assert signals.stopping()
        assert forced == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert forced == [1]
        os.kill(os.getpid(), signal.SIGINT)
        assert forced == [1, 1]


def test_handlers_are_put_back() -> None:
    """After the block, also when it raised, signals mean what they meant before."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def fail_inside() -> None:
        with StopSignals(lambda: None).installed():
            assert signal.getsignal(signal.SIGTERM) != before[0]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_inside()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
