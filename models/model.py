"""A model that is ready to serve: a verified bundle, its scorer, and the rule from scores to labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from models.choice import choose_scorer
from models.content import Fallback
from models.reader import Bundle
from models.scorer import Scorer

PROBABILITY_DECIMALS: Final = 6
_DIGEST_CHARS: Final = 16


class Prediction(NamedTuple):
    """What a model says about one text.

    Attributes:
        known: whether the text has a term that the model knows; without one the other two are empty.
        labels: the classes that hold, most probable first.
        classes: all classes with their probability (six decimals), most probable first; equal ones
            stay in class order.
    """

    known: bool
    labels: tuple[str, ...]
    classes: tuple[tuple[str, float], ...]


_UNKNOWN: Final = Prediction(known=False, labels=(), classes=())


@dataclass(frozen=True, slots=True)
class Model:
    """One language's model; threads may share it.

    Attributes:
        lang: normalised language code.
        version: name in the store.
        digest: first 16 hex digits of the manifest's digest.
        classes: class names in column order.
        scorer: from texts to probabilities.
        thresholds: one per class; a class is a label iff its probability is at least that, both
            taken as float32, the precision of the scores.
        fallback: what happens when no class reaches its threshold.
        reference_because: why the reference scorer serves although nobody asked for it; None when the native one does.
    """

    lang: str
    version: str
    digest: str
    classes: tuple[str, ...]
    scorer: Scorer
    thresholds: tuple[float, ...]
    fallback: Fallback
    reference_because: str | None = None

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order.

        Raises:
            TypeError: `texts` is one string, or holds something that is not a string.
        """
        scores = self.scorer.score(texts)
        ranking = np.argsort(-scores.probabilities, axis=1, kind="stable")
        thresholds = np.asarray(self.thresholds, dtype=np.float32)
        reached = np.take_along_axis(scores.probabilities >= thresholds, ranking, axis=1)
        ranked = np.take_along_axis(scores.probabilities, ranking, axis=1)
        rounded = np.round(ranked.astype(np.float64), PROBABILITY_DECIMALS)
        if self.fallback is Fallback.BEST:
            reached[:, 0] |= ~reached.any(axis=1)
        names = np.array(self.classes, dtype=object)[ranking].tolist()
        labels = map(tuple, map(compress, names, reached.tolist()))
        classes = map(tuple, map(zip, names, rounded.tolist()))
        predictions = map(Prediction, scores.known.tolist(), labels, classes)
        return [prediction if prediction.known else _UNKNOWN for prediction in predictions]


def load_model(directory: Path) -> Model:
    """Open a bundle, verify it (golden scores included) and make it ready to serve.

    `models.choice` says which scorer it gets; the environment variable CLF_SCORER forces one.

    Raises:
        BundleError: why it is refused.
    """
    bundle = Bundle.open(directory)
    scorer, fallback_reason = choose_scorer(bundle)
    bundle.golden.verify(scorer)
    manifest = bundle.manifest
    return Model(
        lang=manifest.lang,
        version=manifest.version,
        digest=manifest.digest[:_DIGEST_CHARS],
        classes=manifest.classes,
        scorer=scorer,
        thresholds=manifest.thresholds,
        fallback=manifest.fallback,
        reference_because=fallback_reason,
    )
