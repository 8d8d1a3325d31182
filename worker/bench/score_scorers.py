"""Who scores: scikit-learn's own pipeline, and the scorers that are installed, all of one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from models.bundle import Bundle
from models.content import ScorerSource
from models.native import NativeScorer, why_unavailable
from models.reference import ReferenceScorer
from models.scorer import Scorer
from worker.bench.plain_loops import fitted_pipeline
from worker.bench.trained import BenchError, Say

SKLEARN: Final = "scikit-learn pipeline"

Build = Callable[[ScorerSource], Scorer]


class ScorerChoice(StrEnum):
    """Which scorers are measured."""

    BOTH = "both"
    """The native one too, where it is installed."""
    NATIVE = "native"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that scores texts.

    Attributes:
        name: in tables.
        score: what is timed, as a caller would call it.
        decisions: the same texts' decisions, (documents, classes).
    """

    name: str
    score: Callable[[Sequence[str]], object]
    decisions: Callable[[Sequence[str]], NDArray[Any]]


def builders(choice: ScorerChoice, say: Say) -> dict[str, Build]:
    """The scorers to measure, by name, the quickest first.

    Raises:
        BenchError: the native one was asked for by name and is not installed.
    """
    found: dict[str, Build] = {}
    if choice is not ScorerChoice.REFERENCE:
        missing = why_unavailable()
        if missing is None:
            found["native"] = NativeScorer
        elif choice is ScorerChoice.NATIVE:
            raise BenchError(f"The native scorer is not installed here ({missing}). Take --scorer reference.")
        else:
            say(f"The native scorer is not installed here ({missing}): measuring the reference scorer alone.")
    if choice is not ScorerChoice.NATIVE:
        found["reference"] = ReferenceScorer
    return found


def contenders(bundle: Path, pipeline: Path | None, build: dict[str, Build]) -> list[Contender]:
    """Everyone on one model; the reference of all ratios, scikit-learn's pipeline, comes first where there is one."""
    opened = Bundle.open(bundle)
    found = [scorer_contender(name, make(opened)) for name, make in build.items()]
    if pipeline is None:
        return found
    fitted = fitted_pipeline(pipeline)
    return [Contender(SKLEARN, fitted.decision_function, fitted.decision_function), *found]


def scorer_contender(name: str, scorer: Scorer) -> Contender:
    """A scorer of ours."""
    return Contender(f"{name} scorer", scorer.score, lambda texts: scorer.score(texts).decisions)
