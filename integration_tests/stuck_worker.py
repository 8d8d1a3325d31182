"""`clf`, with a scorer that hangs: on documents whose url says so, for as long as it says.

    python -m integration_tests.stuck_worker worker --no-scoring ...

It stands in for a scorer with a bug, and lives here because the product has none that could be asked for.
"""

from collections.abc import Sequence
from threading import Event
from unittest.mock import patch

from schemas.classification import Classification
from schemas.document import Document
from worker import live_models
from worker.classify import ConstantClassifier, Sources
from worker.cli import main

HANGS = "https://hangs.example/"  # and then the seconds


class HangingClassifier(ConstantClassifier):
    """Takes the place of the one that `--no-scoring` asks for."""

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """The same results, later."""
        for document in documents:
            if document.url.startswith(HANGS):
                hang_in_the_scorer(float(document.url.removeprefix(HANGS)))
        return super().classify(documents, sources)


def hang_in_the_scorer(seconds: float) -> None:
    """What the stacks in the log must name."""
    Event().wait(seconds)


if __name__ == "__main__":
    with patch.object(live_models, "ConstantClassifier", HangingClassifier):  # the one place where the worker makes it
        main()
