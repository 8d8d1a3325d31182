"""The search: what it tries, what it respects, what it prefers."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from training.errors import NoTermsError
from training.features import TermWeight, count_terms
from training.folds import deal_folds
from training.linear import SvmParameters
from training.parameters import Pins, SearchEffort
from training.search import Search

CLASS_WORDS = [["goal match", "coach goal", "match coach league"], ["bank profit", "shares bank", "profit shares tax"]]


def _ignore(_: int) -> None:
    pass


def make_search(texts: Sequence[str], targets: NDArray[np.bool_]) -> Search:
    """A search over those documents, two folds."""
    counts = count_terms(texts, 2, _ignore)
    deals = [deal_folds(targets, 2, 0)]
    return Search(counts, targets, deals, single_label=True, seed=0, advance=_ignore)


def documents(repeat: int) -> tuple[list[str], NDArray[np.bool_]]:
    """Separable documents of two classes."""
    texts = [f"{text} filler{number}" for number in range(repeat) for words in CLASS_WORDS for text in words]
    targets = np.eye(2, dtype=bool)[[label for _ in range(repeat) for label in (0, 0, 0, 1, 1, 1)]]
    return texts, targets


@pytest.mark.parametrize("effort", list(SearchEffort))
def test_the_number_of_settings_is_known_beforehand(effort: SearchEffort) -> None:
    """The progress bar ends where the search ends, and nothing is tried twice."""
    steps: list[int] = []
    search = make_search(*documents(3))
    search.advance = steps.append
    search.run(Pins(), effort)
    assert len(search.tried) == Pins().settings(effort)
    assert len({str(parameters) for parameters, _ in search.tried}) == len(search.tried)
    assert sum(steps) == 2 * len(search.tried)


@pytest.mark.parametrize("effort", list(SearchEffort))
@pytest.mark.parametrize(
    "pins",
    [
        Pins(c=0.7),
        Pins(prefix=4),
        Pins(prefix=0),
        Pins(class_weight="none"),
        Pins(class_weight="balanced"),
        Pins(ngrams=2, min_df=2),
        Pins(sublinear_tf=False, term_weight=TermWeight.IDF),
        Pins(c=2.0, class_weight="balanced", ngrams=1, min_df=1, sublinear_tf=True, term_weight=TermWeight.RELEVANCE),
    ],
)
def test_what_is_pinned_is_in_every_setting(effort: SearchEffort, pins: Pins) -> None:
    """The search varies only what was left open."""
    search = make_search(*documents(3))
    search.run(pins, effort)
    assert len(search.tried) == pins.settings(effort)
    for parameters, _ in search.tried:
        features, machine = parameters.features, parameters.machine
        assert pins.c in (None, machine.c)
        assert pins.class_weight in (None, machine.class_weight or "none")
        assert pins.ngrams in (None, features.ngrams)
        assert pins.min_df in (None, features.min_df)
        assert pins.sublinear_tf in (None, features.sublinear_tf)
        assert pins.term_weight in (None, features.term_weight)
        assert pins.prefix in (None, features.prefix)


def test_equal_settings_leave_the_default() -> None:
    """Where everything is perfect, the first setting stays."""
    search = make_search(*documents(6))
    search.run(Pins(), SearchEffort.QUICK)
    assert search.best.tally.micro_f1 == 1.0
    assert search.best.parameters == Pins().start


def test_a_setting_that_is_clearly_better_is_found() -> None:
    """Classes that differ only in the order of two words need two-word terms."""
    texts = [f"{'up down' if number % 2 else 'down up'} extra{number}" for number in range(40)]
    targets = np.eye(2, dtype=bool)[np.arange(40) % 2]
    search = make_search(texts, targets)
    search.run(Pins(), SearchEffort.QUICK)
    assert search.best.parameters.features.ngrams == 2
    assert search.best.tally.micro_f1 == 1.0


def test_a_vocabulary_that_is_empty_is_passed_over() -> None:
    """Words that never come twice rule out a larger --min-df and nothing else."""
    texts = [f"word{number} other{number}" for number in range(8)]
    targets = np.eye(2, dtype=bool)[np.arange(8) % 2]
    search = make_search(texts, targets)
    search.run(Pins(), SearchEffort.QUICK)
    assert search.best.parameters.features.min_df == 1


def test_a_pinned_minimum_that_leaves_no_term_is_an_error() -> None:
    """When no setting is possible, the message names the option."""
    texts = [f"word{number}" for number in range(8)]
    search = make_search(texts, np.eye(2, dtype=bool)[np.arange(8) % 2])
    with pytest.raises(NoTermsError, match="--min-df"):
        search.run(Pins(min_df=5), SearchEffort.QUICK)


def test_the_best_is_not_known_before_the_search() -> None:
    """Asking too early is a mistake of the program, and says so."""
    with pytest.raises(RuntimeError, match="before run"):
        _ = make_search(*documents(1)).best


def test_scouts_are_machines() -> None:
    """The machines that compare features are among those that are tried."""
    for pins in (Pins(), Pins(c=5.0), Pins(class_weight="none")):
        assert pins.scouts()
        assert set(map(str, pins.scouts())) <= set(map(str, pins.machines()))
    assert Pins(c=5.0, class_weight="none").machines() == [SvmParameters(5.0, None)]
