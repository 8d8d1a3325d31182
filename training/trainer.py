"""From a corpus to everything a bundle holds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from sklearn.pipeline import Pipeline

from models.bundle import BundleContent, Fallback
from training.corpus import Corpus
from training.errors import TrainingError
from training.features import TermCounts, Vocabulary, choose_terms, count_terms, weigh
from training.folds import Folds, deal_folds
from training.golden import golden_texts
from training.linear import Linear, Targets, fit_linear
from training.parameters import Parameters, Pins, SearchEffort
from training.pipeline import build_pipeline
from training.progress import Progress
from training.remarks import corpus_remarks, model_remarks
from training.search import Search
from training.thresholds import ThresholdRule, candidates
from training.validation import Decided, decide_labels

_SMALL_CORPUS = 3000
_DEALS_OF_SMALL_CORPUS = 2


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


@dataclass(frozen=True, slots=True)
class _Fitted:
    vocabulary: Vocabulary
    terms: tuple[str, ...]
    linear: Linear


def train_model(corpus: Corpus, language: str, settings: TrainingSettings, progress: Progress) -> TrainedModel:
    """Search, calibrate, set thresholds, and train on all documents.

    Raises:
        TrainingError: the corpus has one class only, too few documents, or no terms.
    """
    targets = binarise(corpus.labels, corpus.classes)
    _require_trainable(corpus)
    with progress.stage("Counting terms", len(corpus.texts)) as advance:
        counts = count_terms(corpus.texts, settings.pins.max_ngrams(settings.search), advance)
    deals = _deals(targets, settings)
    search = _search(corpus, counts, targets, deals, settings, progress)
    parameters, decisions = search.best.parameters, search.best.decisions
    ways = candidates(single_label=corpus.single_label, rule=settings.rule, fallback=settings.fallback)
    with progress.stage("Setting thresholds", 1):
        decided = decide_labels(decisions, targets, deals, ways)
    with progress.stage("Training on all documents", 1):
        fitted = _fit(counts, targets, parameters, settings.seed)
    return TrainedModel(
        content=_content(corpus, language, settings, parameters, decided, fitted),
        pipeline=build_pipeline(fitted.terms, fitted.vocabulary, fitted.linear, corpus.classes, parameters),
        parameters=parameters,
        tried=tuple(search.tried),
        decided=decided,
        remarks=(
            *corpus_remarks(corpus, targets, settings.folds, _number_of(deals[0])),
            *model_remarks(corpus, targets, decided.calibrated.shared, unconverged=fitted.linear.unconverged),
        ),
    )


def binarise(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> Targets:
    """One column per class, also when there are two: bool (documents, classes)."""
    column = {name: index for index, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=bool)
    for row, names in enumerate(labels):
        targets[row, [column[name] for name in names]] = True
    return targets


def _require_trainable(corpus: Corpus) -> None:
    if len(corpus.classes) == 1:
        raise TrainingError(
            f"All documents have the one label {corpus.classes[0]!r}, so there is nothing to tell apart. "
            "Add documents of a second class; those that belong to none of yours may be called 'other'."
        )


def _deals(targets: Targets, settings: TrainingSettings) -> list[Folds]:
    """Small corpora are dealt several times: one deal alone would choose by luck."""
    folds = min(settings.folds, len(targets))
    number = _DEALS_OF_SMALL_CORPUS if len(targets) < _SMALL_CORPUS else 1
    return [deal_folds(targets, folds, settings.seed + deal) for deal in range(number)]


def _search(
    corpus: Corpus,
    counts: TermCounts,
    targets: Targets,
    deals: Sequence[Folds],
    settings: TrainingSettings,
    progress: Progress,
) -> Search:
    steps = settings.pins.settings(settings.search) * _number_of(deals[0]) * len(deals)
    with progress.stage("Cross-validating", steps) as advance:
        search = Search(counts, targets, deals, corpus.single_label, settings.seed, advance)
        search.run(settings.pins, settings.search)
    return search


def _number_of(folds: Folds) -> int:
    return int(folds.max()) + 1


def _fit(counts: TermCounts, targets: Targets, parameters: Parameters, seed: int) -> _Fitted:
    rows = np.arange(len(targets))
    vocabulary = choose_terms(counts, rows, targets, parameters.features)
    matrix = weigh(counts, rows, vocabulary, parameters.features)
    terms = tuple(counts.terms[column] for column in vocabulary.columns)
    return _Fitted(vocabulary, terms, fit_linear(matrix, targets, parameters.machine, seed))


def _content(
    corpus: Corpus,
    language: str,
    settings: TrainingSettings,
    parameters: Parameters,
    decided: Decided,
    fitted: _Fitted,
) -> BundleContent:
    return BundleContent(
        lang=language,
        classes=corpus.classes,
        vectorizer=parameters.features.vectorizer,
        terms=fitted.terms,
        idf=fitted.vocabulary.weights.astype(np.float32),
        weights=np.ascontiguousarray(fitted.linear.weights, dtype=np.float32),
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
