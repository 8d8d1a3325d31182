"""From scores to labels, and what loading a model promises."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import models
from models.bundle import BundleContent, BundleError, BundleProblem, Fallback, write_bundle
from models.model import Model, load_model
from models.scorer import Scores


@dataclass(frozen=True)
class FixedScorer:
    """Gives every text the same probabilities; a text of spaces is unknown."""

    probabilities: tuple[float, ...]
    name: str = "fixed"
    classes: tuple[str, ...] = ("a", "b", "c")

    def score(self, texts: Sequence[str]) -> Scores:
        """One row per text."""
        rows = np.tile(np.array(self.probabilities, dtype=np.float32), (len(texts), 1))
        return Scores(rows, rows, np.array([bool(text.strip()) for text in texts], dtype=bool))


def _model(
    probabilities: tuple[float, ...],
    thresholds: tuple[float, ...] = (0.5, 0.5, 0.5),
    fallback: Fallback = Fallback.NONE,
) -> Model:
    scorer = FixedScorer(probabilities)
    return Model("en", "v1", "0" * 16, scorer.classes, scorer, thresholds, fallback)


def test_most_probable_first() -> None:
    """Classes and labels come in falling order of probability."""
    (prediction,) = _model((0.6, 0.1, 0.9)).predict(["text"])
    assert prediction.known
    assert prediction.labels == ("c", "a")
    assert prediction.classes == (("c", 0.9), ("a", 0.6), ("b", 0.1))


def test_equal_probabilities_stay_in_class_order() -> None:
    """Equally probable classes keep the order of the model, so that results can be reproduced."""
    (prediction,) = _model((0.3, 0.3, 0.3)).predict(["text"])
    assert [name for name, _ in prediction.classes] == ["a", "b", "c"]


def test_probabilities_are_plain_numbers_with_six_decimals() -> None:
    """Probabilities are Python floats that print with at most six decimals."""
    (prediction,) = _model((1 / 3, 2 / 3, 0.1)).predict(["text"])
    assert [repr(prob) for _, prob in prediction.classes] == ["0.666667", "0.333333", "0.1"]
    assert all(type(prob) is float for _, prob in prediction.classes)


@pytest.mark.parametrize(("probability", "expected"), [(0.7, ("a",)), (0.7000001, ("a",)), (0.6999999, ())])
def test_threshold_is_reached_by_equality(probability: float, expected: tuple[str, ...]) -> None:
    """A probability equal to its threshold is a label, also where float32 is below the decimal number."""
    (prediction,) = _model((probability, 0.1, 0.1), thresholds=(0.7, 0.5, 0.5)).predict(["text"])
    assert prediction.labels == expected


def test_threshold_of_each_class() -> None:
    """Every class has its own threshold: the most probable class may miss it."""
    (prediction,) = _model((0.6, 0.2, 0.1), thresholds=(0.7, 0.15, 0.2)).predict(["text"])
    assert prediction.labels == ("b",)


@pytest.mark.parametrize(("fallback", "expected"), [(Fallback.NONE, ()), (Fallback.BEST, ("b",))])
def test_fallback(fallback: Fallback, expected: tuple[str, ...]) -> None:
    """Without a class above its threshold there is no label, or the best one, as training decided."""
    (prediction,) = _model((0.1, 0.4, 0.2), fallback=fallback).predict(["text"])
    assert prediction.labels == expected


def test_order_is_decided_before_rounding() -> None:
    """The best of classes that all print as 0.0 is still the best."""
    (prediction,) = _model((1e-9, 3e-9, 2e-9), fallback=Fallback.BEST).predict(["text"])
    assert prediction.labels == ("b",)
    assert prediction.classes == (("b", 0.0), ("c", 0.0), ("a", 0.0))


def test_fallback_adds_nothing_to_labels() -> None:
    """The best class is not added where another class reached its threshold."""
    (prediction,) = _model((0.6, 0.2, 0.1), (0.7, 0.15, 0.2), Fallback.BEST).predict(["text"])
    assert prediction.labels == ("b",)


def test_unknown_text_gets_nothing() -> None:
    """A text without a known term has neither labels nor classes, even with a fallback."""
    unknown, known = _model((0.9, 0.1, 0.1), fallback=Fallback.BEST).predict(["  ", "text"])
    assert (unknown.known, unknown.labels, unknown.classes) == (False, (), ())
    assert known.labels == ("a",)


def test_no_texts() -> None:
    """No texts give no predictions."""
    assert _model((0.9, 0.1, 0.1)).predict([]) == []


def test_loaded_model(bundle: Path, content: BundleContent) -> None:
    """A loaded model carries its names and labels its own golden documents sensibly."""
    model = load_model(bundle)
    assert (model.lang, model.version, model.classes) == ("en", "v1", content.classes)
    assert len(model.digest) == 16
    assert [prediction.labels[0] for prediction in model.predict(["The museum.", "A clinic", "the striker"])] == [
        "culture",
        "health",
        "sport",
    ]


def test_reference_scorer_by_default(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, empty or "reference" gives the reference scorer."""
    monkeypatch.delenv("CLF_SCORER", raising=False)
    assert load_model(bundle).scorer.name == "reference"
    for value in ("", "reference"):
        monkeypatch.setenv("CLF_SCORER", value)
        assert load_model(bundle).scorer.name == "reference"


@pytest.mark.parametrize(("value", "reason"), [("native", "not built yet"), ("fast", "does not exist")])
def test_scorer_that_is_not_there(bundle: Path, monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    """Another scorer than the one that was asked for is never taken silently."""
    monkeypatch.setenv("CLF_SCORER", value)
    with pytest.raises(BundleError, match=reason) as caught:
        load_model(bundle)
    assert caught.value.reason is BundleProblem.SCORER_UNAVAILABLE


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.trace,)


def test_loading_never_unpickles(tmp_path: Path, content: BundleContent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that acts when unpickled lies there with the right hash, and nothing happens."""
    trace = tmp_path / "exploded"
    write_bundle(tmp_path / "v1", "v1", content, pipeline=Bomb(trace))
    for name in ("joblib.load", "pickle.load", "pickle.loads", "pickle.Unpickler"):
        monkeypatch.setattr(name, _never)
    assert load_model(tmp_path / "v1").version == "v1"
    assert not trace.exists()


def _never(*_: object, **__: object) -> None:
    raise AssertionError("serving unpickled something")


def test_no_module_could_unpickle() -> None:
    """No module imports a pickler but the writer, which only dumps; numpy is always told not to."""
    for path in Path(models.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not imports & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}, path
        assert ("joblib" in imports) is (path.name == "writer.py"), path
        calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not [call for call in calls if call.startswith("joblib.load")], path
        assert all("allow_pickle=False" in call for call in calls if call.startswith("np.load(")), path
