"""From a corpus to everything a bundle holds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from models.bundle import BundleContent, Fallback
from training.corpus import Corpus
from training.errors import TrainingError
from training.features import TermCounts, Vocabulary, choose_terms, count_terms, weigh
from training.folds import Folds, cross_decide, deal_folds
from training.golden import golden_texts
from training.linear import Linear, Targets, fit_linear
from training.parameters import Parameters, Pins, SearchEffort
from training.pipeline import build_pipeline
from training.progress import Progress
from training.remarks import corpus_remarks, model_remarks
from training.search import Search
from training.thresholds import ThresholdRule, candidates
from training.validation import Decided, decide_labels

MAX_CLASSES = 2000
# Documents times classes: what a second deal costs.
_DEALT_TWICE = 100_000
_FINER = 2
_MORE = 2


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What the user decides.

    Attributes:
        seed: of every random choice; same corpus, settings and seed give the same model.
        folds: of the cross-validation, two or more.
        search: how many settings are tried.
        pins: settings that are fixed.
        rule: threshold rule; None lets cross-validation choose.
        fallback: None takes the best class in single-label corpora, and lets cross-validation choose in others.
    """

    seed: int = 0
    folds: int = 5
    search: SearchEffort = SearchEffort.QUICK
    pins: Pins = field(default_factory=Pins)
    rule: ThresholdRule | None = None
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The outcome.

    Attributes:
        content: for `models.bundle.write_bundle`.
        pipeline: scikit-learn's own form of the model (without calibration and thresholds), for people.
        parameters: what the search chose.
        tried: what it tried, with the micro-F1 of each.
        decided: calibration, thresholds, and what they reached in cross-validation.
        remarks: sentences that a person should read.
    """

    content: BundleContent
    pipeline: Pipeline
    parameters: Parameters
    tried: tuple[tuple[Parameters, float], ...]
    decided: Decided
    remarks: tuple[str, ...]


def train_model(corpus: Corpus, language: str, settings: TrainingSettings, progress: Progress) -> TrainedModel:
    """Search, calibrate, set thresholds, and train on all documents.

    Raises:
        TrainingError: the corpus has one class only, too many, or no terms.
    """
    _require_trainable(corpus)
    with progress.stage("Counting terms", len(corpus.texts)) as advance:
        counts = count_terms(corpus.texts, settings.pins.max_ngrams(settings.search), advance)
    work = _Work(corpus, settings, progress, counts, binarise(corpus.labels, corpus.classes))
    parameters, tried = work.search()
    decided = work.decide(parameters)
    fitted = work.fit(parameters)
    return TrainedModel(
        content=_content(language, work, parameters, decided, fitted),
        pipeline=build_pipeline(fitted.terms, fitted.vocabulary, fitted.linear, corpus.classes, parameters),
        parameters=parameters,
        tried=tuple(tried),
        decided=decided,
        remarks=tuple(work.remarks(decided, fitted)),
    )


def binarise(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> Targets:
    """One column per class, also when there are two: bool (documents, classes)."""
    column = {name: index for index, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=bool)
    for row, names in enumerate(labels):
        targets[row, [column[name] for name in names]] = True
    return targets


@dataclass(frozen=True, slots=True)
class _Fitted:
    """`by_frequency` are the columns of the vocabulary, the most frequent term first."""

    vocabulary: Vocabulary
    by_frequency: NDArray[np.intp]
    terms: tuple[str, ...]
    linear: Linear


@dataclass(frozen=True, slots=True)
class _Work:
    """One training: what is known from its start, and its steps."""

    corpus: Corpus
    settings: TrainingSettings
    progress: Progress
    counts: TermCounts
    targets: Targets

    def search(self) -> tuple[Parameters, list[tuple[Parameters, float]]]:
        """The best settings, and all that were tried."""
        pins, effort, seed = self.settings.pins, self.settings.search, self.settings.seed
        deals = self._deals(self.settings.folds)
        with self.progress.stage("Searching", pins.settings(effort) * _folds_in(deals)) as advance:
            search = Search(self.counts, self.targets, deals, self.corpus.single_label, seed, advance)
            search.run(pins, effort)
        return search.best.parameters, search.tried

    def decide(self, parameters: Parameters) -> Decided:
        """Calibration and thresholds; on finer folds, whose machines are closer to the one trained on everything."""
        deals = self._deals(_FINER * self.settings.folds, _MORE)
        ways = candidates(
            single_label=self.corpus.single_label, rule=self.settings.rule, fallback=self.settings.fallback
        )
        with self.progress.stage("Calibrating", _folds_in(deals)) as advance:
            decisions = [
                cross_decide(
                    self.counts,
                    self.targets,
                    folds,
                    parameters.features,
                    [parameters.machine],
                    self.settings.seed,
                    advance,
                )[0]
                for folds in deals
            ]
            return decide_labels(decisions, self.targets, deals, ways)

    def fit(self, parameters: Parameters) -> _Fitted:
        """The model itself."""
        rows = np.arange(len(self.targets))
        with self.progress.stage("Training", 1):
            counts = self.counts.cut(parameters.features.prefix)
            vocabulary = choose_terms(counts, rows, self.targets, parameters.features)
            matrix = weigh(counts, rows, vocabulary, parameters.features)
            linear = fit_linear(matrix, self.targets, parameters.machine, self.settings.seed)
        terms = tuple(counts.terms[column] for column in vocabulary.columns)
        frequencies = np.bincount(counts.matrix.indices, minlength=len(counts.terms))[vocabulary.columns]
        return _Fitted(vocabulary, np.argsort(-frequencies, kind="stable"), terms, linear)

    def remarks(self, decided: Decided, fitted: _Fitted) -> Iterator[str]:
        """What a person should know."""
        folds = min(self.settings.folds, len(self.targets))
        yield from corpus_remarks(self.corpus, self.targets, self.settings.folds, folds)
        unconverged = fitted.linear.unconverged
        yield from model_remarks(self.corpus, self.targets, decided.calibrated.shared, unconverged=unconverged)

    def _deals(self, folds: int, times: int = 1) -> list[Folds]:
        """Corpora that are not large are dealt twice as often: one deal alone would choose by luck."""
        documents, seed = len(self.targets), self.settings.seed
        number = times * (2 if self.targets.size <= _DEALT_TWICE else 1)
        return [deal_folds(self.targets, min(folds, documents), seed + deal) for deal in range(number)]


def _require_trainable(corpus: Corpus) -> None:
    if len(corpus.classes) == 1:
        raise TrainingError(
            f"All documents have the one label {corpus.classes[0]!r}, so there is nothing to tell apart. "
            "Add documents of a second class; those that belong to none of yours may be called 'other'."
        )
    if len(corpus.classes) > MAX_CLASSES:
        raise TrainingError(
            f"The documents have {len(corpus.classes)} different labels, more than the {MAX_CLASSES} that make sense "
            "with one machine per class. Check that labels are class names and not titles or identifiers."
        )


def _folds_in(deals: Sequence[Folds]) -> int:
    return sum(int(folds.max()) + 1 for folds in deals)


def _content(language: str, work: _Work, parameters: Parameters, decided: Decided, fitted: _Fitted) -> BundleContent:
    corpus, settings = work.corpus, work.settings
    # Frequent terms side by side: a scorer then finds most of what it needs in few cache lines.
    order = fitted.by_frequency
    return BundleContent(
        lang=language,
        classes=corpus.classes,
        vectorizer=parameters.features.vectorizer,
        terms=tuple(fitted.terms[row] for row in order),
        idf=fitted.vocabulary.weights[order].astype(np.float32),
        weights=np.ascontiguousarray(fitted.linear.weights[order], dtype=np.float32),
        intercept=fitted.linear.intercept.astype(np.float32),
        calibration=decided.calibrated.calibration,
        thresholds=tuple(float(threshold) for threshold in decided.chosen.thresholds),
        fallback=decided.chosen.candidate.fallback,
        golden_texts=golden_texts(fitted.terms, fitted.linear.weights, settings.seed),
        training=_describe(corpus, settings, parameters, decided),
        metrics={"cross_validation": decided.reached.as_json(corpus.classes)},
    )


def _describe(
    corpus: Corpus, settings: TrainingSettings, parameters: Parameters, decided: Decided
) -> dict[str, object]:
    """How the model came to be, for the manifest; nothing in it depends on when or where."""
    candidate = decided.chosen.candidate
    return {
        "data_sha256": corpus.digest,
        "documents": len(corpus.texts),
        "documents_by_class": {name: sum(name in labels for labels in corpus.labels) for name in corpus.classes},
        "single_label": corpus.single_label,
        "bad_lines": corpus.report.bad_lines,
        "duplicates": corpus.report.duplicates,
        "seed": settings.seed,
        "folds": settings.folds,
        "search": str(settings.search),
        "pinned": {name: value for name, value in asdict(settings.pins).items() if value is not None},
        "parameters": parameters.as_json(),
        "thresholds": {"rule": str(candidate.rule), "fbr": candidate.fbr},
        "shared_calibration": [corpus.classes[column] for column in decided.calibrated.shared],
    }
