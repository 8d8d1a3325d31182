"""From a trained model to a version in the store."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.bundle import BundleError, BundleProblem, Manifest, write_bundle
from models.store import Store
from training.errors import TrainingError
from training.trainer import TrainedModel

_MAX_SAME_SECOND = 20


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a model goes.

    Attributes:
        store: the store.
        language: normalised code.
        version: name of the version; None takes the time.
    """

    store: Store
    language: str
    version: str | None

    @classmethod
    def prepare(cls, root: Path, language: str, version: str | None) -> "Destination":
        """Find out now, and not after minutes of training, whether the model can be written.

        Raises:
            TrainingError: the directory cannot be made or the version exists.
            StoreError: the version is not a possible name.
        """
        store = Store(root)
        if version is not None and store.path(language, version).exists():
            raise TrainingError(
                f"Version {version!r} of {language!r} exists in {root} already, and a version is never overwritten. "
                "Choose another name."
            )
        try:
            store.path(language, version or "new").parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{root} cannot be made a model store ({error.strerror}).") from error
        return cls(store, language, version)


def publish(model: TrainedModel, destination: Destination, *, activate: bool) -> Manifest:
    """Write the bundle, and make it the active one if wanted.

    Raises:
        BundleError: it cannot be written; nothing is left under its name.
        StoreError: it was written and cannot be activated; the active version is unchanged.
    """
    manifest = _write(model, destination)
    if activate:
        destination.store.activate(destination.language, manifest.version)
    return manifest


def version_now() -> str:
    """The time as the name of a version, UTC, such as 20261122T045600Z."""
    return f"{datetime.now(tz=UTC):%Y%m%dT%H%M%SZ}"


def _write(model: TrainedModel, destination: Destination) -> Manifest:
    if destination.version is not None:
        return _write_as(model, destination, destination.version)
    stamp = version_now()
    # Two trainings may end in the same second.
    for name in (stamp, *(f"{stamp}-{number}" for number in range(2, _MAX_SAME_SECOND))):
        try:
            return _write_as(model, destination, name)
        except BundleError as error:
            if error.reason is not BundleProblem.ALREADY_EXISTS:
                raise
    raise TrainingError(f"{_MAX_SAME_SECOND} models were trained within a second. Use --version.")


def _write_as(model: TrainedModel, destination: Destination, version: str) -> Manifest:
    directory = destination.store.path(destination.language, version)
    return write_bundle(directory, version, model.content, pipeline=model.pipeline)
