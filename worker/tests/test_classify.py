"""The scoring core: documents to classifications, whatever front end asks."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from models.content import Fallback
from models.model import Model
from models.ranking import Ranked
from models.scorer import Scores, predict_by_score
from schemas.classification import ClassProbability, ModelStamp, Source, Status, decode_classification
from schemas.document import Document
from worker.classify import Classifier, ConstantClassifier

SOURCE = Source("documents", 1, 7)


class LengthScorer:
    """Class `long` is the more probable the longer a text is; a text without letters is unknown."""

    name = "lengths"
    classes = ("long", "short")

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def score(self, texts: Sequence[str]) -> Scores:
        """One row per text."""
        self.calls.append(list(texts))
        long = np.array([min(len(text), 100) / 100 for text in texts], dtype=np.float32)
        probabilities = np.stack([long, 1 - long], axis=1)
        known = np.array([any(map(str.isalpha, text)) for text in texts], dtype=np.bool_)
        return Scores(probabilities * 2 - 1, probabilities, known)

    def predict(self, text: str, thresholds: Sequence[float], *, best: bool) -> Ranked | None:
        """As the scores say."""
        return predict_by_score(self, text, thresholds, best=best)


def model(lang: str, scorer: LengthScorer) -> Model:
    """A model of that language."""
    return Model(lang, f"v-{lang}", "d" * 16, scorer.classes, scorer, (0.5, 0.5), Fallback.NONE)


def page(text: str, lang: str, title: str = "") -> Document:
    """A document."""
    return Document(f"https://site.example/{text}", title, text, lang)


def test_documents_are_scored_by_the_model_of_their_language() -> None:
    """Each language is one call to its scorer, with title and text; the results stand in the order of the documents."""
    english, german = LengthScorer(), LengthScorer()
    classifier = Classifier({"en": model("en", english), "de": model("de", german)})
    documents = [page("a" * 90, "en-GB"), page("kurz", "deu"), page("c", "eng", title="T")]
    results = classifier.classify(documents, [SOURCE, None, SOURCE._replace(offset=8)])
    assert english.calls == [["a" * 90, "T\nc"]]
    assert german.calls == [["kurz"]]
    assert [(result.url, result.lang, result.labels) for result in results] == [
        (documents[0].url, "en", ("long",)),
        (documents[1].url, "de", ("short",)),
        (documents[2].url, "en", ("short",)),
    ]
    assert [result.source for result in results] == [SOURCE, None, SOURCE._replace(offset=8)]
    assert results[0].model == ModelStamp("en", "v-en", "d" * 16)
    assert results[0].classes == (ClassProbability("long", 0.9), ClassProbability("short", 0.1))


@pytest.mark.parametrize("lang", ["tlh", "", "not a language", "x" * 10_000, "\x00"])
def test_a_language_without_a_model(lang: str) -> None:
    """It is said so, with the normalised code and without a model; no scorer is asked."""
    scorer = LengthScorer()
    [result] = Classifier({"en": model("en", scorer)}).classify([page("text", lang)], [SOURCE])
    assert (result.status, result.labels, result.classes, result.model) == (Status.UNSUPPORTED_LANGUAGE, (), (), None)
    assert len(result.lang) <= 3
    assert scorer.calls == []


def test_a_text_without_known_terms() -> None:
    """It is empty, whatever the intercepts say, and the stamp tells which model found nothing."""
    [result] = Classifier({"en": model("en", LengthScorer())}).classify([page("12345", "en")], [None])
    assert (result.status, result.labels, result.classes) == (Status.EMPTY, (), ())
    assert result.model == ModelStamp("en", "v-en", "d" * 16)


def test_no_documents() -> None:
    """Nothing in, nothing out, and no call."""
    scorer = LengthScorer()
    assert Classifier({"en": model("en", scorer)}).classify([], []) == []
    assert scorer.calls == []


def test_what_a_scorer_raises_is_not_hidden() -> None:
    """The core has no policy: its caller decides what a failure means."""

    class Broken(LengthScorer):
        def score(self, texts: Sequence[str]) -> Scores:
            raise ValueError(len(texts))

    with pytest.raises(ValueError, match="1"):
        Classifier({"en": model("en", Broken())}).classify([page("text", "en")], [None])


def test_the_models_are_those_of_the_start() -> None:
    """A mapping that changes afterwards changes nothing."""
    models = {"en": model("en", LengthScorer())}
    classifier = Classifier(models)
    models.clear()
    assert classifier.classify([page("text", "en")], [None])[0].status is Status.CLASSIFIED


def test_without_scoring_everything_gets_the_same() -> None:
    """Any language, any text: one constant result that every reader can decode."""
    documents = [page("a", "en"), page("", "tlh")]
    results = ConstantClassifier().classify(documents, [SOURCE, None])
    assert [(result.url, result.lang, result.source) for result in results] == [
        (documents[0].url, "en", SOURCE),
        (documents[1].url, "tlh", None),
    ]
    assert {(result.status, result.labels) for result in results} == {(Status.CLASSIFIED, ("none",))}
    assert [decode_classification(result.to_json()) for result in results] == results


def test_as_many_sources_as_documents() -> None:
    """A caller that mixes them up is told, rather than answered with less."""
    with pytest.raises(ValueError, match="zip"):
        ConstantClassifier().classify([page("a", "en")], cast("list[None]", []))
