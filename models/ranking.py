"""From the probabilities of one text to its labels and ranked classes: the specification of the kernel's ranking."""

from collections.abc import Sequence
from typing import Final

PROBABILITY_DECIMALS: Final = 6
_SCALE: Final = 10.0**PROBABILITY_DECIMALS

Ranked = tuple[tuple[str, ...], tuple[tuple[str, float], ...]]
"""Labels, and all classes with their probability, both most probable first."""


def rank(names: Sequence[str], probabilities: Sequence[float], thresholds: Sequence[float], *, best: bool) -> Ranked:
    """The labels and the classes of one text.

    Args:
        names: of the classes, in column order.
        probabilities: one per class, in single precision. They are told with six decimals, rounded as numpy rounds.
        thresholds: one per class, in single precision; a class is a label iff its probability is at least that.
        best: when no class is, the most probable one is a label all the same.
    """
    ranking = sorted(range(len(names)), key=probabilities.__getitem__, reverse=True)
    labels = tuple(names[column] for column in ranking if probabilities[column] >= thresholds[column])
    if best and not labels:
        labels = (names[ranking[0]],)
    return labels, tuple((names[column], round(probabilities[column] * _SCALE) / _SCALE) for column in ranking)
