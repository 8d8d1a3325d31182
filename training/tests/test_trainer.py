"""Training as a whole: the bundle content, the same every time, and the odd corpora."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Fallback, write_bundle
from models.model import load_model
from models.reference import ReferenceScorer
from training.corpus import Corpus
from training.errors import TrainingError
from training.parameters import Pins, SearchEffort
from training.progress import Lines
from training.thresholds import ThresholdRule
from training.trainer import TrainingSettings, train_model

NO_SEARCH = TrainingSettings(search=SearchEffort.NONE)


def test_a_trained_bundle_opens_and_classifies(
    make_corpus: Callable[..., Corpus], tmp_path: Path, make_lines: Callable[..., list[Any]]
) -> None:
    """What training hands over passes every check of the bundle, and the model tells the classes apart."""
    trained = train_model(make_corpus(make_lines(12)), "en", TrainingSettings(), Lines())
    write_bundle(tmp_path / "v1", "v1", trained.content, pipeline=trained.pipeline)
    model = load_model(tmp_path / "v1")
    (prediction,) = model.predict(["the referee gave a penalty after the match in the stadium"])
    assert prediction.labels == ("sport",)
    assert model.fallback is Fallback.BEST


def test_the_same_corpus_and_seed_give_the_same_digest(
    make_corpus: Callable[..., Corpus], tmp_path: Path, make_lines: Callable[..., list[Any]]
) -> None:
    """Twice the same, whatever the order of the lines; another seed is another model."""
    lines = make_lines(10)
    digests = []
    for number, (seed, order) in enumerate([(0, lines), (0, lines[::-1]), (1, lines)]):
        trained = train_model(make_corpus(order), "en", TrainingSettings(seed=seed), Lines())
        digests.append(write_bundle(tmp_path / f"v{number}", f"v{number}", trained.content).digest)
    assert digests[0] == digests[1] != digests[2]


def test_no_text_of_the_corpus_is_in_the_bundle(
    make_corpus: Callable[..., Corpus], make_lines: Callable[..., list[Any]]
) -> None:
    """Golden documents hold no sentence that was trained on."""
    corpus = make_corpus(make_lines(10))
    golden = "\n".join(train_model(corpus, "en", NO_SEARCH, Lines()).content.golden_texts)
    assert not any(text in golden or text.split("\n")[1] in golden for text in corpus.texts)


def test_the_manifest_tells_how_the_model_came_to_be(
    make_corpus: Callable[..., Corpus], make_lines: Callable[..., list[Any]]
) -> None:
    """Digest of the data, counts, seed, parameters, thresholds rule and cross-validated scores are recorded."""
    corpus = make_corpus(make_lines(10))
    trained = train_model(corpus, "en", TrainingSettings(seed=7, search=SearchEffort.NONE), Lines())
    described = trained.content.training
    assert described["data_sha256"] == corpus.digest
    assert described["documents"] == 30
    assert described["documents_by_class"] == {"business": 10, "health": 10, "sport": 10}
    assert described["seed"] == 7
    assert described["parameters"] == trained.parameters.as_json()
    assert described["thresholds"] == {"rule": "best-only", "fbr": 0.0}
    reached = trained.content.metrics["cross_validation"]
    assert isinstance(reached, dict)
    assert 0.5 < reached["micro_f1"] <= 1.0
    assert set(reached["class_f1"]) == set(corpus.classes)


@pytest.mark.parametrize("pins", [Pins(), Pins(prefix=3, ngrams=2)])
@pytest.mark.parametrize("names", [("sport", "health", "business"), ("sport", "health")])
def test_the_pipeline_for_people_decides_as_the_bundle_does(
    make_corpus: Callable[..., Corpus], names: tuple[str, ...], pins: Pins, make_lines: Callable[..., list[Any]]
) -> None:
    """scikit-learn's own objects give the scorer's decisions, with a column per class also for two classes."""
    corpus = make_corpus(make_lines(10, names=names))
    trained = train_model(corpus, "en", TrainingSettings(search=SearchEffort.NONE, pins=pins), Lines())
    decisions = ReferenceScorer(trained.content).score(corpus.texts).decisions
    assert decisions.shape == (len(corpus.texts), len(names))
    np.testing.assert_allclose(trained.pipeline.decision_function(corpus.texts), decisions, atol=1e-5)
    assert trained.pipeline.class_names == corpus.classes


def test_one_class_only_is_refused_with_advice(
    make_corpus: Callable[..., Corpus], make_lines: Callable[..., list[Any]]
) -> None:
    """There is nothing to learn, and the message says what to add."""
    with pytest.raises(TrainingError, match=r"one label 'sport'.*second class"):
        train_model(make_corpus(make_lines(5, names=("sport",))), "en", NO_SEARCH, Lines())


def test_labels_that_are_no_class_names_are_refused(make_corpus: Callable[..., Corpus]) -> None:
    """A different label for each of thousands of documents would fill the memory with machines."""
    lines = [{"text": f"word{number}", "labels": [f"id{number}"]} for number in range(2001)]
    with pytest.raises(TrainingError, match="2001 different labels"):
        train_model(make_corpus(lines), "en", NO_SEARCH, Lines())


def test_texts_without_words_are_refused(make_corpus: Callable[..., Corpus]) -> None:
    """Documents of single letters or symbols leave no term."""
    lines = [{"text": text, "labels": [label]} for text, label in [("a b", "x"), ("? !", "y"), ("c", "x")]]
    with pytest.raises(TrainingError, match="nothing to learn from"):
        train_model(make_corpus(lines), "en", NO_SEARCH, Lines())


@pytest.mark.parametrize("effort", [SearchEffort.NONE, SearchEffort.QUICK])
def test_a_class_with_one_document_is_trained_and_mentioned(
    make_corpus: Callable[..., Corpus], effort: SearchEffort, make_lines: Callable[..., list[Any]]
) -> None:
    """It shares the curve and the threshold of small classes, and a remark says so."""
    lines = [*make_lines(10), {"text": "chess board queen", "labels": ["chess"]}]
    trained = train_model(make_corpus(lines), "en", TrainingSettings(search=effort), Lines())
    assert any("fewer than 3 documents" in remark and "'chess'" in remark for remark in trained.remarks)
    assert trained.content.training["shared_calibration"] == ["chess"]


def test_fewer_documents_than_folds_is_handled_and_said(make_corpus: Callable[..., Corpus]) -> None:
    """Cross-validation takes as many folds as there are documents."""
    lines = [
        {"text": f"{word} and more", "labels": [label]}
        for word, label in [("goal", "a"), ("bank", "b"), ("match", "a")]
    ]
    trained = train_model(make_corpus(lines), "en", TrainingSettings(folds=10), Lines())
    assert any("fewer documents than the 10 folds" in remark for remark in trained.remarks)


def test_two_documents_of_two_classes_can_be_trained(make_corpus: Callable[..., Corpus]) -> None:
    """The smallest corpus gives a model, however poor."""
    lines = [{"text": "goal match", "labels": ["a"]}, {"text": "bank profit", "labels": ["b"]}]
    trained = train_model(make_corpus(lines), "en", TrainingSettings(), Lines())
    assert ReferenceScorer(trained.content).score(["goal"]).decisions.argmax() == 0


def test_a_class_that_every_document_has_is_mentioned(
    make_corpus: Callable[..., Corpus], make_lines: Callable[..., list[Any]]
) -> None:
    """Everything gets it, and the other classes are still told apart."""
    lines = [{**line, "labels": [*line["labels"], "all"]} for line in make_lines(10) if isinstance(line, dict)]
    trained = train_model(make_corpus(lines), "en", NO_SEARCH, Lines())
    assert any("Every document has the label 'all'" in remark for remark in trained.remarks)
    column = trained.content.classes.index("all")
    assert (trained.content.weights[:, column] == 0).all()
    assert trained.content.intercept[column] == 1.0


def test_duplicates_are_mentioned(make_corpus: Callable[..., Corpus], make_lines: Callable[..., list[Any]]) -> None:
    """A corpus that holds everything twice is said to."""
    trained = train_model(make_corpus(make_lines(5) * 2), "en", NO_SEARCH, Lines())
    assert any("15 documents repeat" in remark for remark in trained.remarks)


def test_what_is_pinned_gets_into_the_model(
    make_corpus: Callable[..., Corpus], make_lines: Callable[..., list[Any]]
) -> None:
    """Pins, rule and fallback end up in vectorizer, manifest and thresholds."""
    settings = TrainingSettings(
        search=SearchEffort.NONE,
        pins=Pins(ngrams=2, min_df=2, sublinear_tf=False, c=0.5, class_weight="balanced"),
        rule=ThresholdRule.PER_CLASS,
        fallback=Fallback.NONE,
    )
    content = train_model(make_corpus(make_lines(10)), "en", settings, Lines()).content
    assert content.vectorizer.ngram_range == (1, 2)
    assert not content.vectorizer.sublinear_tf
    assert content.fallback is Fallback.NONE
    assert len(set(content.thresholds)) > 1
    assert any(" " in term for term in content.terms)


def test_multi_label_documents_get_several_labels(
    make_corpus: Callable[..., Corpus], make_lines: Callable[..., list[Any]]
) -> None:
    """Documents about two classes at once get both."""
    lines = make_lines(15)
    mixed = [
        {"text": f"{one['text']} {two['text']}", "labels": [*one["labels"], *two["labels"]]}
        for one, two in zip(lines[::3], lines[1::3], strict=True)
        if isinstance(one, dict) and isinstance(two, dict)
    ]
    corpus = make_corpus([*lines, *mixed])
    assert not corpus.single_label
    trained = train_model(corpus, "en", TrainingSettings(), Lines())
    reached = trained.decided.reached
    assert reached.micro_f1 > 0.8
    assert trained.decided.chosen.predicted.sum(axis=1).max() > 1
