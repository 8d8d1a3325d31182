"""How good a model is on labelled documents; measured through `Model.predict`, so as it is served."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.model import Model, Prediction
from training.corpus import Corpus
from training.scores import (
    Bin,
    Flags,
    calibration_error,
    class_f1,
    micro_f1,
    reliability,
    top_label,
)

_BATCH = 256
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class; every ratio is 0 where it would divide by zero.

    Attributes:
        documents: how many have it.
        predicted: how many were given it.
        threshold: from which probability on it is a label; None when the model does not know the class.
        average_precision: area under the steps of the precision-recall curve.
        calibration_error: expected calibration error of this class alone.
    """

    name: str
    documents: int
    predicted: int
    precision: float
    recall: float
    f1: float
    threshold: float | None
    average_precision: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured, over all classes of the model and all labels of the documents.

    Attributes:
        lang, version, digest: of the model.
        documents: how many.
        data_sha256: of the documents, as in the manifest of a model.
        coverage: share of the documents with at least one label.
        no_known_term: documents of which the model knows no term; they get neither labels nor probabilities.
        exact: share of the documents whose label set is exactly right.
        calibration_error: over all (document, class) pairs.
        top_calibration_error: of the most probable class of each document.
        unknown_classes: labels of the documents that the model does not have.
        classes: by name.
    """

    lang: str
    version: str
    digest: str
    documents: int
    data_sha256: str
    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_f1: float
    coverage: float
    no_known_term: int
    exact: float
    calibration_error: float
    top_calibration_error: float
    unknown_classes: tuple[str, ...]
    classes: tuple[ClassScores, ...]

    def as_json(self) -> dict[str, object]:
        """Plain values, rounded."""
        rounded = _rounded(asdict(self))
        assert isinstance(rounded, dict)  # noqa: S101 - a dataclass gives a dict
        return rounded


@dataclass(frozen=True, slots=True)
class Measured:
    """The arrays behind an evaluation, (documents, classes) with the classes of `names`, for plots.

    Attributes:
        probabilities: 0 for classes that the model does not know and documents without a known term.
        known: bool (documents,), whether the model knew a term.
        model_classes: how many columns, from the left, belong to the model.
    """

    names: tuple[str, ...]
    truth: Flags
    predicted: Flags
    probabilities: NDArray[np.float64]
    known: Flags
    model_classes: int

    @property
    def calibrated(self) -> tuple[NDArray[np.float64], Flags]:
        """Probabilities that the model gave, and what was true: no guesses about what it knows nothing of."""
        columns = slice(0, self.model_classes)
        return self.probabilities[self.known, columns], self.truth[self.known, columns]

    @property
    def pair_bins(self) -> list[Bin]:
        """Reliability of all (document, class) pairs."""
        return reliability(*self.calibrated)

    @property
    def top_bins(self) -> list[Bin]:
        """Reliability of the most probable class of each document."""
        return reliability(*top_label(*self.calibrated))


def measure(model: Model, corpus: Corpus, advance: Callable[[int], None]) -> Measured:
    """Predict every document; `advance` is called with the number of documents done since the last call."""
    names = (*model.classes, *sorted(set(corpus.classes) - set(model.classes)))
    column = {name: index for index, name in enumerate(names)}
    shape = (len(corpus.texts), len(names))
    measured = Measured(
        names,
        np.zeros(shape, dtype=bool),
        np.zeros(shape, dtype=bool),
        np.zeros(shape),
        np.zeros(shape[0], dtype=bool),
        len(model.classes),
    )
    for row, labels in enumerate(corpus.labels):
        measured.truth[row, [column[name] for name in labels]] = True
    for row, prediction in enumerate(_predict(model, corpus.texts, advance)):
        measured.known[row] = prediction.known
        measured.predicted[row, [column[name] for name in prediction.labels]] = True
        for name, probability in prediction.classes:
            measured.probabilities[row, column[name]] = probability
    return measured


def evaluate(model: Model, corpus: Corpus, measured: Measured) -> Evaluation:
    """Numbers from what was measured."""
    truth, predicted = measured.truth, measured.predicted
    both = int((truth & predicted).sum())
    return Evaluation(
        lang=model.lang,
        version=model.version,
        digest=model.digest,
        documents=len(truth),
        data_sha256=corpus.digest,
        micro_precision=_ratio(both, int(predicted.sum())),
        micro_recall=_ratio(both, int(truth.sum())),
        micro_f1=micro_f1(truth, predicted),
        macro_f1=float(class_f1(truth, predicted).mean()),
        coverage=float(predicted.any(axis=1).mean()),
        no_known_term=int((~measured.known).sum()),
        exact=float((truth == predicted).all(axis=1).mean()),
        calibration_error=calibration_error(measured.pair_bins),
        top_calibration_error=calibration_error(measured.top_bins),
        unknown_classes=measured.names[measured.model_classes :],
        classes=tuple(_class_scores(model, measured)),
    )


def precision_recall(scores: NDArray[np.float64], truth: Flags) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision and recall at every distinct score, from the highest down; both flat arrays of equal length."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    cuts = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    found = np.cumsum(truth[order])[cuts]
    return found / (cuts + 1), found / max(int(truth.sum()), 1)


def average_precision(scores: NDArray[np.float64], truth: Flags) -> float:
    """Sum of precision times gain in recall over the cuts, as scikit-learn's `average_precision_score`."""
    precision, recall = precision_recall(scores, truth)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _predict(model: Model, texts: Sequence[str], advance: Callable[[int], None]) -> Iterator[Prediction]:
    remaining = iter(texts)
    while batch := list(islice(remaining, _BATCH)):
        yield from model.predict(batch)
        advance(len(batch))


def _class_scores(model: Model, measured: Measured) -> Iterator[ClassScores]:
    f1 = class_f1(measured.truth, measured.predicted)
    for column, name in enumerate(measured.names):
        known_class = column < measured.model_classes
        truth, predicted = measured.truth[:, column], measured.predicted[:, column]
        scores = measured.probabilities[:, column]
        both = int((truth & predicted).sum())
        yield ClassScores(
            name=name,
            documents=int(truth.sum()),
            predicted=int(predicted.sum()),
            precision=_ratio(both, int(predicted.sum())),
            recall=_ratio(both, int(truth.sum())),
            f1=float(f1[column]),
            threshold=model.thresholds[column] if known_class else None,
            average_precision=average_precision(scores, truth) if known_class else 0.0,
            calibration_error=calibration_error(reliability(scores[measured.known], truth[measured.known])),
        )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
