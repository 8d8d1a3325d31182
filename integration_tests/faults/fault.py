"""What a fault is, and how most of them end."""

from collections.abc import Callable
from dataclasses import dataclass

from integration_tests.faults.stage import Setting, Stage, Verdict

RECOVERY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    name: str
    title: str
    inject: "Inject"
    rounds: int
    setting: Setting = Setting()  # noqa: RUF009 - it is frozen
    steady_fleet: bool = False
    """Whether no worker is started anew, so that what they hold and tell can be compared with before."""
    warm: bool = True
    """Whether it befalls a system at work; if not, it starts the workers itself."""
    on_request: bool = False
    """Whether it runs only when it is asked for by name."""


Inject = Callable[[Stage, Verdict, int], None]


def recover(stage: Stage, verdict: Verdict, began: float) -> None:
    """The fault is over now: wait until all is at work again, and note how long that took."""
    healed = stage.clock.monotonic()
    stage.await_recovery(verdict, healed, within=RECOVERY_SECONDS * 2)
    verdict.gap("all", stage.longest_gap(began))
    verdict.must((verdict.recovery or 0.0) <= RECOVERY_SECONDS, f"recovery took {verdict.recovery} s")
    stage.fleet.await_ready(*range(stage.setting.workers))
    verdict.rounds += 1
