"""The faults that come with the documents themselves."""

import signal
import sys

from integration_tests.faults.fault import RECOVERY_SECONDS, Fault, Inject
from integration_tests.faults.stage import Setting, Stage, Verdict
from integration_tests.stuck_worker import DIES, HANGS
from integration_tests.system import wait_until
from schemas.dead_letter import DeadLetter, Reason

_KILLER_SECONDS = 240.0  # each death by a hang takes twice --stuck-after, a restart and a rebalance
# Of one killer at most: two before a note is left, two that narrow a batch down by sixteen each time, and --max-deaths.
_DEATHS = 7


def killers(url: str, code: int) -> Inject:
    """Documents come, in as many partitions as there are rounds, of which whoever scores them ends with that code."""

    def inject(stage: Stage, verdict: Verdict, rounds: int) -> None:
        generator, ends = stage.generator, len(stage.fleet.exits)
        generator.to_slip_in += [f"{url}{n}" for n in range(rounds)]
        wait_until(lambda: stage.timeline.dead_letters() >= rounds, "they are dead letters", _KILLER_SECONDS * rounds)
        stage.await_recovery(verdict, stage.clock.monotonic(), within=RECOVERY_SECONDS * 2)
        letters = [DeadLetter.from_record(r.key, r.value, r.headers) for r in stage.system.letters()]
        found = sorted((letter.source.partition, letter.source.offset) for letter in letters)
        verdict.must(found == sorted(generator.slipped_in), f"dead letters are {found}, not {generator.slipped_in}")
        verdict.must({letter.reason for letter in letters} == {Reason.KILLED_WORKER}, "they have another reason")
        codes = [exit_.code for exit_ in stage.fleet.exits[ends:]]
        verdict.must(set(codes) == {code}, f"workers ended with {codes}")
        verdict.must(len(codes) <= rounds * _DEATHS, f"{len(codes)} workers died of {rounds} documents")
        verdict.facts["deaths of each killer"] = len(codes) / rounds
        verdict.rounds = rounds

    return inject


_STAND_IN = (sys.executable, "-m", "integration_tests.stuck_worker")
_DYING = Setting(program=_STAND_IN)
_HANGING = Setting(program=_STAND_IN, options=("--stuck-after", "5", "--group-protocol", "consumer"))

FAULTS_OF_DOCUMENTS = (
    Fault("killer", "documents that crash whoever scores them", killers(DIES, -signal.SIGKILL), 3, _DYING),
    Fault("killer-hang", "documents that the scorer hangs on", killers(f"{HANGS}600/", 4), 1, _HANGING),
)
