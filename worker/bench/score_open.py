"""Opening a large bundle: how long until the first score, and what a second process that has it open costs."""

import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from worker.bench.trained import BenchError, Say

_STAGES: Final = ("import_seconds", "open_seconds", "build_seconds", "first_score_seconds")

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opening:
    """One scorer on one bundle.

    Attributes:
        scorer: its name.
        samples: what each fresh process told.
        second: what one told while another had the bundle open too.
    """

    scorer: str
    samples: list[Facts]
    second: Facts

    @property
    def seconds(self) -> float:
        """From before the bundle is opened until after the first score, median."""
        return self._median("seconds")

    @property
    def stages(self) -> dict[str, float]:
        """Median seconds of importing, which `seconds` leaves out, and of each stage."""
        return {stage.removesuffix("_seconds"): self._median(stage) for stage in _STAGES}

    @property
    def memory(self) -> dict[str, int]:
        """Bytes of the second process by kind; empty where the kernel does not tell."""
        return dict(self.second["memory"])

    @property
    def memory_before(self) -> dict[str, int]:
        """The same before it opened the bundle: what Python and its libraries cost."""
        return dict(self.second["memory_before"])

    def as_json(self) -> Facts:
        """Medians and the single samples."""
        return {
            "scorer": self.scorer,
            "seconds": round(self.seconds, 4),
            "stages": {stage: round(value, 4) for stage, value in self.stages.items()},
            "memory_before": self.memory_before,
            "memory": self.memory,
            "sample_seconds": [sample["seconds"] for sample in self.samples],
        }

    def _median(self, name: str) -> float:
        return statistics.median(float(sample[name]) for sample in self.samples)


def measure_opening(scorers: Sequence[str], bundle: Path, samples: int, say: Say) -> list[Opening]:
    """Open `bundle` with each scorer in fresh processes, in turn, after one opening each that warms the page cache.

    Raises:
        BenchError: a process failed; it has said why.
    """
    for scorer in scorers:
        open_once(scorer, bundle)
    found: dict[str, list[Facts]] = {scorer: [] for scorer in scorers}
    for number in range(samples):
        for scorer in scorers:
            found[scorer].append(open_once(scorer, bundle))
            say(f"opening {number + 1} of {samples}: {scorer}: {found[scorer][-1]['seconds']:.3f} s")
    openings = []
    for scorer in scorers:
        with _held_open(scorer, bundle):
            openings.append(Opening(scorer, found[scorer], open_once(scorer, bundle)))
    return openings


def open_once(scorer: str, bundle: Path) -> Facts:
    """What one fresh process tells.

    Raises:
        BenchError: it failed; it has said why.
    """
    done = subprocess.run(_command(scorer, bundle), check=False, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise BenchError("The bundle could not be opened; see the message above.")
    facts: Facts = orjson.loads(done.stdout)
    return facts


@contextmanager
def _held_open(scorer: str, bundle: Path) -> Iterator[None]:
    """Another process that has the bundle open."""
    command = [*_command(scorer, bundle), "hold"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        if process.stdout is None or not process.stdout.readline():
            raise BenchError("The bundle could not be opened; see the message above.")
        yield


def _command(scorer: str, bundle: Path) -> list[str]:
    return [sys.executable, "-m", "worker.bench.score_opener", scorer, str(bundle.absolute())]
