"""A model that is ready to serve: a verified bundle, its scorer, and the rule from scores to labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.choice import choose_scorer
from models.content import Fallback
from models.ranking import PROBABILITY_DECIMALS
from models.reader import Bundle, Trust
from models.scorer import Scorer

_DIGEST_CHARS: Final = 16
_PAGE_BYTES: Final = 4096
_SAMPLE_CHARS: Final = 3000  # an article's


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
        sample: a text of an article's length, most of whose terms it knows.
        arrays: what is mapped from its files.
    """

    lang: str
    version: str
    digest: str
    classes: tuple[str, ...]
    scorer: Scorer
    thresholds: tuple[float, ...]
    fallback: Fallback
    reference_because: str | None = None
    sample: str = ""
    arrays: tuple[NDArray[Any], ...] = ()

    def touch(self) -> None:
        """Read a byte of each page of the mapped arrays, so that those that had been dropped from memory are back.

        Other threads run meanwhile.
        """
        for array in self.arrays:
            array.reshape(-1).view(np.uint8)[::_PAGE_BYTES].max(initial=0)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction per text, in order.

        Raises:
            TypeError: `texts` is one string, or holds something that is not a string.
        """
        if len(texts) == 1 and not isinstance(texts, str):
            return [self._predict_one(texts[0])]
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

    def _predict_one(self, text: str) -> Prediction:
        thresholds = _single_precision(self.thresholds)
        ranked = self.scorer.predict(text, thresholds, best=self.fallback is Fallback.BEST)
        return _UNKNOWN if ranked is None else Prediction(True, *ranked)  # noqa: FBT003 - `known`, of a tuple


@lru_cache
def _single_precision(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(np.asarray(numbers, dtype=np.float32).tolist())


def load_model(directory: Path, trust: Trust | None = None) -> Model:
    """Open a bundle, verify it (the signature that `trust` wants, golden scores) and make it ready to serve.

    `models.choice` says which scorer it gets; the environment variable CLF_SCORER forces one.

    Raises:
        BundleError: why it is refused.
    """
    bundle = Bundle.open(directory, trust)
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
        sample=max(bundle.golden.texts, key=len)[:_SAMPLE_CHARS],
        arrays=tuple(
            array for array in (bundle.index, bundle.idf, bundle.weights, bundle.characters) if array is not None
        ),
    )
