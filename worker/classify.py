"""Documents to classifications: the one scoring core behind Kafka, gRPC and `clf classify`. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from models.model import Model, Prediction
from schemas.classification import Classification, ClassProbability, ModelStamp, Source, Status
from schemas.document import Document

Sources = Sequence[Source | None]


class DocumentClassifier(Protocol):
    """What every front end calls."""

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """One classification per document, in their order; `sources` says where each was read, None outside Kafka."""


class Classifier:
    """Routes each document to the model of its language. Thread-safe as its models are."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        """`models` by normalised language code."""
        self._models = dict(models)
        self._stamps = {lang: ModelStamp(model.lang, model.version, model.digest) for lang, model in models.items()}

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """One classification per document, in their order."""
        by_language: dict[str, list[int]] = defaultdict(list)
        for index, document in enumerate(documents):
            by_language[document.language].append(index)
        results: dict[int, Classification] = {}
        for lang, indices in by_language.items():
            if lang in self._models:
                texts = [documents[index].content for index in indices]
                for index, prediction in zip(indices, self._models[lang].predict(texts), strict=True):
                    results[index] = self._classified(documents[index], lang, prediction, sources[index])
            else:
                for index in indices:
                    results[index] = _unsupported(documents[index], lang, sources[index])
        return [results[index] for index in range(len(documents))]

    def _classified(
        self, document: Document, lang: str, prediction: Prediction, source: Source | None
    ) -> Classification:
        stamp = self._stamps[lang]
        if not prediction.known:
            return Classification(document.url, lang, Status.EMPTY, (), (), stamp, source)
        classes = tuple(ClassProbability(name, prob) for name, prob in prediction.classes)
        return Classification(document.url, lang, Status.CLASSIFIED, prediction.labels, classes, stamp, source)


class ConstantClassifier:
    """Gives every document one constant result (`--no-scoring`): what remains is the cost of the stream itself."""

    _STAMP = ModelStamp("und", "no-scoring", "0" * 16)
    _LABELS = ("none",)
    _CLASSES = (ClassProbability("none", 1.0),)

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """One constant classification per document, in their order."""
        return [
            Classification(
                document.url,
                document.language,
                Status.CLASSIFIED,
                self._LABELS,
                self._CLASSES,
                self._STAMP,
                source,
            )
            for document, source in zip(documents, sources, strict=True)
        ]


def _unsupported(document: Document, lang: str, source: Source | None) -> Classification:
    return Classification(document.url, lang, Status.UNSUPPORTED_LANGUAGE, (), (), None, source)
