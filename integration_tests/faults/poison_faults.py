"""Records that are no documents: a few among many, and nothing else."""

from integration_tests.faults.fault import Fault
from integration_tests.faults.odd import MAX_RECORD_BYTES
from integration_tests.faults.stage import Setting, Stage, Verdict
from integration_tests.system import wait_until
from schemas.dead_letter import DeadLetter

_ROUND_SECONDS = 3.0
_SETTLE_SECONDS = 60.0
_OPEN_SECONDS = 30.0
_RECOVERY_SECONDS = 60.0
_FATAL = 4
_GIANTS_SLACK = 256 * 2**20  # texts of 10 MB cost several times that at a time, and the allocator keeps it


def poison(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """One record in a hundred is odd; exactly those that are no documents end as dead letters."""
    stage.clock.sleep(_ROUND_SECONDS * rounds)
    verdict.rounds = rounds
    stage.await_recovery(verdict, stage.clock.monotonic(), within=_RECOVERY_SECONDS)
    _compare_letters(stage, verdict)


def poison_all(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """The crawler sends nothing else: every worker stops, until somebody who has looked lets it all pass."""
    del rounds  # there is one: from then on the workers let everything pass
    began = stage.clock.monotonic()
    stage.generator.only_poison = True
    wait_until(lambda: _open_breakers(stage) == stage.setting.workers, "every breaker is open", _OPEN_SECONDS)
    verdict.most("seconds until every worker stopped", stage.clock.monotonic() - began)
    verdict.rounds = 1
    stage.generator.only_poison = False
    stage.fleet.options += ("--dead-letter-limit", "1")
    stage.await_recovery(verdict, stage.clock.monotonic(), within=_RECOVERY_SECONDS)
    verdict.gap("all", stage.longest_gap(began))
    codes = {end.code for end in stage.fleet.exits}
    verdict.must(codes == {_FATAL}, f"workers ended with {codes}")
    _compare_letters(stage, verdict)


def _open_breakers(stage: Stage) -> int:
    """How many slots had a worker that stopped for that reason."""
    kinds = [[event["kind"] for event in worker.events("fatal")] for worker in list(stage.fleet.workers.values())]
    return sum("BreakerOpenError" in of_worker for of_worker in kinds)


def _compare_letters(stage: Stage, verdict: Verdict) -> None:
    """What was sent as no document, and nothing else, is a dead letter, for the right reason."""
    sent = stage.generator.stop()
    wait_until(lambda: stage.system.settled() >= sent, "lag 0", _SETTLE_SECONDS)
    stage.clock.sleep(0.5)  # until the last transaction is complete
    letters = [DeadLetter.from_record(r.key, r.value, r.headers) for r in stage.system.letters()]
    found = {(letter.source.partition, letter.source.offset): letter.reason for letter in letters}
    expected = stage.generator.poisoned
    verdict.facts["dead letters"] = len(letters)
    verdict.must(len(expected) > 0, "nothing was poisoned")
    wrong = {place for place in expected.keys() | found.keys() if expected.get(place) != found.get(place)}
    verdict.must(not wrong, f"{len(wrong)} records ended otherwise than they should, the first at {sorted(wrong)[:3]}")


FAULTS_OF_POISON = (
    Fault(
        "poison",
        "1 % of the records are odd, from bad UTF-8 to 10 MB of text",
        poison,
        rounds=3,
        setting=Setting(odd=0.01, max_record_bytes=MAX_RECORD_BYTES, memory_slack=_GIANTS_SLACK),
        steady_fleet=True,
    ),
    Fault("poison-all", "no record is a document", poison_all, rounds=1),
)
