"""The settings that are searched, and which of them come into question."""

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any, TypeVar

from training.features import FeatureParameters, TermWeight
from training.linear import ClassWeight, SvmParameters

_QUICK_C = (1.0, 0.3, 3.0, 10.0)
_FULL_C = (1.0, 0.1, 0.3, 3.0, 10.0)
_MIN_DF = (1, 2, 3)
_CLASS_WEIGHTS: tuple[ClassWeight | None, ...] = (None, "balanced")
_PREFIXES = (0, 6)
_TERM_WEIGHTS = (TermWeight.STEEP, TermWeight.RELEVANCE, TermWeight.IDF)
_SCOUTS = (SvmParameters(1.0, None), SvmParameters(0.3, "balanced"))
_DEFAULT_C = 1.0

Value = TypeVar("Value")


class SearchEffort(StrEnum):
    """How many settings are tried."""

    NONE = "none"
    """One: the defaults and what was pinned."""
    QUICK = "quick"
    """Twenty-three: ways to weigh terms, then machines, then vocabularies."""
    FULL = "full"
    """All combinations, 720."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything that is searched."""

    features: FeatureParameters
    machine: SvmParameters

    def as_json(self) -> dict[str, object]:
        """Plain values under the names of the command-line options."""
        return {
            "ngrams": self.features.ngrams,
            "min_df": self.features.min_df,
            "sublinear_tf": self.features.sublinear_tf,
            "term_weight": str(self.features.term_weight),
            "prefix": self.features.prefix,
            "c": self.machine.c,
            "class_weight": self.machine.class_weight,
        }

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.as_json().items())


@dataclass(frozen=True, slots=True)
class Pins:
    """What the user has fixed; None is left to the search.

    Attributes:
        class_weight: "none" fixes scikit-learn's None.
    """

    c: float | None = None
    class_weight: str | None = None
    ngrams: int | None = None
    min_df: int | None = None
    sublinear_tf: bool | None = None
    term_weight: TermWeight | None = None
    prefix: int | None = None

    @property
    def start(self) -> Parameters:
        """The defaults, with what is pinned: the only setting of a search that tries nothing."""
        return Parameters(
            FeatureParameters(
                ngrams=_pinned(self.ngrams, (1,))[0],
                min_df=_pinned(self.min_df, _MIN_DF)[0],
                sublinear_tf=_pinned(self.sublinear_tf, (True,))[0],
                term_weight=_pinned(self.term_weight, _TERM_WEIGHTS)[0],
                prefix=_pinned(self.prefix, _PREFIXES)[0],
            ),
            SvmParameters(c=_pinned(self.c, (_DEFAULT_C,))[0], class_weight=self.class_weights[0]),
        )

    @property
    def class_weights(self) -> tuple[ClassWeight | None, ...]:
        """The weights that come into question."""
        if self.class_weight is None:
            return _CLASS_WEIGHTS
        return ("balanced",) if self.class_weight == "balanced" else (None,)

    def machines(self) -> list[SvmParameters]:
        """The machine settings of a quick search."""
        return [SvmParameters(*pair) for pair in product(_pinned(self.c, _QUICK_C), self.class_weights)]

    def scouts(self) -> list[SvmParameters]:
        """Those of `machines` that compare features: a usual one, and one for uneven classes."""
        return [machine for machine in self.machines() if self.c is not None or machine in _SCOUTS] or self.machines()

    def weightings(self) -> list[FeatureParameters]:
        """The ways to weigh terms of a quick search."""
        pairs = product(_pinned(self.sublinear_tf, (True, False)), _pinned(self.term_weight, _TERM_WEIGHTS))
        start = self.start.features
        return [replace(start, sublinear_tf=sublinear, term_weight=weight) for sublinear, weight in pairs]

    def vocabularies(self) -> list[dict[str, Any]]:
        """Other vocabularies, which a quick search tries last: fields of `FeatureParameters` to replace."""
        longer = {"ngrams": 2, "min_df": _pinned(self.min_df, (2,))[0]} if self.ngrams is None else {}
        found: list[dict[str, Any]] = []
        if self.min_df is None:
            found += [{"min_df": value} for value in _MIN_DF[1:]]
        if self.prefix is None:
            found += [{"prefix": value} for value in _PREFIXES[1:]]
        if longer:
            found += [longer]
            found += [{**longer, "prefix": value} for value in _PREFIXES[1:] if self.prefix is None]
        return found

    def everything(self) -> list[Parameters]:
        """All combinations, for a full search, those of equal features together."""
        features = product(
            _pinned(self.ngrams, (1, 2)),
            _pinned(self.min_df, _MIN_DF),
            _pinned(self.sublinear_tf, (True, False)),
            _pinned(self.term_weight, _TERM_WEIGHTS),
            _pinned(self.prefix, _PREFIXES),
        )
        machines = [SvmParameters(*pair) for pair in product(_pinned(self.c, _FULL_C), self.class_weights)]
        return [Parameters(FeatureParameters(*each), machine) for each in features for machine in machines]

    def settings(self, effort: SearchEffort) -> int:
        """How many settings a search tries."""
        if effort is SearchEffort.QUICK:
            scouting = (len(self.weightings()) - 1) * len(self.scouts())
            return scouting + len(self.machines()) + len(self.vocabularies())
        return 1 if effort is SearchEffort.NONE else len(self.everything())

    def max_ngrams(self, effort: SearchEffort) -> int:
        """The longest n-gram that any setting needs counted."""
        return self.start.features.ngrams if effort is SearchEffort.NONE else max(_pinned(self.ngrams, (1, 2)))


def _pinned(pinned: Value | None, otherwise: tuple[Value, ...]) -> tuple[Value, ...]:
    return otherwise if pinned is None else (pinned,)
