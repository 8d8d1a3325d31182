"""Which settings suit a corpus: cross-validation on the training documents, and nothing else."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from models.content import Fallback
from training.calibration import fit_calibration, probabilities
from training.errors import NoTermsError
from training.features import FeatureParameters, TermCounts
from training.folds import Folds, cross_decide
from training.linear import SvmParameters, Targets
from training.parameters import Parameters, Pins, SearchEffort
from training.scores import Flags, Tally
from training.thresholds import Candidate, ThresholdRule, assign_labels, set_thresholds

_STANDARD_ERRORS = 0.5
_STANDARD_ERRORS_UNUSUAL = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting and what it reached.

    Attributes:
        tally: mean over the deals.
    """

    parameters: Parameters
    tally: Tally


@dataclass(slots=True)
class Search:
    """Tries settings on the same folds, and remembers the best.

    Attributes:
        counts: of the training documents.
        targets: bool (documents, classes).
        deals: one or more ways to deal the documents into folds; more make small corpora less of a lottery.
        single_label: what is compared: the most probable class, or the best shared threshold.
        seed: of the optimiser.
        advance: called with 1 per fold of a setting.
    """

    counts: TermCounts
    targets: Targets
    deals: Sequence[Folds]
    single_label: bool
    seed: int
    advance: Callable[[int], None]
    tried: list[tuple[Parameters, float]] = field(default_factory=list)
    _best: Trial | None = None

    @property
    def best(self) -> Trial:
        """The best trial; the earlier, simpler one wins a tie. Only after `run`."""
        if self._best is None:
            raise RuntimeError("There is no best setting before run() has tried one.")
        return self._best

    def run(self, pins: Pins, effort: SearchEffort) -> None:
        """Try what the effort demands.

        Raises:
            NoTermsError: no setting leaves a term.
        """
        if effort is SearchEffort.QUICK:
            self._quick(pins)
        else:
            self._try([pins.start] if effort is SearchEffort.NONE else pins.everything())
        if self._best is None:
            raise NoTermsError("No term occurs in enough documents. Lower --min-df or add documents.")

    def _quick(self, pins: Pins) -> None:
        self._try([Parameters(features, machine) for features in pins.weightings() for machine in pins.scouts()])
        features = self._current(pins).features
        self._try([Parameters(features, machine) for machine in pins.machines() if machine not in pins.scouts()])
        for vocabulary in pins.vocabularies():
            current = self._current(pins)
            self._try([replace(current, features=replace(current.features, **vocabulary))])

    def _current(self, pins: Pins) -> Parameters:
        """The best so far; the start while nothing left a term."""
        return self._best.parameters if self._best else pins.start

    def _try(self, settings: Sequence[Parameters]) -> None:
        for features, group in groupby(settings, key=lambda each: each.features):
            with suppress(NoTermsError):  # a corpus may be too small for this --min-df and large enough for another
                self._try_machines(features, [each.machine for each in group])

    def _try_machines(self, features: FeatureParameters, machines: list[SvmParameters]) -> None:
        by_deal = [
            cross_decide(self.counts, self.targets, folds, features, machines, self.seed, self.advance)
            for folds in self.deals
        ]
        for machine, decisions in zip(machines, zip(*by_deal, strict=True), strict=True):
            tally = Tally.average(self.targets, [self._label(each) for each in decisions])
            self._remember(Trial(Parameters(features, machine), tally))

    def _remember(self, trial: Trial) -> None:
        self.tried.append((trial.parameters, trial.tally.micro_f1))
        if self._best is None or _is_better(trial, self._best):
            self._best = trial

    def _label(self, decisions: NDArray[np.float64]) -> Flags:
        calibrated = probabilities(decisions, fit_calibration(decisions, self.targets).calibration)
        rule = ThresholdRule.BEST_ONLY if self.single_label else ThresholdRule.SHARED
        way = Candidate(rule, Fallback.BEST if self.single_label else Fallback.NONE)
        thresholds = set_thresholds(way, calibrated, self.targets)
        return assign_labels(calibrated, thresholds, way.fallback)


def _is_better(trial: Trial, best: Trial) -> bool:
    """Defaults are tried first, and yield only to more than chance (L. Breiman et al. 1984, one-standard-error rule).

    Terms of two words and cut words are slower to find in a text, so they have to be better beyond more doubt.
    """
    gain, error = trial.tally.gain_over(best.tally)
    new, old = trial.parameters.features, best.parameters.features
    unusual = new.ngrams > old.ngrams or bool(new.prefix) > bool(old.prefix)
    return gain > (_STANDARD_ERRORS_UNUSUAL if unusual else _STANDARD_ERRORS) * error
