"""Who scores: scikit-learn's own pipeline, and the scorers that are installed, all of one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast

from numpy.typing import NDArray

from models.bundle import Bundle
from models.content import ScorerSource
from models.reference import ReferenceScorer
from models.scorer import Scorer
from worker.bench.plain_loops import fitted_pipeline
from worker.bench.trained import BenchError, Say

SKLEARN: Final = "scikit-learn pipeline"
_NATIVE_MODULE: Final = "models.native"

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
        native = _native()
        if native is not None:
            found["native"] = native
        elif choice is ScorerChoice.NATIVE:
            raise BenchError("The native scorer is not installed here. Take --scorer reference.")
        else:
            say("The native scorer is not installed here: measuring the reference scorer alone.")
    if choice is not ScorerChoice.NATIVE:
        found["reference"] = ReferenceScorer
    return found


def _native() -> Build | None:
    if find_spec(_NATIVE_MODULE) is None:
        return None
    try:
        module = import_module(_NATIVE_MODULE)
    except ImportError:
        return None  # its compiled half is missing
    return cast("Build", module.NativeScorer)


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
