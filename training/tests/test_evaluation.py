"""Evaluation: the numbers are right, and odd documents and labels are counted as they should be."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from models.bundle import Fallback
from models.model import Model
from models.ranking import Ranked
from models.scorer import Scores, predict_by_score
from training.corpus import Corpus
from training.evaluation import Evaluation, Measured, average_precision, evaluate, measure, precision_recall


class FixedScorer:
    """Gives each text, a list of numbers, those numbers as probabilities; "?" is a text without known terms."""

    name = "fixed"
    classes = ("a", "b", "c")

    def score(self, texts: Sequence[str]) -> Scores:
        """Probabilities by parsing."""
        known = np.array([text != "?" for text in texts])
        rows = [[float(part) for part in text.split()] if text != "?" else [0.1] * 3 for text in texts]
        probabilities = np.array(rows, dtype=np.float32).reshape(len(texts), 3)
        return Scores(probabilities, probabilities, known)

    def predict(self, text: str, thresholds: Sequence[float], *, best: bool) -> Ranked | None:
        """As the scores say."""
        return predict_by_score(self, text, thresholds, best=best)


MODEL = Model("en", "v1", "0" * 16, FixedScorer.classes, FixedScorer(), (0.5, 0.5, 0.5), Fallback.NONE)


@pytest.fixture
def measured(make_corpus: Callable[..., Corpus]) -> Callable[..., tuple[Evaluation, Measured]]:
    """Measure MODEL on (text, labels) pairs."""

    def run(*documents: tuple[str, Sequence[str]]) -> tuple[Evaluation, Measured]:
        corpus = make_corpus([{"text": text, "labels": list(labels)} for text, labels in documents])
        arrays = measure(MODEL, corpus, lambda _: None)
        return evaluate(MODEL, corpus, arrays), arrays

    return run


def test_f1_equals_scikit_learn(measured: Callable[..., tuple[Evaluation, Measured]]) -> None:
    """Micro and macro F1 of random predictions are those of f1_score on the label matrix."""
    random = np.random.default_rng(0)
    documents = []
    for row in random.random((60, 3)):
        labels = [name for name, wanted in zip("abc", random.random(3) < 0.4, strict=True) if wanted] or ["a"]
        documents.append((" ".join(f"{value:.4f}" for value in row), labels))
    result, arrays = measured(*documents)
    micro = f1_score(arrays.truth, arrays.predicted, average="micro")
    macro = f1_score(arrays.truth, arrays.predicted, average="macro", zero_division=0)
    assert result.micro_f1 == pytest.approx(micro)
    assert result.macro_f1 == pytest.approx(macro)
    assert result.documents == 60


def test_one_class_by_hand(measured: Callable[..., tuple[Evaluation, Measured]]) -> None:
    """Two of three given labels are right, two of four true ones are found."""
    result, _ = measured(
        ("0.9 0.1 0.1", "a"), ("0.8 0.1 0.1", "a"), ("0.7 0.1 0.1", "b"), ("0.1 0.1 0.2", "a"), ("0.2 0.1 0.1", "a")
    )
    scores = result.classes[0]
    assert (scores.documents, scores.predicted) == (4, 3)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(0.5)
    assert scores.f1 == pytest.approx(4 / 7)
    assert result.coverage == pytest.approx(3 / 5)
    assert result.exact == pytest.approx(2 / 5)


def test_documents_without_known_term_count_as_missed_but_not_against_the_probabilities(
    measured: Callable[..., tuple[Evaluation, Measured]],
) -> None:
    """They lower recall and coverage; the calibration error is that of the others."""
    with_unknown, _ = measured(("0.9 0.1 0.1", "a"), ("?", "b"))
    without, _ = measured(("0.9 0.1 0.1", "a"))
    assert with_unknown.no_known_term == 1
    assert with_unknown.coverage == 0.5
    assert with_unknown.micro_recall == 0.5
    assert with_unknown.calibration_error == pytest.approx(without.calibration_error)


def test_labels_that_the_model_does_not_know_count_as_missed(
    measured: Callable[..., tuple[Evaluation, Measured]],
) -> None:
    """They are named, and lower micro recall and macro F1."""
    result, arrays = measured(("0.9 0.1 0.1", "a"), ("0.8 0.1 0.1", ["a", "zebra"]))
    assert result.unknown_classes == ("zebra",)
    assert result.micro_recall == pytest.approx(2 / 3)
    assert result.macro_f1 == pytest.approx(1 / 4)
    assert result.classes[-1].threshold is None
    assert arrays.calibrated[0].shape == (2, 3)


def test_nothing_known_at_all_does_not_divide_by_zero(measured: Callable[..., tuple[Evaluation, Measured]]) -> None:
    """A model that knows no term of any document gives zeros."""
    result, _ = measured(("?", "a"))
    assert (result.micro_f1, result.calibration_error, result.top_calibration_error) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_equals_scikit_learn(seed: int) -> None:
    """With and without ties."""
    random = np.random.default_rng(seed)
    scores, truth = np.round(random.random(50), 1 if seed % 2 else 6), random.random(50) < 0.4
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))


def test_precision_and_recall_are_given_once_per_score() -> None:
    """Documents of equal score cannot be told apart by a threshold."""
    precision, recall = precision_recall(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, True]))
    np.testing.assert_allclose(precision, [1.0, 2 / 3, 3 / 4])
    np.testing.assert_allclose(recall, [1 / 3, 2 / 3, 1.0])


def test_the_json_form_is_plain(measured: Callable[..., tuple[Evaluation, Measured]]) -> None:
    """It survives strict JSON, rounded."""
    result, _ = measured(("0.9 0.1 0.1", "a"), ("0.31 0.32 0.33", "b"))
    plain = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert plain["micro_f1"] == round(result.micro_f1, 6)
    assert [item["name"] for item in plain["classes"]] == ["a", "b", "c"]


def test_progress_adds_up_to_the_documents(make_corpus: Callable[..., Corpus]) -> None:
    """Every document is reported, across batches."""
    corpus = make_corpus([{"text": f"0.5 0.5 {number / 1000:.3f}", "labels": ["a"]} for number in range(600)])
    steps: list[int] = []
    measure(MODEL, corpus, steps.append)
    assert sum(steps) == 600
    assert len(steps) > 1
