"""One port under attack: the attackers, a good caller beside them, and what must hold afterwards."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import psutil

from integration_tests.system import CLOCK

Attack = Callable[[str, Random], None]
GoodCall = Callable[[], bool]

_ATTACKERS = 4
_BETWEEN_GOOD_CALLS_S = 0.1
_CALM_S = 30.0  # more than a silent connection is waited for
_WARM_UP_SHARE = 0.2
# The allocator keeps what it once had; a leak of a kilobyte per attack would be far more in five minutes.
_MOST_MORE_BYTES = 48 * 2**20
_LONGEST_GAP_S = 30.0  # three missed looks of Kubernetes, by its defaults; on a busy machine calls take seconds anyway


class Vitals(NamedTuple):
    """What a process holds."""

    rss: int
    threads: int
    descriptors: int

    def __str__(self) -> str:
        return f"{self.rss / 2**20:.0f} MiB, {self.threads} threads, {self.descriptors} descriptors"


NOTHING = Vitals(0, 0, 0)


@dataclass(slots=True)
class Outcome:
    """What a siege came to. `problems` is empty when all held."""

    port: str
    seed: int
    seconds: float
    attacks: Counter[str] = field(default_factory=Counter)
    good_calls: int = 0
    longest_gap: float = 0.0
    before: Vitals = NOTHING
    after: Vitals = NOTHING
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.port}, seed {self.seed}, {self.seconds:g} s: {self.attacks.total():,} attacks "
            f"({', '.join(f'{name} {count:,}' for name, count in sorted(self.attacks.items()))}); "
            f"{self.good_calls:,} good calls answered, at most {self.longest_gap:.2f} s apart; "
            f"before: {self.before}; after: {self.after}. {' '.join(self.problems) or 'All holds.'}"
        )


class Target(NamedTuple):
    """A port of a process."""

    name: str
    process: psutil.Process
    address: str
    attacks: Sequence[Attack]
    good_call: GoodCall
    log: Callable[[], str]


def besiege(target: Target, seconds: float, seed: int) -> Outcome:
    """Attack the port that long; the first fifth only brings the process to where it is compared from."""
    outcome = Outcome(target.name, seed, seconds)
    _Siege(target, Outcome(target.name, seed, seconds)).run(seconds * _WARM_UP_SHARE)
    outcome.before = calm(target.process, None)
    _Siege(target, outcome).run(seconds * (1 - _WARM_UP_SHARE))
    outcome.after = calm(target.process, outcome.before)
    _judge(target, outcome)
    return outcome


def vitals(process: psutil.Process) -> Vitals:
    """At this moment."""
    return Vitals(process.memory_info().rss, process.num_threads(), process.num_fds())


def calm(process: psutil.Process, baseline: Vitals | None) -> Vitals:
    """Wait until it holds no more than the baseline; without one, until what it holds has not changed for a while."""
    end = CLOCK.monotonic() + _CALM_S
    last, since = vitals(process), CLOCK.monotonic()
    while CLOCK.monotonic() < end:
        CLOCK.sleep(0.1)
        now = vitals(process)
        if now[1:] != last[1:]:
            last, since = now, CLOCK.monotonic()
        if baseline is None and CLOCK.monotonic() - since > 1.0:
            break
        if baseline is not None and now.threads <= baseline.threads and now.descriptors <= baseline.descriptors:
            break
    return vitals(process)


def _judge(target: Target, outcome: Outcome) -> None:
    def must(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not holds:
            outcome.problems.append(problem)

    before, after = outcome.before, outcome.after
    must(target.process.is_running(), "The process is dead.")
    must(target.good_call(), "A good caller is not answered afterwards.")
    must(outcome.longest_gap <= _LONGEST_GAP_S, "A good caller was not answered for too long.")
    must(after.threads <= before.threads, "Threads are left.")
    must(after.descriptors <= before.descriptors, "Descriptors are left.")
    must(after.rss - before.rss <= _MOST_MORE_BYTES, "Memory is left.")
    must("Traceback" not in target.log(), "There is a stack trace in the log.")


class _Siege:
    def __init__(self, target: Target, outcome: Outcome) -> None:
        self._target = target
        self._outcome = outcome
        self._over = threading.Event()

    def run(self, seconds: float) -> None:
        """Attack that long."""
        with ThreadPoolExecutor(_ATTACKERS + 1) as pool:
            attackers = [pool.submit(self._attack, number) for number in range(_ATTACKERS)]
            good = pool.submit(self._call)
            self._over.wait(seconds)
            self._over.set()
            for attacker in attackers:
                self._outcome.attacks += attacker.result()
            good.result()

    def _attack(self, number: int) -> Counter[str]:
        rng = Random(f"{self._outcome.seed} {number}")  # noqa: S311 - to be repeated, not to be secret
        made: Counter[str] = Counter()
        while not self._over.is_set():
            attack = rng.choice(self._target.attacks)
            with suppress(OSError):  # there is no room: what that means to others, the good caller finds out
                attack(self._target.address, rng)
            made[attack.__name__] += 1
        return made

    def _call(self) -> None:
        answered = CLOCK.monotonic()
        while not self._over.wait(_BETWEEN_GOOD_CALLS_S):
            if self._target.good_call():
                self._outcome.good_calls += 1
                answered = self._noted(answered)
        self._noted(answered)

    def _noted(self, last: float) -> float:
        now = CLOCK.monotonic()
        self._outcome.longest_gap = max(self._outcome.longest_gap, now - last)
        return now
