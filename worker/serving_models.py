"""The models of a store, ready to serve: what the worker and `clf classify` both score with."""

from collections.abc import Mapping

import structlog

from models.model import Model
from models.store import Store, StoreError

log = structlog.get_logger(__name__)

_WARM_UP = "The first call after a start reads the model from disk; better now than on a document."


def load_models(store: Store) -> Mapping[str, Model]:
    """The active model of every language, verified and warmed.

    Raises:
        StoreError, BundleError: one is damaged, or there is none at all.
    """
    models = store.load_active()
    if not models:
        raise StoreError(
            f"No model in {store.root} is active. Train one (clf train), or activate one that is there "
            "(clf models list, clf models activate)."
        )
    for model in models.values():
        make_ready(model)
    log.info(
        "models_loaded",
        models={model.lang: model.version for model in models.values()},
        scorers={model.lang: model.scorer.name for model in models.values()},
    )
    return models


def make_ready(model: Model) -> None:
    """Warm a verified model, and say so when it will be slow."""
    model.predict([_WARM_UP])
    if model.reference_because is not None:
        log.warning(
            "reference_scorer",
            lang=model.lang,
            version=model.version,
            reason=model.reference_because,
            advice="Results are the same, but it is many times slower.",
        )
