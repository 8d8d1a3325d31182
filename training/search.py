"""Which settings suit a corpus: cross-validation on the training documents, and nothing else."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from models.content import Fallback
from training.calibration import fit_calibration, probabilities
from training.errors import NoTermsError
from training.features import FeatureParameters, TermCounts
from training.folds import Folds, cross_decide
from training.linear import SvmParameters, Targets
from training.parameters import Parameters, Pins, SearchEffort, with_feature
from training.scores import micro_f1
from training.thresholds import Candidate, ThresholdRule, assign_labels, set_thresholds

_GAIN = 0.001
_NGRAM_GAIN = 0.004


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting and what it reached.

    Attributes:
        micro_f1: mean over the deals.
        decisions: cross-validated, float64 (documents, classes), one array per deal.
    """

    parameters: Parameters
    micro_f1: float
    decisions: tuple[NDArray[np.float64], ...]


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
        self._try([Parameters(pins.start.features, machine) for machine in pins.machines()])
        for name, values in pins.feature_steps():
            current = self._best.parameters if self._best else pins.start
            self._try([with_feature(current, name, value) for value in values])

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
            score = float(np.mean([self._score(each) for each in decisions]))
            self._remember(Trial(Parameters(features, machine), score, decisions))

    def _remember(self, trial: Trial) -> None:
        self.tried.append((trial.parameters, trial.micro_f1))
        if self._best is None or trial.micro_f1 > self._best.micro_f1 + _needed_gain(self._best, trial):
            self._best = trial

    def _score(self, decisions: NDArray[np.float64]) -> float:
        calibrated = probabilities(decisions, fit_calibration(decisions, self.targets).calibration)
        rule = ThresholdRule.BEST_ONLY if self.single_label else ThresholdRule.SHARED
        way = Candidate(rule, Fallback.BEST if self.single_label else Fallback.NONE)
        thresholds = set_thresholds(way, calibrated, self.targets)
        return micro_f1(self.targets, assign_labels(calibrated, thresholds, way.fallback))


def _needed_gain(best: Trial, trial: Trial) -> float:
    """Defaults come first and yield only to more than chance; longer terms make models many times larger and slower."""
    longer = trial.parameters.features.ngrams > best.parameters.features.ngrams
    return _NGRAM_GAIN if longer else _GAIN
