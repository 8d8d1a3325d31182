"""Far more documents than are read in a while: what a worker holds then, and whether every partition gets its turn."""

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from integration_tests.faults.fault import Fault, Inject
from integration_tests.faults.memory import MIB, Memory
from integration_tests.faults.stage import Setting, Stage, Verdict
from integration_tests.system import wait_until
from worker.config import Batching

_LOOK_SECONDS = 0.5
_START_SECONDS = 180.0  # on a busy machine
_DRAIN_SECONDS = 900.0
_TEXTS = 300
_SLICES = 4096  # characters of each that short texts are taken from, so that batches compress no better than real pages


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits when the workers come.

    Attributes:
        documents: how many.
        characters: of the text of each.
        first_share: of them all are in partition 0; the others share the rest.
        most_wait: share of the time that a partition may wait.
    """

    documents: int
    characters: int
    first_share: float = 0.0
    most_wait: float = 0.5


class Look(NamedTuple):
    """How many documents of each partition were settled at one moment."""

    time: float
    settled: Mapping[int, int]


def drain(backlog: Backlog, *, held_back: bool = False) -> Inject:
    """A fault for workers that begin with a backlog; with `held_back` they must have paused their partitions."""

    def inject(stage: Stage, verdict: Verdict, rounds: int) -> None:
        totals = _fill(stage, backlog)
        stage.timeline.start()
        with Memory(stage.fleet, stage.clock).watched() as memory:
            for slot in range(stage.setting.workers):
                stage.fleet.start(slot)
            wait_until(lambda: stage.system.settled() > 0, "the first batch is settled", _START_SECONDS)
            began = stage.clock.monotonic()
            looks = [Look(began, {})]
            while looks[-1].settled != totals and stage.clock.monotonic() < began + _DRAIN_SECONDS:
                stage.clock.sleep(_LOOK_SECONDS)
                looks.append(Look(stage.clock.monotonic(), _settled(stage)))
            seconds = stage.clock.monotonic() - began
        waits, budget = longest_waits(looks, totals), _budget(stage) / MIB
        verdict.facts |= {
            "documents a second": sum(looks[-1].settled.values()) / seconds,
            "peak memory, MiB": memory.peak / MIB,
            "of a budget of": budget,
            "longest wait of a partition, s": max(waits.values()),
            "all settled after, s": seconds,
        }
        verdict.must(memory.peak / MIB <= budget, f"a worker held more than its budget of {budget:.0f} MiB")
        share = max(waits.values()) / seconds
        verdict.must(share <= backlog.most_wait, f"a partition waited for {share:.0%} of the time")
        if held_back:
            pauses = sum(len(worker.events("held_back")) for worker in stage.fleet.workers.values())
            verdict.facts["pauses"] = pauses
            verdict.must(pauses > 0, "partitions were never paused")
        verdict.rounds = rounds

    return inject


def longest_waits(looks: Sequence[Look], totals: Mapping[int, int]) -> dict[int, float]:
    """By partition: the longest time for which none of its documents was settled while there were some."""
    waits = {}
    for partition, total in totals.items():
        longest, last, since = 0.0, 0, looks[0].time
        for time, settled in looks:
            if last == total:
                break
            longest = max(longest, time - since)
            if settled.get(partition, 0) > last:
                last, since = settled[partition], time
        waits[partition] = longest
    return waits


def _budget(stage: Stage) -> int:
    """What a worker may hold, as the README states it."""
    files = (path for path in stage.around.models.rglob("*") if path.is_file())
    return 192 * MIB + 8 * Batching().max_bytes + sum(path.stat().st_size for path in files)


def _settled(stage: Stage) -> dict[int, int]:
    found = stage.system.kafka.committed_offsets(stage.system.group, stage.system.documents)
    return {partition: max(0, offset) for partition, offset in found.items()}


def _fill(stage: Stage, backlog: Backlog) -> dict[int, int]:
    """Send it all; returns how many each partition got."""
    chance, others = stage.random, stage.setting.partitions - 1
    texts = list(_texts(stage, max(backlog.characters, _SLICES)))

    def records() -> Iterator[tuple[int, str, str]]:
        for number in range(backlog.documents):
            first = chance.random() < backlog.first_share
            partition = 0 if first else number % (others + 1) if not backlog.first_share else 1 + number % others
            text, lang = texts[number % len(texts)]
            begin = chance.randrange(len(text) - backlog.characters + 1)
            yield partition, text[begin : begin + backlog.characters], lang

    stage.generator.send_all(records())
    return {partition: len(stamps) for partition, stamps in enumerate(stage.generator.sent)}


def _texts(stage: Stage, characters: int) -> Iterator[tuple[str, str]]:
    """Texts and their languages: words of the sample in any order."""
    words: dict[str, list[str]] = {}
    for document in stage.around.documents:
        words.setdefault(document.lang, []).extend(document.text.split())
    chance = random.Random(1)  # noqa: S311 - no secret
    for number in range(_TEXTS):
        lang = sorted(words)[number % len(words)]
        yield " ".join(chance.choices(words[lang], k=characters // 4 + 1))[:characters], lang


_ALONE = Setting(partitions=64, workers=1)
_SLOW = Setting(partitions=64, workers=1, program=(sys.executable, "-m", "integration_tests.faults.slow"))

FAULTS_OF_BACKLOGS = (
    Fault(
        "backlog-small",
        "a backlog of 1,000,000 small documents in 64 partitions, one worker",
        drain(Backlog(1_000_000, 100, most_wait=0.67)),  # three turns for each, so that a round is a third of the time
        rounds=1,
        setting=_ALONE,
        warm=False,
    ),
    Fault(
        "backlog-large",
        "a backlog of 50,000 documents of 50 kB in 64 partitions, one worker",
        drain(Backlog(50_000, 50_000)),
        rounds=1,
        setting=_ALONE,
        warm=False,
    ),
    Fault(
        "backlog-paused",
        "64 partitions, half of 60,000 documents in one of them, held back by a slow scorer",
        drain(Backlog(60_000, 2_000, first_share=0.5, most_wait=0.75), held_back=True),
        rounds=1,
        setting=_SLOW,
        warm=False,
    ),
)
