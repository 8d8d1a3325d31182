"""The models that serve at this moment. `worker.model_reloads` replaces them while everybody goes on scoring."""

from collections.abc import Mapping

from models.model import Model
from models.store import Store
from worker.classify import Classifier, ConstantClassifier, DocumentClassifier
from worker.config import Scoring
from worker.serving_models import load_models


class LiveModels:
    """What serves now. Any thread may ask; one thread replaces.

    Nothing is changed in place. Whoever scores asks once per batch or call and keeps the answer to its end, so a
    batch or call never meets two versions of a language; the old model goes with the last of them.
    """

    def __init__(self, models: Mapping[str, Model], classifier: DocumentClassifier) -> None:
        """`models` by language, and the classifier that scores with them."""
        self._models = models
        self._classifier = classifier

    def models(self) -> Mapping[str, Model]:
        """By language."""
        return self._models

    def classifier(self) -> DocumentClassifier:
        """It scores with these models and no others, whatever comes after them."""
        return self._classifier

    def swap_in(self, model: Model) -> None:
        """Serve `model` from now on, in place of the one of its language if there is one."""
        models = {**self._models, model.lang: model}
        self._classifier = Classifier(models)
        self._models = models


def open_live_models(scoring: Scoring) -> LiveModels:
    """What serves at the start: the active models of the store, or none with `--no-scoring`.

    Raises:
        StoreError, BundleError: one is damaged, or there is none at all.
    """
    if not scoring.scoring:
        return LiveModels({}, ConstantClassifier())
    models = load_models(Store(scoring.models))
    return LiveModels(models, Classifier(models))
