"""F1 and calibration error against scikit-learn and hand-made cases."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from training.scores import Tally, calibration_error, class_f1, macro_f1, micro_f1, reliability, top_label


@pytest.mark.parametrize("seed", range(4))
def test_f1_equals_scikit_learn(seed: int) -> None:
    """Micro, macro and per class, with classes that never occur."""
    random = np.random.default_rng(seed)
    truth, predicted = random.random((50, 6)) < 0.3, random.random((50, 6)) < 0.3
    truth[:, 4:] = False
    predicted[:, 5] = False
    assert micro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="micro"))
    assert macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    np.testing.assert_allclose(class_f1(truth, predicted), f1_score(truth, predicted, average=None, zero_division=0))


def test_nothing_to_find_and_nothing_found_is_zero() -> None:
    """No division by zero."""
    empty = np.zeros((3, 2), dtype=bool)
    assert micro_f1(empty, empty) == 0.0


def test_calibration_error_of_a_hand_made_case() -> None:
    """Ten pairs called 0.95 of which five are true, ten called 0.05 of which none is: 0.5 * 0.45 + 0.5 * 0.05."""
    probabilities = np.array([0.95] * 10 + [0.05] * 10)
    truth = np.array([True] * 5 + [False] * 15)
    assert calibration_error(reliability(probabilities, truth)) == pytest.approx(0.25)


def test_probability_one_falls_into_the_last_bin() -> None:
    """The upper edge belongs to a bin."""
    (only,) = reliability(np.array([1.0, 0.97]), np.array([True, True]))
    assert only.pairs == 2


def test_no_pairs_have_no_error() -> None:
    """An evaluation in which no document has a known term does not divide by zero."""
    assert calibration_error(reliability(np.zeros((0, 3)), np.zeros((0, 3), dtype=bool))) == 0.0


def test_top_label_takes_the_most_probable_class() -> None:
    """Its probability, and whether it was true."""
    confidence, right = top_label(np.array([[0.2, 0.7], [0.6, 0.1]]), np.array([[False, True], [False, True]]))
    np.testing.assert_allclose(confidence, [0.7, 0.6])
    assert right.tolist() == [True, False]


def test_a_tally_adds_up_to_micro_f1() -> None:
    """The sum over documents is the score over pairs."""
    random = np.random.default_rng(0)
    truth, predicted = random.random((40, 5)) < 0.3, random.random((40, 5)) < 0.3
    assert Tally.average(truth, [predicted]).micro_f1 == pytest.approx(micro_f1(truth, predicted))


def test_the_gain_of_one_label_per_document_is_the_difference_in_accuracy() -> None:
    """With single labels the gain and its standard error are those of paired right-or-wrong."""
    truth = np.eye(2, dtype=bool)[[0] * 100]
    old = np.eye(2, dtype=bool)[[0] * 60 + [1] * 40]
    new = np.eye(2, dtype=bool)[[0] * 70 + [1] * 30]
    gain, error = Tally.average(truth, [new]).gain_over(Tally.average(truth, [old]))
    assert gain == pytest.approx(0.1)
    assert error == pytest.approx(np.sqrt(0.1 * 0.9 / 100))


def test_equal_predictions_gain_nothing() -> None:
    """A model is not better than itself."""
    truth = np.eye(3, dtype=bool)
    tally = Tally.average(truth, [truth])
    assert tally.gain_over(tally) == (0.0, 0.0)
