"""From scores to labels, and what loading a model promises."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from models.bundle import BundleContent, BundleError, BundleProblem, Fallback, VectorizerConfig, write_bundle
from models.model import Model, load_model
from models.native import NativeScorer, build_index, why_unavailable
from models.ranking import Ranked
from models.reference import ReferenceScorer
from models.scorer import Scores, predict_by_score


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

    def predict(self, text: str, thresholds: Sequence[float], *, best: bool) -> Ranked | None:
        """As the scores say."""
        return predict_by_score(self, text, thresholds, best=best)


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


needs_kernel = pytest.mark.skipif(why_unavailable() is not None, reason=f"no native scorer: {why_unavailable()}")


@needs_kernel
@pytest.mark.parametrize("value", [None, "", "native"])
def test_native_scorer_by_default(bundle: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    """The native scorer serves where it is installed, asked for or not; its instructions prove that it is compiled."""
    _set(monkeypatch, value)
    model = load_model(bundle)
    assert isinstance(model.scorer, NativeScorer)
    assert model.scorer.name == "native"
    assert model.scorer.instructions in {"avx512", "avx2", "portable"}
    assert model.reference_because is None


def test_reference_scorer_when_asked_for(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLF_SCORER=reference gives the reference scorer, and that needs no excuse."""
    _set(monkeypatch, "reference")
    model = load_model(bundle)
    assert isinstance(model.scorer, ReferenceScorer)
    assert model.reference_because is None


def test_reference_scorer_for_settings_the_native_one_cannot_follow(
    tmp_path: Path, train: Callable[[VectorizerConfig], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model says why the reference scorer serves it, and forcing the native one is refused with the setting."""
    write_bundle(tmp_path / "v1", "v1", train(VectorizerConfig(strip_accents="ascii")).content)
    _set(monkeypatch, None)
    model = load_model(tmp_path / "v1")
    assert model.scorer.name == "reference"
    assert model.reference_because is not None
    assert "strip_accents" in model.reference_because
    _set(monkeypatch, "native")
    with pytest.raises(BundleError, match="native scorer cannot be used") as caught:
        load_model(tmp_path / "v1")
    assert caught.value.reason is BundleProblem.SCORER_UNAVAILABLE


def test_reference_scorer_without_kernel(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the compiled part serves with the reference scorer and says why."""
    monkeypatch.setattr("models.native._missing", "no module")
    _set(monkeypatch, None)
    model = load_model(bundle)
    assert model.scorer.name == "reference"
    assert model.reference_because is not None
    assert "not installed" in model.reference_because
    _set(monkeypatch, "native")
    with pytest.raises(BundleError, match="not installed"):
        load_model(bundle)


def test_scorer_that_does_not_exist(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another scorer than the one that was asked for is never taken silently."""
    _set(monkeypatch, "fast")
    with pytest.raises(BundleError, match="no such") as caught:
        load_model(bundle)
    assert caught.value.reason is BundleProblem.SCORER_UNAVAILABLE


@needs_kernel
def test_scorers_that_disagree_write_no_bundle(
    tmp_path: Path, content: BundleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle whose native scores are not those of the reference scorer is not written, and nothing is left."""
    wrong = build_index(replace(content, terms=tuple(reversed(content.terms))))
    monkeypatch.setattr("models.writer.build_index", lambda _: wrong)
    with pytest.raises(BundleError, match="scorer 'native'") as caught:
        write_bundle(tmp_path / "v1", "v1", content)
    assert caught.value.reason is BundleProblem.GOLDEN_MISMATCH
    assert list(tmp_path.iterdir()) == []


@needs_kernel
def test_terms_that_occur_twice(content: BundleContent) -> None:
    """The native scorer names the terms as what is wrong, also where it has to build its index itself."""
    twice = replace(content, terms=(*content.terms[:-1], content.terms[0]))
    with pytest.raises(BundleError, match="occurs twice") as caught:
        NativeScorer(twice)
    assert caught.value.reason is BundleProblem.TERMS_INVALID


@needs_kernel
def test_stop_word_that_no_text_has(content: BundleContent) -> None:
    """A stop word with half a character in it is no token and does no harm."""
    odd = replace(content, vectorizer=replace(content.vectorizer, stop_words=("\ud800", "the")))
    expected = replace(content, vectorizer=replace(content.vectorizer, stop_words=("the",)))
    texts = list(content.golden_texts)
    assert np.array_equal(NativeScorer(odd).score(texts).decisions, NativeScorer(expected).score(texts).decisions)


def _set(monkeypatch: pytest.MonkeyPatch, scorer: str | None) -> None:
    if scorer is None:
        monkeypatch.delenv("CLF_SCORER", raising=False)
    else:
        monkeypatch.setenv("CLF_SCORER", scorer)


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
