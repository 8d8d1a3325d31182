"""Documents to classifications: the one scoring core behind Kafka, gRPC and `clf classify`. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from models.model import Model
from schemas.classification import Classification, ModelStamp, Source, Status
from schemas.document import Document

Sources = Sequence[Source | None]

_STATUS = {True: Status.CLASSIFIED, False: Status.EMPTY}  # by whether the model knows a term of the text


class DocumentClassifier(Protocol):
    """What every front end calls."""

    @property
    def languages(self) -> Sequence[str]:
        """Those that it has a model for, sorted."""

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """One classification per document, in their order; `sources` says where each was read, None outside Kafka."""


class Classifier:
    """Routes each document to the model of its language. Thread-safe as its models are."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        """`models` by normalised language code."""
        self._models = dict(models)
        self._stamps = {lang: ModelStamp(model.lang, model.version, model.digest) for lang, model in models.items()}

    @property
    def languages(self) -> Sequence[str]:
        """Those of its models, sorted."""
        return sorted(self._models)

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """One classification per document, in their order."""
        if len(documents) == 1:
            return self._of_language(documents[0].language, documents, sources)
        by_language: dict[str, list[int]] = defaultdict(list)
        for index, document in enumerate(documents):
            by_language[document.language].append(index)
        results: dict[int, Classification] = {}
        for lang, indices in by_language.items():
            of_language = [documents[index] for index in indices], [sources[index] for index in indices]
            results.update(zip(indices, self._of_language(lang, *of_language), strict=True))
        return [results[index] for index in range(len(documents))]

    def _of_language(self, lang: str, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        classify = self._classified if lang in self._models else _unsupported
        return classify(lang, documents, sources)

    def _classified(self, lang: str, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        stamp = self._stamps[lang]
        predictions = self._models[lang].predict([document.content for document in documents])
        return [
            Classification(document.url, lang, _STATUS[known], labels, classes, stamp, source)
            for document, (known, labels, classes), source in zip(documents, predictions, sources, strict=True)
        ]


class ConstantClassifier:
    """Gives every document one constant result (`--no-scoring`): what remains is the cost of the stream itself."""

    languages: Sequence[str] = ()

    _STAMP = ModelStamp("und", "no-scoring", "0" * 16)
    _LABELS = ("none",)
    _CLASSES = (("none", 1.0),)

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


def _unsupported(lang: str, documents: Sequence[Document], sources: Sources) -> list[Classification]:
    return [
        Classification(document.url, lang, Status.UNSUPPORTED_LANGUAGE, (), (), None, source)
        for document, source in zip(documents, sources, strict=True)
    ]
