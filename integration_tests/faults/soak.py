"""Kills, freezes and cuts of the network at random, alone and together, for as long as one likes."""

import signal
from enum import StrEnum
from typing import Final

from integration_tests.faults.fault import Fault
from integration_tests.faults.memory import MIB, Memory
from integration_tests.faults.proxy import Network
from integration_tests.faults.stage import Setting, Stage, Verdict
from integration_tests.system import WorkerProcess

_KILLED, _FATAL = -signal.SIGKILL, 4
_SPARED: Final = 0  # this worker is neither killed nor frozen, so that its memory can be followed
_PAUSE_SECONDS = (5.0, 25.0)
_FREEZE_SECONDS = (1.0, 15.0)
_CUT_SECONDS = (1.0, 8.0)
_RECOVERY_SECONDS = 120.0  # beyond that it hangs
_CUTS = (Network.CUT, Network.CUT_TO_BROKER, Network.CUT_TO_CLIENT)
_GROWTH_MIB_PER_HOUR = 32.0


class Move(StrEnum):
    """What happens in a round, one to three of them."""

    KILL = "kills"
    FREEZE = "freezes"
    CUT = "cuts"


def soak(stage: Stage, verdict: Verdict, minutes: int) -> None:
    """Round after round, with documents all the time; memory must stay flat in whatever worker survives."""
    end = stage.clock.monotonic() + 60.0 * minutes
    with Memory(stage.fleet, stage.clock).watched() as memory:
        while stage.clock.monotonic() < end:
            began = stage.clock.monotonic()
            for move in _round(stage):
                verdict.facts[move.value] = verdict.facts.get(move.value, 0) + 1
            stage.await_recovery(verdict, stage.clock.monotonic(), within=_RECOVERY_SECONDS)
            verdict.gap("all", stage.longest_gap(began))
            verdict.rounds += 1
            stage.clock.sleep(stage.random.uniform(*_PAUSE_SECONDS))
    growth = memory.growth() * 3600 / MIB
    verdict.facts |= {
        "peak memory, MiB": memory.peak / MIB,
        "longest life of a worker, s": memory.longest_life,
        "growth of memory, MiB an hour": growth,
    }
    verdict.must(growth <= _GROWTH_MIB_PER_HOUR, f"memory grew by {growth:.0f} MiB an hour")
    codes = {end.code for end in stage.fleet.exits}
    verdict.must(codes <= {_KILLED, _FATAL}, f"workers ended with {codes}")


def _round(stage: Stage) -> list[Move]:
    """Begin one to three moves, in any order, and undo them."""
    chance = stage.random
    moves = chance.sample(list(Move), chance.randint(1, len(Move)))
    victims = [slot for slot in range(stage.setting.workers) if slot != _SPARED]
    frozen: list[WorkerProcess] = []
    for move in moves:
        victim = chance.choice(victims)
        match move:
            case Move.KILL:
                stage.fleet.signal(victim, signal.SIGKILL)
            case Move.FREEZE:
                frozen.append(stage.fleet.workers[victim])
                stage.fleet.signal(victim, signal.SIGSTOP)
            case Move.CUT:
                stage.proxy.set(chance.choice(_CUTS))
        stage.clock.sleep(chance.uniform(0.0, 1.0))
    if Move.CUT in moves:
        stage.clock.sleep(chance.uniform(*_CUT_SECONDS))
        stage.proxy.set(Network.OPEN)
    if frozen:
        stage.clock.sleep(chance.uniform(*_FREEZE_SECONDS))
    for worker in frozen:
        worker.process.send_signal(signal.SIGCONT)
    return moves


SOAK = Fault(
    "soak",
    "kills, freezes and cuts at random, one to three at a time",
    soak,
    rounds=30,
    setting=Setting(rate=300.0, through_proxy=True),
    on_request=True,
)
