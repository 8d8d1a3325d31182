"""What a person should know about a corpus and the model made of it, in whole sentences."""

from collections.abc import Iterator, Sequence

import numpy as np

from training.calibration import MIN_POSITIVES
from training.corpus import Corpus
from training.linear import Targets

_NAMED = 8


def corpus_remarks(corpus: Corpus, targets: Targets, wanted_folds: int, folds: int) -> Iterator[str]:
    """What is odd about the documents."""
    report = corpus.report
    if report.duplicates:
        yield (
            f"{report.duplicates} documents repeat the title and text of an earlier one and were left out; "
            f"{report.conflicting} of them had other labels than the copy that was kept."
        )
    if report.repeated_labels:
        yield f"{report.repeated_labels} documents name a label twice; each label counts once."
    if folds < wanted_folds:
        yield f"There are fewer documents than the {wanted_folds} folds asked for; cross-validation used {folds}."
    everywhere = [corpus.classes[column] for column in np.flatnonzero(targets.all(axis=0))]
    if everywhere:
        yield f"Every document has the label {names(everywhere)}, so every document will get it."
    yield from _small_classes(corpus, targets, folds)


def model_remarks(corpus: Corpus, targets: Targets, shared: Sequence[int], *, unconverged: bool) -> Iterator[str]:
    """What is odd about the model."""
    odd = [corpus.classes[column] for column in shared if targets[:, column].sum() >= MIN_POSITIVES]
    if odd:
        yield (
            f"Probabilities of {names(odd)} come from a shared curve: in cross-validation these classes could not "
            "be told from the others. Check their documents."
        )
    if unconverged:
        yield "The optimiser stopped early for at least one class; a smaller --c helps."


def names(classes: Sequence[str]) -> str:
    """Class names for a sentence, the first few of them."""
    shown = ", ".join(repr(name) for name in classes[:_NAMED])
    return shown if len(classes) <= _NAMED else f"{shown} and {len(classes) - _NAMED} more"


def _small_classes(corpus: Corpus, targets: Targets, folds: int) -> Iterator[str]:
    sizes = targets.sum(axis=0)
    small = [corpus.classes[column] for column in np.flatnonzero(sizes < MIN_POSITIVES)]
    thin = [corpus.classes[column] for column in np.flatnonzero((sizes >= MIN_POSITIVES) & (sizes < folds))]
    if small:
        yield (
            f"{len(small)} classes have fewer than {MIN_POSITIVES} documents, too few to calibrate: {names(small)}. "
            "They share one probability curve and one threshold; expect little of them."
        )
    if thin:
        yield f"{len(thin)} classes have fewer documents than there are folds ({folds}): {names(thin)}."
