"""`clf`, with a scorer that hangs or takes the process down: on documents whose url says so.

    python -m integration_tests.stuck_worker worker ...

It stands in for a scorer with a bug, and lives here because the product has none that could be asked for.
"""

import os
import signal
from collections.abc import Sequence
from threading import Event
from unittest.mock import patch

from schemas.classification import Classification
from schemas.document import Document
from worker import live_models
from worker.classify import Classifier, ConstantClassifier, Sources
from worker.cli import main

HANGS = "https://hangs.example/"  # and then the seconds
DIES = "https://dies.example/"


class BadClassifier(Classifier):
    """Takes the place of the one that scores with models."""

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """The same results, later, or none."""
        misbehave(documents)
        return super().classify(documents, sources)


class BadConstantClassifier(ConstantClassifier):
    """Takes the place of the one that `--no-scoring` asks for."""

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """As above."""
        misbehave(documents)
        return super().classify(documents, sources)


def misbehave(documents: Sequence[Document]) -> None:
    """As the urls ask for."""
    for document in documents:
        if document.url.startswith(HANGS):
            hang_in_the_scorer(float(document.url[len(HANGS) :].partition("/")[0]))
        elif document.url.startswith(DIES):
            os.kill(os.getpid(), signal.SIGKILL)


def hang_in_the_scorer(seconds: float) -> None:
    """What the stacks in the log must name."""
    Event().wait(seconds)


if __name__ == "__main__":
    # The one place where the worker makes them.
    with patch.multiple(live_models, Classifier=BadClassifier, ConstantClassifier=BadConstantClassifier):
        main()
