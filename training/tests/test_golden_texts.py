"""Golden documents: repeatable, varied, and free of training text."""

import json

import numpy as np

from training.golden import FIXED, golden_texts

TERMS = tuple(f"term{number}" for number in range(40))
WEIGHTS = np.random.default_rng(0).normal(size=(40, 3))


def test_the_same_model_gets_the_same_texts() -> None:
    """Repeatable for a seed; another seed draws other terms."""
    assert golden_texts(TERMS, WEIGHTS, 1) == golden_texts(TERMS, WEIGHTS, 1)
    assert golden_texts(TERMS, WEIGHTS, 1) != golden_texts(TERMS, WEIGHTS, 2)


def test_there_are_a_few_dozen_and_they_can_be_stored() -> None:
    """Some twenty to fifty texts, all valid Unicode, from empty to thousands of words."""
    texts = golden_texts(TERMS, WEIGHTS, 0)
    assert 20 <= len(texts) <= 50
    assert json.loads(json.dumps(texts, ensure_ascii=False).encode()) == texts
    assert "" in texts
    assert max(len(text.split()) for text in texts) >= 3000


def test_every_word_is_a_term_or_a_fixed_string() -> None:
    """Nothing but the vocabulary and the fixed strings gets into a bundle."""
    allowed = {term.lower() for term in TERMS} | {word for fixed in FIXED for word in fixed.lower().split()}
    for text in golden_texts(TERMS, WEIGHTS, 0)[len(FIXED) :]:
        assert {word.lower() for word in text.split()} <= allowed


def test_each_class_has_a_text_of_its_heaviest_terms() -> None:
    """The term with the largest weight of a class is in the text of that class."""
    texts = golden_texts(TERMS, WEIGHTS, 0)[len(FIXED) : len(FIXED) + 3]
    for column, text in enumerate(texts):
        assert text.split()[0] == TERMS[int(WEIGHTS[:, column].argmax())]


def test_a_vocabulary_of_one_term_is_enough() -> None:
    """The smallest model has golden documents too."""
    assert "only" in golden_texts(("only",), np.ones((1, 2)), 0)
